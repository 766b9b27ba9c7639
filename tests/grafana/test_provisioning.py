"""The containers find each other's files: what one mounts is what the other's configuration names."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import dashboards

from gateway.store import schema

FOLDER = Path(__file__).resolve().parents[2] / "grafana"


def load(path: str) -> dict[str, Any]:
    return dict(yaml.safe_load((FOLDER / path).read_text()))


SERVICES = load("compose.yml")["services"]


def mounts(service: str) -> dict[str, str]:
    """Path in the container -> folder of ours, or name of a volume."""
    parts = (text.split(":") for text in SERVICES[service]["volumes"])
    return {inside: outside for outside, inside, *_ in parts}


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_mounted_is_there(service: str) -> None:
    volumes = load("compose.yml")["volumes"]
    for source in mounts(service).values():
        assert (FOLDER / source).exists() if source.startswith(".") else source in volumes, source


def test_prometheus_finds_its_files() -> None:
    configuration = load("prometheus/prometheus.yml")
    inside = mounts("prometheus")
    assert inside["/etc/prometheus/prometheus.yml"] == "./prometheus/prometheus.yml"
    [rules] = configuration["rule_files"]
    assert inside[f"/etc/prometheus/{Path(rules).parent}"] == f"./prometheus/{Path(rules).parent}"
    secret = Path(configuration["scrape_configs"][0]["authorization"]["credentials_file"])
    assert inside[f"/etc/prometheus/{secret.parent}"] == mounts("token")["/secrets"]
    assert "/secrets/token" in SERVICES["token"]["command"][0]
    assert secret.name == "token"


def test_prometheus_asks_where_the_admin_listener_is() -> None:
    """Both are in one network, so that it may stay on loopback."""
    [job] = load("prometheus/prometheus.yml")["scrape_configs"]
    command = SERVICES["gateway"]["command"]
    assert SERVICES["prometheus"]["network_mode"] == "service:gateway"
    assert job["static_configs"][0]["targets"] == [command[command.index("--admin") + 1]]


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    [source] = load("provisioning/datasources/prometheus.yml")["datasources"]
    [provider] = load("provisioning/dashboards/breakwater.yml")["providers"]
    inside = mounts("grafana")
    assert source["url"] == "http://gateway:9090"
    assert inside["/etc/grafana/provisioning"] == "./provisioning"
    assert (FOLDER / inside[provider["options"]["path"]]).resolve() == dashboards.FOLDER
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (home.parent.as_posix(), home.stem) == (provider["options"]["path"], "fleet")


def test_rates_are_made_for_the_scrape_interval() -> None:
    [source] = load("provisioning/datasources/prometheus.yml")["datasources"]
    assert source["jsonData"]["timeInterval"] == load("prometheus/prometheus.yml")["global"]["scrape_interval"]


async def test_the_token_is_made_once(tmp_path: Path) -> None:
    """By the very command of the compose file."""
    data, secrets = tmp_path / "data", tmp_path / "secrets"
    data.mkdir()
    secrets.mkdir()
    await schema.upgrade(f"sqlite:///{data}/gateway.db")
    [command] = SERVICES["token"]["command"]
    command = command.replace("sqlite:////data", f"sqlite:///{data}").replace("/secrets", str(secrets))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    made = []
    for _ in range(2):
        await asyncio.to_thread(subprocess.run, ["/bin/sh", "-ec", command], check=True, env=environment, timeout=50)
        made.append((secrets / "token").read_text())
    assert made[0] == made[1]
    assert len(made[0].split()) == 1
