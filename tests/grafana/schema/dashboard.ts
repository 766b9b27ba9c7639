// Grafana's own types, made as strict as its JSON is: each kind of panel has the options of that kind, each query the
// fields of a Prometheus query, and a field that Grafana does not know is an error.
import type * as grafana from "@grafana/schema";
import type * as gauge from "@grafana/schema/dist/esm/raw/composable/gauge/panelcfg/x/GaugePanelCfg_types.gen";
import type * as heatmap from "@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen";
import type * as stat from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type * as timeline from "@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen";
import type * as table from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type * as timeseries from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

// The package has no types of the Prometheus data source; these are the fields of its queries that we use.
interface PrometheusQuery extends grafana.DataQuery {
  datasource: grafana.DataSourceRef;
  expr: string;
  editorMode?: "code" | "builder";
  exemplar?: boolean;
  format?: "time_series" | "table" | "heatmap";
  instant?: boolean;
  legendFormat?: string;
  range?: boolean;
}

interface Kind<Name extends string, Options, Custom>
  extends Omit<grafana.Panel, "type" | "options" | "fieldConfig" | "targets" | "title" | "description" | "gridPos"> {
  type: Name;
  title: string;
  description: string;
  gridPos: grafana.GridPos;
  options: Options;
  targets: PrometheusQuery[];
  fieldConfig: {
    defaults: Omit<grafana.FieldConfig, "custom"> & { custom?: Partial<Custom> };
    overrides: grafana.FieldConfigSource["overrides"];
  };
}

type Panel =
  | Kind<"gauge", gauge.Options, {}>
  | Kind<"heatmap", heatmap.Options, heatmap.FieldConfig>
  | Kind<"stat", stat.Options, {}>
  | Kind<"state-timeline", timeline.Options, timeline.FieldConfig>
  | Kind<"table", table.Options, table.FieldConfig>
  | Kind<"timeseries", timeseries.Options, timeseries.FieldConfig>
  | grafana.RowPanel;

interface Annotation extends Omit<grafana.AnnotationQuery, "target"> {
  target: { refId: string; expr: string; legendFormat?: string };
}

interface Strict extends Omit<grafana.Dashboard, "panels" | "annotations"> {
  uid: string;
  title: string;
  panels: Panel[];
  annotations: { list: Annotation[] };
}

// JSON has no enums, only their values.
type Json<T> = unknown extends T
  ? T
  : T extends string
    ? `${T}`
    : T extends number | boolean | null | undefined
      ? T
      : T extends ReadonlyArray<infer Item>
        ? Json<Item>[]
        : { [Key in keyof T]: Json<T[Key]> };

export type Dashboard = Json<Strict>;
