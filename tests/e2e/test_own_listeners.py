"""A deployment does not become its own upstream, and every worker of it has the same name in Via."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from harness.answers import ok
from harness.deployment import Deployment
from harness.patience import eventually
from harness.ports import reserved_port
from harness.upstream import Upstream

pytestmark = pytest.mark.timeout(120)


def via_of(upstream: Upstream, number: int) -> bytes:
    (found,) = upstream.requests[number].all("via")
    return found


async def test_nobody_stores_a_way_to_the_admin_listener(tmp_path: Path, upstream: Upstream) -> None:
    """Not by the address, not by another spelling; and what a name leads to is seen at the dial."""
    admin = reserved_port()
    deployment = Deployment(tmp_path)
    written = deployment.config.read_text()
    deployment.config.write_text(
        written.replace("admin: {listen: 127.0.0.1:0}", f"admin: {{listen: 127.0.0.1:{admin}}}")
    )
    async with deployment as gateway:
        url = f"{gateway.admin}/api/gateway/proxies"
        headers = {"Authorization": f"Bearer {gateway.token}"}
        for host in ("127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]"):
            body = {"name": "p", "path": "/p", "upstream": f"http://{host}:{admin}", "access_rule": "true"}
            async with gateway.session.post(url, json=body, headers=headers) as answer:
                refused = await answer.json()
                assert (answer.status, [f["path"] for f in refused["fields"]]) == (400, ["upstream"]), host
                assert "is a listener of this gateway" in refused["fields"][0]["message"]
        port = int(gateway.url.rpartition(":")[2])
        body = {"name": "p", "path": "/p", "upstream": f"http://localhost:{port}", "access_rule": "true"}
        await gateway.call("POST", "/proxies", body)  # the file says port 0: which one it is, the worker knows
        assert await gateway.get("/p") == (502, "upstream_denied")
        why = f"no connection to localhost:{port}: 127.0.0.1 is a listener of this gateway"
        await eventually(lambda: why in gateway.log.read_text(), "the log says why")


async def test_the_name_in_via_outlives_workers_and_restarts(tmp_path: Path, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    proxies = f"[{{name: p, path: /p, upstream: '{upstream.url}', access_rule: 'true'}}]"
    listen = f"127.0.0.1:{reserved_port()}"
    async with Deployment(tmp_path, proxies=proxies, listen=listen) as gateway:
        assert await gateway.get("/p") == (200, "")
        before = gateway.pid("worker")
        gateway.kill("worker")
        await gateway.replaced("worker", before)
        await gateway.comes_to("/p", (200, ""))
        assert via_of(upstream, 0) == via_of(upstream, -1)
        name = via_of(upstream, 0).split()[1].decode()
        assert re.fullmatch(r"breakwater-[0-9a-f]{12}", name)
        assert await gateway.get("/p", Via=f"1.1 {name}") == (508, "loop_detected")
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0
        await gateway.start()
        await gateway.greeted(2)
        assert await gateway.get("/p", Via=f"1.1 {name}") == (508, "loop_detected")


async def test_the_operator_names_it(tmp_path: Path, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    proxies = f"[{{name: p, path: /p, upstream: '{upstream.url}', access_rule: 'true'}}]"
    async with Deployment(tmp_path, proxies=proxies, more="via: edge-1") as gateway:
        assert await gateway.get("/p", Via="1.1 edge-2") == (200, "")
        assert upstream.requests[0].all("via") == [b"1.1 edge-2", b"1.1 edge-1"]
        assert await gateway.get("/p", Via="1.1 edge-1") == (508, "loop_detected")
