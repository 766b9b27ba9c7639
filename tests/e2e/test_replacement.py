"""The supervisor owns the listening sockets: callers wait while a worker is replaced, and nobody waits for nothing."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
from pathlib import Path

import pytest
from harness.answers import head, ok
from harness.client import Client
from harness.deployment import START, Deployment
from harness.patience import eventually
from harness.upstream import Upstream

pytestmark = pytest.mark.timeout(120)

REQUEST = b"GET /web HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"


def proxies(upstream: Upstream) -> str:
    return f"[{{name: web, path: /web, upstream: '{upstream.url}', access_rule: 'true'}}]"


def where(gateway: Deployment) -> tuple[str, int]:
    host, _, port = gateway.url.removeprefix("http://").rpartition(":")
    return host, int(port)


def refused(address: tuple[str, int]) -> bool:
    """Not so while it is accepted, and not when it was in the queue of a listener that closed in the same moment."""
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(address) == errno.ECONNREFUSED


async def relisten(gateway: Deployment, listen: str) -> None:
    gateway.config.write_text(gateway.config.read_text().replace(f"listen: {gateway.listen}\n", f"listen: {listen}\n"))
    gateway.listen = listen
    gateway.signal(signal.SIGHUP)


async def test_who_connects_while_there_is_no_worker_is_served_by_the_next(tmp_path: Path, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    async with Deployment(tmp_path, proxies=proxies(upstream)) as gateway:
        before, supervisor = gateway.pid("worker"), gateway.pid("supervisor")
        os.kill(supervisor, signal.SIGSTOP)  # so that no other worker comes before the callers
        try:
            gateway.kill("worker")
            await eventually(lambda: not Path(f"/proc/{before}/exe").exists(), "its death")
            callers = [await asyncio.open_connection(*where(gateway)) for _ in range(3)]
            for _, caller in callers:
                caller.write(REQUEST)
        finally:
            os.kill(supervisor, signal.SIGCONT)
        for response, caller in callers:
            # A worker starts within a second or two, and later on a busy machine.
            assert await asyncio.wait_for(response.readline(), START) == b"HTTP/1.1 200 OK\r\n"
            caller.close()
        assert gateway.pid("worker") != before
        assert await gateway.get("/web") == (200, ""), "port 0 has kept its port"


async def test_a_worker_that_drains_alone_leaves_callers_to_the_next(tmp_path: Path, upstream: Upstream) -> None:
    async with Deployment(tmp_path, proxies=proxies(upstream)) as gateway:
        before = gateway.pid("worker")
        running = await Client.connect(where(gateway))
        await running.send(REQUEST)
        link = await upstream.link()
        await link.head()
        os.kill(before, signal.SIGTERM)
        await eventually(lambda: "draining: 1 connection" in gateway.log.read_text(), "the drain")
        waiting = await Client.connect(where(gateway))
        await waiting.send(REQUEST)
        await link.send(head("Content-Length: 2"), b"ok")
        assert (await running.response()).body == b"ok"
        link = await upstream.link(START)
        await link.head()
        await link.send(head("Content-Length: 3"), b"new")
        assert (await waiting.response()).body == b"new"
        assert gateway.pid("worker") != before
        running.close()
        waiting.close()


async def test_an_address_in_use_is_rejected_and_the_old_one_stays(tmp_path: Path, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    async with Deployment(tmp_path, proxies=proxies(upstream)) as gateway:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            await relisten(gateway, f"[127.0.0.1:0, 127.0.0.1:{port}]")
            said = f"listen: cannot listen on 127.0.0.1:{port}: Address already in use; stop the program that uses it"
            await eventually(lambda: said in gateway.log.read_text(), "the rejection", 20)
            assert await gateway.get("/web") == (200, "")
            before = gateway.pid("worker")
            gateway.kill("worker")
            await gateway.replaced("worker", before)
            assert await gateway.get("/web") == (200, "")


async def test_an_address_that_goes_is_refused_and_one_that_comes_is_served(tmp_path: Path, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    async with Deployment(tmp_path, proxies=proxies(upstream)) as gateway:
        old = where(gateway)
        with socket.create_server(("127.0.0.1", 0)) as chosen:
            new = chosen.getsockname()
        await relisten(gateway, f"{new[0]}:{new[1]}")
        await eventually(lambda: "configuration 2 applied" in gateway.log.read_text(), "the reload", 20)
        assert refused(old)
        gateway.url = f"http://{new[0]}:{new[1]}"
        assert await gateway.get("/web") == (200, "")


async def test_a_drain_refuses_at_once_and_nothing_listens_at_the_end(tmp_path: Path, upstream: Upstream) -> None:
    async with Deployment(tmp_path, proxies=proxies(upstream)) as gateway:
        running = await Client.connect(where(gateway))
        await running.send(REQUEST)
        link = await upstream.link()
        await link.head()
        gateway.signal(signal.SIGTERM)
        await eventually(lambda: refused(where(gateway)), "a refusal", 20)
        assert "ended" not in gateway.log.read_text()
        await link.send(head("Content-Length: 2"), b"ok")
        assert (await running.response()).body == b"ok"
        assert await gateway.ended() == 0
        assert refused(where(gateway))
        assert "accept failed" not in gateway.log.read_text()
        running.close()


async def test_a_worker_that_hangs_lets_nobody_wait_for_the_end(tmp_path: Path, upstream: Upstream) -> None:
    async with Deployment(tmp_path, proxies=proxies(upstream)) as gateway:
        worker = gateway.pid("worker")
        os.kill(worker, signal.SIGSTOP)
        gateway.signal(signal.SIGTERM)
        await eventually(lambda: refused(where(gateway)), "a refusal", 4)
        assert Path(f"/proc/{worker}").exists()
        assert await gateway.ended() == 1
