"""Connectors as operators and integrators use them: whole processes with two workers, the API, the command line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import textwrap
from pathlib import Path
from typing import Any

import pytest
from harness import strangers
from harness.deployment import Deployment
from harness.memcached import Memcached
from harness.patience import eventually
from harness.ports import reserved_port

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
        found = await asyncio.to_thread(deployment.cli, *command)  # a process that finds the other package
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


STORES = """\
    connections:
      shop: {{kind: sql, url: "sqlite:///{folder}/shop.db", retry: once}}
      far:
        kind: sql
        url: "postgresql://reader:${{DB_PASSWORD}}@127.0.0.1:{port}/shop"
        retry: once
      cache:
        kind: redis
        url: redis://127.0.0.1:{port}
        auth: {{type: basic, username: "", password: "${{CACHE_PASSWORD}}"}}
        retry: once
    actions:
      find: {{connection: shop, statement: "SELECT id, item FROM orders WHERE id = :id"}}
      log-in: {{connection: shop, statement: "SELECT id FROM orders WHERE item = :password"}}
      away: {{connection: far, statement: "SELECT 1"}}
      value: {{connection: cache, command: [GET, "{{key}}"]}}
    """
SECRETS = {"DB_PASSWORD": "db-pass-3141-planted", "CACHE_PASSWORD": "cache-pass-1618-planted"}


@pytest.mark.covers("ACT-30", "ACT-36")
async def test_no_credential_of_a_store_is_shown(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "shop.db")) as shop, shop:
        shop.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT)")
        shop.execute("INSERT INTO orders VALUES (7, 'tea')")
    deployment = Deployment(tmp_path, more=textwrap.dedent(STORES).format(folder=tmp_path, port=reserved_port()))
    deployment.env |= SECRETS
    async with deployment:
        texts = []
        for action, given, status in (
            ("find", {"id": 7}, 200),
            ("find", {}, 400),
            ("away", {}, 502),
            ("value", {"key": "a"}, 502),
        ):
            answered, body = await execute(deployment, action, **given)
            assert answered == status, body
            texts.append(json.dumps(body))
        assert '"rows": [{"id": 7, "item": "tea"}], "truncated": false' in texts[0]
        paths = ("/connections", "/actions", "/upstreams/connection%2Ffar/explain")
        texts += [json.dumps(await deployment.call("GET", path)) for path in paths]
        for command in (
            ("action", "call", "find", "--input", '{"id": 7}', "--output", "body-only"),
            ("action", "call", "log-in", "--input", "password=planted-input", "--dry-run"),
            ("action", "call", "away"),
            ("action", "list"),
            ("connection", "list"),
            ("connection", "show", "far"),
            ("connection", "test", "far"),
            ("connection", "test", "cache"),
            ("check",),
        ):
            done = await deployment.here(*command)
            texts += [done.stdout, done.stderr]
        assert json.loads(texts[7]) == {"rows": [{"id": 7, "item": "tea"}], "truncated": False}
        assert "SELECT id FROM orders WHERE item = :password" in texts[9]
        assert "planted-input" not in texts[9]
    texts += [path.read_text() for path in (tmp_path / "access.log", deployment.log)]
    assert "action/find" in texts[-2]
    for secret in SECRETS.values():
        assert not [text for text in texts if secret in text]
