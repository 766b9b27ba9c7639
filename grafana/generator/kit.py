"""What dashboards are made of: panels, rows and variables, as the JSON that Grafana loads.

A panel is described by what matters about it; size, colours and legends follow from its kind. `dashboard` lays the
panels of each row out from left to right and gives them their numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

Json = dict[str, Any]
Steps = Sequence[tuple[float, str]]
"""Thresholds: from this value on, this colour. Below the first: green."""

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
SCHEMA_VERSION = 42
"""Of the dashboards' JSON; Grafana itself upgrades what is older than it."""

STATES = {0: ("closed", "green"), 1: ("open", "red"), 2: ("half-open", "orange")}
MODES = {0: ("off", "text"), 1: ("shadow", "blue"), 2: ("enforced", "green")}


@dataclass(frozen=True)
class Query:
    """PromQL, and the name of its series in the legend (``{{label}}`` for a label's value)."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """``body`` is its JSON without the place; ``width`` and ``height`` are in Grafana's grid."""

    body: Json
    width: int
    height: int


@dataclass(frozen=True)
class Row:
    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Variable:
    """A choice above the dashboard. ``query`` is a `label_values(...)`; ``several``: more than one may be chosen."""

    name: str
    label: str
    query: str
    several: bool = True


@dataclass(frozen=True)
class Dashboard:
    uid: str
    title: str
    description: str
    variables: Sequence[Variable]
    rows: Sequence[Row]
    links: Sequence[tuple[str, str]] = field(default=())
    """(title, uid) of the other dashboards."""


