"""What one connection may take from the others: of time and of the memory of the kernel."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter

import pytest
from harness.answers import chunk, echo, head, ok
from harness.client import Client, request
from harness.patience import GLANCE, eventually
from harness.rig import GatewayFor
from harness.stream import unacknowledged
from harness.upstream import Upstream

from gateway.wire.buffers import BUFFER_SIZE, BufferPool
from gateway.wire.link import FULL_READS, MAX_UNSENT, SMALL_READ, Link
from gateway.wire.turns import PER_TURN

CONNECTIONS, EACH = 20, 400


def burst(client: Client, data: bytes) -> None:
    """Into the kernel, before the gateway gets its turn."""
    client.push(data)


@pytest.mark.http1
@pytest.mark.parametrize(
    ("target", "rule"),
    [("/nowhere", "true"), ("/p/forbidden", "@request.auth.id != ''"), ("/p/../escape", "true")],
    ids=["404", "401", "400"],
)
async def test_pipelined_requests_stand_in_line(
    gateway_for: GatewayFor, upstream: Upstream, target: str, rule: str
) -> None:
    """No event of the kernel comes between two such requests: without turns, each connection is served to its end."""
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, path="/p", access_rule=rule)
    crowd = [await rig.connect() for _ in range(CONNECTIONS)]
    good = await rig.connect()
    for client in crowd:
        burst(client, request(target) * EACH)
    burst(good, request("/good"))
    await good.response()
    for client in crowd:
        for _ in range(EACH):
            await client.response()
    lines = await rig.log.wait(CONNECTIONS * EACH + 1)
    place = [line["path"] for line in lines].index("/good")
    assert place <= CONNECTIONS + 4 * PER_TURN, f"{place} requests of others came first"


@pytest.mark.parametrize(
    ("target", "rule"),
    [("/nowhere", "true"), ("/p/forbidden", "@request.path = '/p/good'"), ("/p/../escape", "true")],
    ids=["404", "401", "400"],
)
async def test_who_was_refused_stands_in_line(
    gateway_for: GatewayFor, upstream: Upstream, target: str, rule: str
) -> None:
    """With requests one at a time too: many connections could fill each turn of the event loop with refusals."""
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, path="/p", access_rule=rule)
    crowd = [await rig.connect() for _ in range(3 * CONNECTIONS)]
    good = await rig.connect()
    for _ in range(2):
        for client in crowd:
            burst(client, request(target))
        burst(good, request("/p/good"))
        assert (await good.response()).status == 200
        for client in crowd:
            await client.response()
    lines = await rig.log.wait(2 * len(crowd) + 2)
    place = [line["path"] for line in lines[len(crowd) + 1 :]].index("/p/good")
    assert place <= 4 * PER_TURN, f"{place} requests of others came first"


async def test_who_leaves_while_it_stands_in_line_is_forgotten(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, path="/p")
    crowd = [await rig.connect() for _ in range(3 * CONNECTIONS)]
    for client in crowd:
        assert (await client.ask("/nowhere")).status == 404
    for client in crowd:
        burst(client, request("/nowhere"))
        client.close()
    await eventually(lambda: not rig.gateway.server.connections, "all are gone")
    assert (await (await rig.connect()).ask("/p")).status == 200


@pytest.mark.parametrize("size", [1, 3], ids=["1 and 2 bytes", "3 and 4 bytes"])
async def test_very_small_chunks_stand_in_line(gateway_for: GatewayFor, upstream: Upstream, size: int) -> None:
    """To take 32 KiB of them apart, when they are not all of one size, costs as much as fifty requests: it is done a
    little at a time.
    """
    upstream.behaviour = ok()
    rig = await gateway_for(upstream)
    crowd = [await rig.connect() for _ in range(CONNECTIONS)]
    for client in crowd:
        await client.send(request("/", "Transfer-Encoding: chunked", method="POST"), chunk(b"x"))
    await eventually(lambda: upstream.accepted == CONNECTIONS, "all uploads have begun")
    good = await rig.connect()
    pair = chunk(b"x" * size) + chunk(b"y" * (size + 1))
    pieces = pair * (60_000 // len(pair))
    for client in crowd:
        burst(client, pieces)
    burst(good, request("/good"))
    assert (await good.response()).status == 200
    taken = sum(exchange.bytes_in for exchange in rig.gateway.server.running())
    wire = taken * len(pair) / (2 * size + 1)
    first = CONNECTIONS * BUFFER_SIZE  # one large read of each, until its chunks are known to be small
    assert wire < first + 10 * PER_TURN * SMALL_READ
    assert wire < 0.7 * CONNECTIONS * len(pieces)


@pytest.mark.parametrize("size", [1, 2, 127, 128, 5000])
async def test_chunks_come_whole_whatever_their_size(gateway_for: GatewayFor, upstream: Upstream, size: int) -> None:
    upstream.behaviour = echo()
    rig = await gateway_for(upstream)
    client = await rig.connect()
    body = bytes(range(256)) * (400 * min(size, 20))
    await client.send(request("/", "Transfer-Encoding: chunked", method="POST"))
    await client.send(*(chunk(body[at : at + size]) for at in range(0, len(body), size)), b"0\r\n\r\n")
    assert (await client.response()).body == body
    assert (await client.ask("/again")).get("x-target") == b"/again"


class Reader(Link):
    """Notes in which turn of the event loop it read what."""

    turn = 0

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop(), BufferPool())
        self.turns: list[int] = []
        self.total = 0

    def buffer_updated(self, nbytes: int) -> None:
        self.turns.append(self.turn)
        self.total += nbytes
        if nbytes == BUFFER_SIZE:
            self.full_read()


@pytest.mark.interpreted
@pytest.mark.plain
async def test_a_fast_peer_is_read_a_bounded_number_of_times_a_turn() -> None:
    size = 100 * BUFFER_SIZE
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        peer = socket.create_connection(listener.getsockname())
        peer.setblocking(False)
        ours, _ = listener.accept()
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += peer.send(bytes(BUFFER_SIZE))
    assert sent > 2 * FULL_READS * BUFFER_SIZE
    reader = Reader()
    loop = asyncio.get_running_loop()
    await loop.connect_accepted_socket(lambda: reader.protocol, ours)
    while reader.total < sent:
        reader.turn += 1
        await asyncio.sleep(0)
    assert max(Counter(reader.turns).values()) <= FULL_READS
    reader.abort()
    peer.close()


def held_by_the_kernel(connection: Link) -> int:
    """As `unacknowledged`."""
    assert connection.transport is not None
    return unacknowledged(connection.transport.get_extra_info("socket"))


@pytest.mark.http1
async def test_the_kernel_holds_little_for_a_client_that_reads_nothing(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    """It would take 4 MiB of each (tcp_wmem), and some hundred clients all that the machine has for TCP."""
    rig = await gateway_for(upstream)
    client = await rig.connect(receive_buffer=4096)
    await client.send(request())
    link = await upstream.link()
    await link.head()
    await link.send(head("Content-Length: 100000000"))
    pouring = asyncio.ensure_future(link.send(bytes(16_000_000)))
    (connection,) = rig.gateway.server.connections
    await eventually(lambda: connection.full, "the client is slow")
    await asyncio.sleep(GLANCE)
    assert connection.full
    assert held_by_the_kernel(connection) <= MAX_UNSENT + 2 * BUFFER_SIZE
    client.close()
    await pouring
