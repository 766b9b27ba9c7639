"""Connectors as operators and integrators use them: whole processes with two workers, the API, the command line."""

from __future__ import annotations

import asyncio
import json
import os
import textwrap
from pathlib import Path
from typing import Any

import pytest
from harness import strangers
from harness.deployment import Deployment
from harness.memcached import Memcached
from harness.patience import eventually

pytestmark = pytest.mark.timeout(180)

CACHE = """\
    workers: 2
    connections:
      cache:
        kind: memcached
        host: 127.0.0.1
        port: {port}
        max_concurrent: 5
        circuit_breaker: {{enabled: true, failure_threshold: 3, recovery_timeout: 1}}
        retry: once
    actions:
      put: {{connection: cache, operation: set}}
      value: {{connection: cache}}
      hurried: {{connection: cache, timeout_ms: 300}}
    """


def deployed(folder: Path, port: int) -> Deployment:
    """With the connector of docs/connectors.md, installed as a package of others is."""
    site = strangers.installed(
        folder / "site", "memcached", "memcached_connector:Memcached", strangers.connector_of_the_docs()
    )
    deployment = Deployment(folder, more=textwrap.dedent(CACHE).format(port=port))
    deployment.env["PYTHONPATH"] = f"{site}:{os.environ.get('PYTHONPATH', '')}".rstrip(":")
    return deployment


async def execute(deployment: Deployment, action: str, **given: object) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {deployment.token}"}
    url = f"{deployment.admin}/api/gateway/actions/{action}/execute"
    async with deployment.session.post(url, json={"input": given}, headers=headers) as response:
        return response.status, await response.json()


def test_the_connector_of_the_docs_is_small() -> None:
    assert len(strangers.connector_of_the_docs().splitlines()) < 50


@pytest.mark.covers("ACT-34")
async def test_a_connector_of_others_passes_every_layer(tmp_path: Path) -> None:
    async with Memcached() as server, deployed(tmp_path, server.port) as deployment:
        assert (await execute(deployment, "put", key="a", value="7"))[1]["body"] == "STORED"
        command = ("action", "call", "value", "--input", "key=a", "--output", "body-only")
        found = await asyncio.to_thread(deployment.cli, *command)
        assert json.loads(found.stdout) == {"value": "7"}
        assert (await asyncio.to_thread(deployment.cli, "connection", "test", "cache")).returncode == 0
        connections = await deployment.call("GET", "/connections")
        assert connections["items"][0]["base_url"] == f"memcached://127.0.0.1:{server.port}"

        server.asked = 0
        server.pause.clear()
        calls = [asyncio.ensure_future(execute(deployment, "value", key="a")) for _ in range(10)]
        await eventually(lambda: sum(call.done() for call in calls) == 5, "five rejections")
        server.pause.set()
        answers = await asyncio.gather(*calls)
        assert sorted(status for status, _ in answers) == [200] * 5 + [429] * 5
        assert server.asked == 5

        server.pause.clear()
        status, body = await execute(deployment, "hurried", key="a")
        assert (status, body["code"]) == (504, "total_timeout")
        server.pause.set()
    log = (tmp_path / "access.log").read_text()
    assert '"proxy_name":"action/value"' in log


@pytest.mark.covers("ACT-34")
async def test_a_back_end_that_dies_opens_the_breaker_and_heals(tmp_path: Path) -> None:
    server = Memcached()
    async with server:
        pass
    async with deployed(tmp_path, server.port) as deployment:
        codes = [(await execute(deployment, "value", key="a"))[1]["code"] for _ in range(4)]
        assert codes == ["upstream_reset"] * 3 + ["breaker_open"]
        explained = await deployment.call("GET", "/upstreams/connection%2Fcache/explain")
        assert explained["breaker"]["state"] == "open"
        async with server:
            async with asyncio.timeout(30):
                while (await execute(deployment, "value", key="a"))[0] != 200:
                    pass