def timeseries(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    steps: Steps = (),
    stacked: bool = False,
    most: float | None = None,
    colours: Json | None = None,
    width: int = 8,
) -> Panel:
    """Lines over time; ``stacked`` where they add up to something. ``colours``: series name -> colour."""
    custom: Json = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 30 if stacked else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if steps else "off"},
    }
    defaults = _defaults(unit, steps, {"mode": "palette-classic"}) | {"min": 0, "custom": custom}
    if most is not None:
        defaults["max"] = most
    overrides = [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
        for name, colour in (colours or {}).items()
    ]
    options = {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return _panel("timeseries", title, description, queries, defaults, options, width, 8, overrides)


def stat(
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    steps: Steps = (),
    texts: dict[int, tuple[str, str]] | None = None,
    width: int = 4,
) -> Panel:
    """One number of now, with its recent course behind it. ``texts``: value -> (word, colour)."""
    defaults = _defaults(unit, steps, {"mode": "thresholds"}) | {"mappings": _mappings(texts)}
    options = {
        "colorMode": "background" if steps or texts else "none",
        "graphMode": "none" if texts else "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showPercentChange": False,
        "textMode": "auto",
        "wideLayout": True,
    }
    return _panel("stat", title, description, [query], defaults, options, width, 4)


def heatmap(title: str, description: str, metric: str, matchers: str, *, width: int = 12) -> Panel:
    """A histogram over time: the darker, the more observations."""
    query = Query(f"sum by (le) (increase({metric}_bucket{{{matchers}}}[$__rate_interval]))", "{{le}}")
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {
            "exponent": 0.5,
            "fill": "dark-orange",
            "mode": "scheme",
            "reverse": False,
            "scale": "exponential",
            "scheme": "Oranges",
            "steps": 64,
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": "s"},
    }
    made = _panel("heatmap", title, description, [query], {"unit": "s", "custom": {}}, options, width, 8)
    made.body["targets"][0] |= {"format": "heatmap", "exemplar": True}
    return made


def states(title: str, description: str, query: Query, texts: dict[int, tuple[str, str]], *, width: int = 12) -> Panel:
    """Which state something was in, and when. ``texts``: value -> (word, colour)."""
    defaults = _defaults("none", (), {"mode": "thresholds"}) | {
        "mappings": _mappings(texts),
        "custom": {"fillOpacity": 75, "lineWidth": 0},
    }
    options = {
        "alignValue": "left",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "mergeValues": True,
        "rowHeight": 0.8,
        "showValue": "auto",
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return _panel("state-timeline", title, description, [query], defaults, options, width, 8)


@dataclass(frozen=True)
class Column:
    """Of a table: its title, how it is computed, and how it is shown. All columns have the label ``key`` alone."""

    title: str
    expr: str
    unit: str = "none"
    steps: Steps = ()
    texts: dict[int, tuple[str, str]] | None = None
    width: int = 110


def table(
    title: str,
    description: str,
    key: str,
    columns: Sequence[Column],
    *,
    link: str = "",
    sort: str = "",
    height: int = 9,
) -> Panel:
    """One row for each value of the label ``key``, as of now; ``link`` is where that value leads."""
    overrides: list[Json] = []
    first: list[Json] = [{"id": "displayName", "value": key}]
    if link:
        first.append({"id": "links", "value": [{"title": "Open ${__value.text}", "url": link, "targetBlank": False}]})
    overrides.append({"matcher": {"id": "byName", "options": key}, "properties": first})
    for column in columns:
        properties: list[Json] = [
            {"id": "unit", "value": column.unit},
            {"id": "custom.width", "value": column.width},
        ]
        if column.steps or column.texts:
            properties += [
                {"id": "custom.cellOptions", "value": {"type": "color-background", "mode": "basic"}},
                {"id": "thresholds", "value": _thresholds(column.steps)},
            ]
        if column.texts:
            properties.append({"id": "mappings", "value": _mappings(column.texts)})
        overrides.append({"matcher": {"id": "byName", "options": column.title}, "properties": properties})
    custom: Json = {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False, "filterable": True}
    defaults = _defaults("none", (), {"mode": "thresholds"}) | {"custom": custom}
    options: Json = {"cellHeight": "sm", "frameIndex": 0, "showHeader": True}
    if sort:
        options["sortBy"] = [{"displayName": sort, "desc": True}]
    queries = [Query(column.expr) for column in columns]
    made = _panel("table", title, description, queries, defaults, options, WIDTH, height, overrides)
    names: dict[str, str] = {}
    for target, column in zip(made.body["targets"], columns, strict=True):
        target |= {"format": "table", "instant": True, "range": False}
        names[f"Value #{target['refId']}"] = column.title
    order = {name: place for place, name in enumerate([key, *names])}
    made.body["transformations"] = [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": names},
        },
    ]
    return made


def gauge(title: str, description: str, unit: str, query: Query, *, steps: Steps, most: float, width: int = 4) -> Panel:
    """How much of something limited is in use."""
    defaults = _defaults(unit, steps, {"mode": "thresholds"}) | {"min": 0, "max": most}
    options = {
        "barShape": "flat",
        "barWidthFactor": 0.4,
        "effects": {},
        "minVizHeight": 75,
        "minVizWidth": 75,
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "segmentCount": 1,
        "segmentSpacing": 0.3,
        "shape": "gauge",
        "showThresholdLabels": False,
        "showThresholdMarkers": True,
        "sizing": "auto",
    }
    return _panel("gauge", title, description, [query], defaults, options, width, 4)


def dashboard(described: Dashboard) -> Json:
    """The JSON of a whole dashboard."""
    numbers = count(1)
    return {
        "uid": described.uid,
        "title": described.title,
        "description": described.description,
        "tags": ["breakwater"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [_link(title, uid) for title, uid in described.links],
        "annotations": {"list": [_reloads()]},
        "templating": {"list": [_datasource(), *map(_variable, described.variables)]},
        "panels": list(_laid_out(described.rows, numbers)),
    }


def _laid_out(rows: Iterable[Row], numbers: Iterable[int]) -> Iterable[Json]:
    number = iter(numbers)
    y = 0
    for row in rows:
        place = {"x": 0, "y": y, "w": WIDTH, "h": 1}
        yield {
            "type": "row",
            "id": next(number),
            "title": row.title,
            "collapsed": False,
            "gridPos": place,
            "panels": [],
        }
        y += 1
        x = line = 0
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y, line = 0, y + line, 0
            yield {"id": next(number), "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height}} | panel.body
            x, line = x + panel.width, max(line, panel.height)
        y += line


def _panel(
    kind: str,
    title: str,
    description: str,
    queries: Sequence[Query],
    defaults: Json,
    options: Json,
    width: int,
    height: int,
    overrides: Sequence[Json] = (),
) -> Panel:
    targets = [
        {
            "refId": chr(ord("A") + place),
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": query.expr,
            "legendFormat": query.legend or "__auto",
            "range": True,
        }
        for place, query in enumerate(queries)
    ]
    body = {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
        "options": options,
    }
    return Panel(body, width, height)


def _defaults(unit: str, steps: Steps, color: Json) -> Json:
    return {"unit": unit, "color": color, "thresholds": _thresholds(steps)}


def _thresholds(steps: Steps) -> Json:
    first: Json = {"color": "green", "value": None}
    return {"mode": "absolute", "steps": [first, *({"color": colour, "value": value} for value, colour in steps)]}


def _mappings(texts: dict[int, tuple[str, str]] | None) -> list[Json]:
    if not texts:
        return []
    options = {
        str(value): {"text": word, "color": colour, "index": place}
        for place, (value, (word, colour)) in enumerate(texts.items())
    }
    return [{"type": "value", "options": options}]


def _link(title: str, uid: str) -> Json:
    return {
        "type": "link",
        "title": title,
        "url": f"/d/{uid}",
        "icon": "dashboard",
        "tooltip": "",
        "tags": [],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
    }


def _reloads() -> Json:
    return {
        "name": "Reloads",
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": "blue",
        "target": {
            "refId": "Reloads",
            "expr": "changes(gateway_config_generation[1m]) > 0",
            "legendFormat": "a new configuration is active",
        },
    }


def _datasource() -> Json:
    return {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "refresh": 1}


def _variable(variable: Variable) -> Json:
    made: Json = {
        "type": "query",
        "name": variable.name,
        "label": variable.label,
        "datasource": DATASOURCE,
        "query": {"qryType": 1, "query": variable.query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "refresh": 2,
        "sort": 1,
        "multi": variable.several,
        "includeAll": variable.several,
    }
    if variable.several:
        made |= {"allValue": ".+", "current": {"text": ["All"], "value": ["$__all"]}}
    return made
