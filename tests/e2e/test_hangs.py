"""A process that hangs is noticed and replaced; a signal to end always ends all of them."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from harness.answers import chunk, head, ok
from harness.client import Client
from harness.deployment import Deployment
from harness.patience import eventually
from harness.upstream import Link, Upstream

pytestmark = pytest.mark.timeout(120)


async def serves(gateway: Deployment) -> bool:
    try:
        async with asyncio.timeout(1):
            return await gateway.get("/web") == (200, "")
    except (OSError, TimeoutError):
        return False


async def until_served(gateway: Deployment, within: float) -> None:
    end = time.monotonic() + within
    while not await serves(gateway):
        assert time.monotonic() < end, gateway.log.read_text()


def fixed(gateway: Deployment) -> None:
    """The same port for a worker that comes later."""
    port = gateway.url.rpartition(":")[2]
    gateway.config.write_text(gateway.config.read_text().replace("listen: 127.0.0.1:0", f"listen: 127.0.0.1:{port}", 1))
    gateway.signal(signal.SIGHUP)


async def test_a_worker_that_hangs_is_replaced(tmp_path: Path, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    async with Deployment(tmp_path) as gateway:
        fixed(gateway)
        await gateway.call(
            "POST", "/proxies", {"name": "web", "path": "/web", "upstream": upstream.url, "access_rule": "true"}
        )
        await until_served(gateway, 10)
        old = gateway.pid("worker")
        os.kill(old, signal.SIGSTOP)
        await eventually(lambda: "the worker hangs" in gateway.log.read_text(), "the news", 8)
        await until_served(gateway, 20)
        assert gateway.pid("worker") != old
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0


async def test_a_response_of_a_worker_that_is_killed_never_looks_whole(tmp_path: Path, upstream: Upstream) -> None:
    """To HTTP/1.0 the end of the connection is the end of the body: the kernel must not end it as a whole one."""

    async def half(link: Link) -> None:
        await link.request()
        await link.send(head("Transfer-Encoding: chunked"), chunk(b"a part"))
        await link.gone(30)

    upstream.behaviour = half
    async with Deployment(tmp_path) as gateway:
        await gateway.call(
            "POST", "/proxies", {"name": "web", "path": "/web", "upstream": upstream.url, "access_rule": "true"}
        )
        host, _, port = gateway.url.removeprefix("http://").rpartition(":")
        client = await Client.connect((host, int(port)))
        await client.send(b"GET /web HTTP/1.0\r\n\r\n")
        await client.until(b"a part")
        gateway.kill("worker")
        await client.rest()
        assert client.ended == "reset"
        client.close()


async def test_a_pause_of_the_whole_group_blames_nobody(tmp_path: Path) -> None:
    """Ctrl-Z in a terminal, for longer than a worker may be silent."""
    async with Deployment(tmp_path) as gateway:
        before = gateway.pid("worker"), gateway.pid("control")
        everyone = (*before, gateway.pid("supervisor"))
        for pid in everyone:
            os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(6)
        for pid in everyone:
            os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(2)
        assert (gateway.pid("worker"), gateway.pid("control")) == before
        assert "hangs" not in gateway.log.read_text()


@pytest.mark.parametrize(("stopped", "code"), [(("worker",), 1), (("control",), 0), (("worker", "control"), 1)])
async def test_a_signal_to_end_ends_what_hangs(tmp_path: Path, stopped: tuple[str, ...], code: int) -> None:
    async with Deployment(tmp_path) as gateway:
        children = [gateway.pid("worker"), gateway.pid("control")]
        for role in stopped:
            os.kill(gateway.pid(role), signal.SIGSTOP)
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == code
        assert not any(Path(f"/proc/{pid}").exists() for pid in children)
