"""The dashboards are whole: nothing overlaps, everything is explained, and each query asks for what there is."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import dashboards, metrics

ROOT = Path(__file__).resolve().parents[2]
KINDS = {"gauge", "heatmap", "stat", "state-timeline", "table", "timeseries"}
WIDTH = 24

each = pytest.mark.parametrize("name", dashboards.names())


def recorded() -> frozenset[str]:
    rules = yaml.safe_load((ROOT / "grafana/prometheus/rules/recording.yml").read_text())
    return frozenset(rule["record"] for group in rules["groups"] for rule in group["rules"])


@pytest.mark.covers("T066")
def test_there_are_three() -> None:
    assert dashboards.names() == ("fleet", "internals", "proxy")


def test_the_committed_files_are_what_the_generator_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "grafana/generator", tmp_path], check=True, timeout=30)
    for name in dashboards.names():
        fresh = (tmp_path / f"{name}.json").read_text()
        assert fresh == (dashboards.FOLDER / f"{name}.json").read_text(), "run: make dashboards"


@each
def test_ids_are_unique(name: str) -> None:
    ids = [panel["id"] for panel in dashboards.load(name)["panels"]]
    assert len(ids) == len(set(ids))


def test_dashboards_have_ids_and_lead_to_each_other() -> None:
    uids = {dashboards.load(name)["uid"] for name in dashboards.names()}
    assert len(uids) == len(dashboards.names())
    for name in dashboards.names():
        own = dashboards.load(name)
        assert {link["url"].removeprefix("/d/") for link in own["links"]} == uids - {own["uid"]}


def test_a_row_of_the_fleet_opens_its_proxy() -> None:
    links = re.findall(r'"url": "(/d/[^"]+var-proxy[^"]+)"', (dashboards.FOLDER / "fleet.json").read_text())
    assert links
    assert all(link.startswith(f"/d/{dashboards.load('proxy')['uid']}?") for link in links)


@each
def test_no_panel_overlaps_another_or_leaves_the_grid(name: str) -> None:
    places = [panel["gridPos"] for panel in dashboards.load(name)["panels"]]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= WIDTH for place in places)
    assert not [(a, b) for a, b in combinations(places, 2) if _overlap(a, b)]


def _overlap(a: dict[str, int], b: dict[str, int]) -> bool:
    beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
    above = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
    return not beside and not above


@each
def test_each_panel_is_explained_and_has_a_unit(name: str) -> None:
    for panel in dashboards.panels(name):
        assert panel["type"] in KINDS
        assert len(panel["description"]) > 100, f"{panel['title']}: say what it means and what to do"
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


@each
def test_titles_are_unique(name: str) -> None:
    titles = [panel["title"] for panel in dashboards.panels(name)]
    assert len(titles) == len(set(titles))


@each
def test_everything_asks_the_chosen_data_source(name: str) -> None:
    first, *others = dashboards.load(name)["templating"]["list"]
    assert (first["type"], first["name"], first["query"]) == ("datasource", "datasource", "prometheus")
    for asker in (*others, *dashboards.panels(name), *_targets(name), *dashboards.load(name)["annotations"]["list"]):
        assert asker["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def _targets(name: str) -> list[dict[str, Any]]:
    return [target for panel in dashboards.panels(name) for target in panel["targets"]]


@each
def test_each_query_asks_for_what_there_is(name: str) -> None:
    known = metrics.series_names() | recorded()
    exprs = [target["expr"] for target in _targets(name)]
    exprs += [annotation["target"]["expr"] for annotation in dashboards.load(name)["annotations"]["list"]]
    for expr in exprs:
        assert metrics.mentioned(expr) <= known, expr
        assert metrics.mentioned(expr), expr


@each
def test_each_variable_is_declared_and_used(name: str) -> None:
    declared = {variable["name"] for variable in dashboards.load(name)["templating"]["list"]} - {"datasource"}
    used = {word for target in _targets(name) for word in re.findall(r"\$(\w+)", target["expr"])} - {"__rate_interval"}
    assert used == declared


@pytest.mark.covers("T066")
def test_every_family_stands_in_some_dashboard() -> None:
    """A metric without a reader is not worth its cost; rules are readers too."""
    rules = yaml.safe_load((ROOT / "grafana/prometheus/rules/recording.yml").read_text())
    exprs = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    exprs += [target["expr"] for name in dashboards.names() for target in _targets(name)]
    seen = set().union(*map(metrics.mentioned, exprs))
    families = {**metrics.OF_GATEWAY, **metrics.OF_PROXY, **metrics.OF_UPSTREAM, **metrics.OF_ENDPOINT}
    unseen = {name for name, f in families.items() if (f"{name}_bucket" if f.buckets else name) not in seen}
    assert unseen <= {"process_open_fds", "process_max_fds"}, "of the control process: no more than a few are open"


def test_mentioned_sees_metrics_alone() -> None:
    expr = 'sum by (le, proxy) (rate(a_bucket{b="c",d=~"$e"}[5m])) / on (x) (1e-9 * f:g:h5m > bool 0.1) or vector(0)'
    assert metrics.mentioned(expr) == {"a_bucket", "f:g:h5m"}
