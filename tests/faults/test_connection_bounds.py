"""One address opens all connections that it can; a client from another address is served all the same.

The gateway is a process of its own with few descriptors (RLIMIT_NOFILE), as where an operator forgot to raise them.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from harness.answers import ok
from harness.client import Client, request
from harness.ending import end
from harness.message import Message, Truncated
from harness.patience import eventually
from harness.upstream import Upstream

from gateway.proxy.admission import room_in

DESCRIPTORS = 200
ROOM = room_in(DESCRIPTORS)
ATTACKER, GOOD = "127.0.0.1", "127.0.0.2"
START = 20.0


class Child:
    """``gateway run`` without a database."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.log = folder / "log"
        self.process = process
        self.address = ("", 0)
        self.clients: list[Client] = []

    async def started(self) -> None:
        def greeting() -> re.Match[str] | None:
            return re.search(r"serves 1 proxy on http://(\S+):(\d+)", self.log.read_text())

        await eventually(greeting, "a greeting", START)
        found = greeting()
        assert found is not None
        self.address = found[1], int(found[2])

    async def connect(self, host: str) -> Client:
        """A connection from this loopback address."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.bind((host, 0))
        client = Client(sock)
        self.clients.append(client)
        await asyncio.get_running_loop().sock_connect(sock, self.address)
        return client

    @property
    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    @property
    def cpu(self) -> int:
        """Ticks of 10 ms."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])


@pytest.fixture
async def child(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Child]:
    upstream.behaviour = ok()
    config = tmp_path / "gateway.json"
    proxy = {"name": "p", "path": "/", "upstream": upstream.url, "access_rule": "true"}
    limits = {"first_byte_timeout": 60, "header_timeout": 60}
    document = {"listen": "127.0.0.1:0", "access_log": {"path": "/dev/null"}, "limits": limits, "proxies": [proxy]}
    config.write_text(json.dumps(document))
    command = 'ulimit -n "$1"; shift; exec "$@"'
    run = [sys.executable, "-P", "-m", "gateway", "run", "--config", str(config)]
    with (tmp_path / "log").open("wb") as log:
        env = os.environ | {"GATEWAY_DUMPABLE": "1"}  # its descriptors are counted
        process = subprocess.Popen(["sh", "-c", command, "sh", str(DESCRIPTORS), *run], stdout=log, stderr=log, env=env)
    made = Child(tmp_path, process)
    try:
        await made.started()
        yield made
    finally:
        for client in made.clients:
            client.close()
        await end(process)
    assert "Traceback" not in made.log.read_text()


async def silent(client: Client) -> None:
    """Says nothing."""


async def idle(client: Client) -> None:
    """One good request, then nothing."""
    await client.send(request())
    try:
        await client.response()
    except Truncated:
        return


async def half_a_head(client: Client) -> None:
    await client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Dr")


async def slow_upload(client: Client) -> None:
    await client.send(request("/", "Content-Length: 1000000", method="POST"), b"x")


async def works(child: Child, times: int = 10) -> None:
    """New connections of the good client, each with a request that is answered at once."""
    for _ in range(times):
        client = await child.connect(GOOD)
        async with asyncio.timeout(1):
            answer: Message = await client.ask()
        assert answer.body == b"ok"
        client.close()


ATTACKS = [silent, idle, half_a_head, slow_upload]


@pytest.mark.parametrize("attack", ATTACKS)
async def test_one_address_takes_all_it_can(child: Child, attack: Callable[[Client], Awaitable[None]]) -> None:
    async def more(count: int) -> None:
        for _ in range(count):
            await attack(await child.connect(ATTACKER))

    for _ in range(3):
        await more(ROOM)
        await works(child)
    assert child.descriptors < DESCRIPTORS
    refusals = re.findall(r"a new connection was refused: .*", child.log.read_text())
    assert len(refusals) <= 10, "more than one line a second"
    assert bool(refusals) == (attack is slow_upload), "idle ones go before a new one is refused"


async def test_a_good_clients_idle_connection_survives_the_flood(child: Child) -> None:
    kept = await child.connect(GOOD)
    assert (await kept.ask()).status == 200
    for _ in range(2 * ROOM):
        await silent(await child.connect(ATTACKER))
    assert (await kept.ask()).status == 200


async def test_a_refused_connection_is_closed_at_once(child: Child, upstream: Upstream) -> None:
    for number in range(1, ROOM * 9 // 10 + 2):
        await slow_upload(await child.connect(ATTACKER))
        await eventually(lambda number=number: upstream.accepted == number, "the upload has begun")
    refused = await child.connect(ATTACKER)
    assert await refused.rest(1) == b""
    assert refused.ended == "eof"


async def test_without_descriptors_connections_wait_and_nothing_spins(child: Child) -> None:
    """The limit of the process falls below what is open: accept fails with EMFILE for as long as that lasts."""
    uploads = [await child.connect(GOOD) for _ in range(5)]
    for client in uploads:
        await slow_upload(client)
    await eventually(lambda: child.descriptors >= 10)
    soft, hard = resource.prlimit(child.process.pid, resource.RLIMIT_NOFILE, (5, DESCRIPTORS))
    waiting = [await child.connect(ATTACKER) for _ in range(20)]
    for client in waiting:
        await client.send(request())
    await eventually(lambda: "accept failed" in child.log.read_text(), "accept fails")
    before = child.cpu
    await asyncio.sleep(1)
    assert child.cpu - before < 20, "it spins"
    resource.prlimit(child.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
    for client in waiting:
        assert (await client.response()).body == b"ok"
    await works(child)
    assert child.log.read_text().count("accept failed") <= 5


async def test_idle_connections_make_room_when_descriptors_run_out(child: Child) -> None:
    """Whatever else took the descriptors: who waits is let in as soon as an idle one has gone."""
    for _ in range(20):
        await idle(await child.connect(ATTACKER))
    resource.prlimit(child.process.pid, resource.RLIMIT_NOFILE, (child.descriptors, DESCRIPTORS))
    client = await child.connect(GOOD)
    await client.send(request())
    assert (await client.response()).body == b"ok"
