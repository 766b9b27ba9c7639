"""A client that does not read: what it can make the gateway hold is one response, and only for a bounded time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import replace

import pytest
from harness.answers import answer, each_request, echo, head
from harness.client import Client, code_of, request
from harness.message import Message
from harness.patience import GLANCE, eventually
from harness.rig import TIMEOUTS, GatewayFor, Rig
from harness.upstream import Link, Upstream

from gateway.config.records import CircuitBreaker, Limits
from gateway.wire import pace, stall
from gateway.wire.h1.server import H1Server
from gateway.wire.h2.server import H2Server

SHORT = 0.3
BIG = b"x" * (8 << 20)
"""More than the kernel's buffers take."""
READ_AHEAD = 16384 + 32 * 1024
SMALL_RECEIVE_BUFFER = 4096


def served(message: Message) -> bytes:
    return answer({b"/b": BIG, b"/m": BIG[:65536]}.get(message.target[:2], b"ok"))


def the_connection(rig: Rig) -> H1Server:
    (connection,) = rig.gateway.server.connections
    return connection


async def stuck(rig: Rig) -> H1Server:
    """The gateway has more for its only client than the kernel takes, or than the window of its stream."""
    kind = H2Server if rig.over == "h2" else H1Server
    await eventually(lambda: [*map(type, rig.gateway.server.connections)] == [kind], "the client is connected")
    connection = the_connection(rig)
    await eventually(lambda: has_more(connection), "bytes wait for the client")
    return connection


def has_more(connection: H1Server | H2Server) -> bool:
    if isinstance(connection, H2Server):
        return any(stream.full for stream in connection.streams.values())
    return connection.full and connection.unsent > 0


async def push(client: Client, data: bytes, seconds: float = 1.0) -> int:
    """Send as much as the gateway takes, for a while; how many bytes that were."""
    loop = asyncio.get_running_loop()
    sent, end = 0, loop.time() + seconds
    while sent < len(data) and loop.time() < end:
        sent += client.offer(data[sent : sent + 65536])
        await asyncio.sleep(0)
    return sent


@pytest.mark.http1
async def test_no_request_is_begun_while_a_response_is_unsent(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = each_request(served)
    rig = await gateway_for(upstream)
    client = await rig.connect(receive_buffer=SMALL_RECEIVE_BUFFER)
    await client.send(request("/big/1") + request("/big/2") + request("/small"))
    await stuck(rig)
    await asyncio.sleep(GLANCE)
    assert rig.gateway.exchanges == 1
    assert [message.target for message in upstream.requests] == [b"/big/1"]
    for size in (len(BIG), len(BIG), 2):
        assert len((await client.response()).body) == size


@pytest.mark.http1
@pytest.mark.parametrize("own", ["401", "404", "upstream"])
async def test_what_a_pipelining_client_makes_us_hold(gateway_for: GatewayFor, upstream: Upstream, own: str) -> None:
    """Neither responses nor requests pile up, whoever makes the responses."""
    upstream.behaviour = each_request(served)
    rules = {"401": {"access_rule": "@request.auth.id != ''"}, "404": {"path": "/other"}, "upstream": {}}
    rig = await gateway_for(upstream, **rules[own])
    client = await rig.connect(receive_buffer=SMALL_RECEIVE_BUFFER)
    client.sock.setblocking(False)
    pushed = asyncio.ensure_future(push(client, request("/medium") * 200_000, seconds=3.0))
    connection = await stuck(rig)
    await pushed
    assert connection.unsent < 65536
    assert len(connection._stash) <= READ_AHEAD


@pytest.mark.http1
async def test_reading_ahead_is_bounded_while_an_upstream_is_slow(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """Each response made room for one more read, so that the bytes read ahead grew by a buffer a request."""
    # At the end the client's own end stands behind what is not read: the last request ends by its timeout.
    rig = await gateway_for(upstream, timeouts=replace(TIMEOUTS, response_header=1))
    client = await rig.connect()
    client.sock.setblocking(False)
    pushed = asyncio.ensure_future(push(client, request("/small") * 200_000))
    link = await upstream.link()
    for _ in range(100):
        await link.request()
        await link.send(answer(b"ok"))
        assert len(the_connection(rig)._stash) <= READ_AHEAD
        assert (await client.response()).body == b"ok"
    pushed.cancel()


@pytest.mark.http1
@pytest.mark.parametrize("then", ["close", "drain"])
@pytest.mark.parametrize("size", [8_000, 20_000, 40_000, 62_000])
async def test_a_response_is_whole_although_more_came_while_nothing_was_read(
    gateway_for: GatewayFor, upstream: Upstream, size: int, then: str
) -> None:
    """Reading is held behind a large body in the segment of its head. A close over unread bytes would be a RST."""
    rig = await gateway_for(upstream)
    client = await rig.connect(receive_buffer=65536)
    close = ("Connection: close",) if then == "close" else ()
    await client.send(request("/", *close, method="POST", body=b"b" * size))
    link = await upstream.link()
    await link.request()
    await client.send(request("/next"))
    sending = asyncio.ensure_future(link.send(answer(BIG)))
    await stuck(rig)
    rig.gateway.server.draining = rig.gateway.server.closes_idle = then == "drain"
    assert (await client.response()).body == BIG
    await sending
    await client.gone()


@pytest.mark.parametrize("size", [64, 1 << 20])
async def test_the_permit_covers_the_response_until_it_left(
    gateway_for: GatewayFor, upstream: Upstream, size: int
) -> None:
    """The upstream was done long ago; its next request waits all the same, because our memory holds the response."""
    rest = b"y" * size

    async def serve(link: Link) -> None:
        await link.request()
        await link.send(answer(BIG + rest))
        await link.request()
        await link.send(answer(b"next"))

    upstream.behaviour = serve
    rig = await gateway_for(upstream, max_concurrent=1)
    client = await rig.connect(receive_buffer=SMALL_RECEIVE_BUFFER)
    await client.send(request("/big"))
    await stuck(rig)
    assert code_of(await rig.ask("/small")) == "concurrency_limit"
    assert (await client.response()).body == BIG + rest
    await rig.settled()
    assert (await rig.ask("/small")).body == b"next"


@pytest.mark.parametrize(
    "lines", [(), pytest.param(("Connection: close",), marks=pytest.mark.http1)], ids=["keep-alive", "close"]
)
async def test_a_client_that_stops_reading_is_cut(
    gateway_for: GatewayFor, upstream: Upstream, lines: tuple[str, ...]
) -> None:
    """In HTTP/2 its stream is reset, and what else it does goes on."""
    upstream.behaviour = each_request(served)
    breaker = CircuitBreaker(enabled=True, failure_threshold=1)
    rig = await gateway_for(upstream, max_concurrent=1, circuit_breaker=breaker, limits=Limits(body_timeout=SHORT))
    client = await rig.connect(receive_buffer=SMALL_RECEIVE_BUFFER)
    await client.send(request("/big", *lines))
    await upstream.link()
    await rig.settled()
    await eventually(lambda: rig.gateway.connections == (rig.over == "h2"), "the client is cut")
    assert (await rig.log.last())["reason"] == "client_timeout"
    assert rig.p.endpoints[0].breaker.failures == 0


@pytest.mark.http1
async def test_a_refused_client_that_does_not_read_is_cut(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """No exchange runs: the connection itself bounds the time in which its last responses are taken."""
    rig = await gateway_for(upstream, access_rule="@request.auth.id != ''", limits=Limits(body_timeout=SHORT))
    client = await rig.connect(receive_buffer=SMALL_RECEIVE_BUFFER)
    client.sock.setblocking(False)
    pushed = asyncio.ensure_future(push(client, request("/small") * 200_000, seconds=2.0))
    await stuck(rig)
    await eventually(lambda: rig.gateway.connections == 0, "the client is cut")
    pushed.cancel()


async def test_a_half_close_behind_a_request_does_not_hold_the_permit(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    """A FIN while bytes wait: closing would wait for the flush, and the exchange with it."""
    rig = await gateway_for(upstream, max_concurrent=1)
    client = await rig.connect(receive_buffer=SMALL_RECEIVE_BUFFER)
    await client.send(request("/big"))
    link = await upstream.link()
    await link.request()
    await link.send(head("Content-Length: 100000000"))
    sending = asyncio.ensure_future(link.send(b"x" * 50_000_000))
    await stuck(rig)
    client.half_close()
    await rig.settled()
    assert (await rig.log.last())["reason"] == "client_gone"
    with contextlib.suppress(OSError):
        await sending


async def echo_while_reading(link: Link) -> None:
    """Send each byte back as it comes, and read no more while it cannot be sent."""
    await link.head()
    await link.send(head("Content-Length: 100000000"))
    while await link.fill():
        await link.send(link.take(len(link.buffer)))


@pytest.mark.http1  # with windows the caller alone is blocked, by itself
async def test_both_directions_blocked(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """The client uploads and does not read; the upstream echoes. Nothing moves, and the exchange must end."""
    upstream.behaviour = echo_while_reading
    limits = Limits(body_timeout=SHORT)
    rig = await gateway_for(upstream, max_concurrent=1, limits=limits, timeouts=replace(TIMEOUTS, body_idle=30))
    client = await rig.connect(receive_buffer=SMALL_RECEIVE_BUFFER)
    client.sock.setblocking(False)
    await client.send(request("/", "Content-Length: 100000000", method="POST"))
    pushed = asyncio.ensure_future(push(client, b"z" * 100_000_000, seconds=2.0))
    await stuck(rig)
    await eventually(lambda: rig.gateway.exchanges == 0, "the exchange is ended")
    await rig.settled()
    assert (await rig.log.last())["reason"] == "client_timeout"
    pushed.cancel()


async def test_an_upstream_that_takes_no_more_of_an_upload(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, timeouts=replace(TIMEOUTS, body_idle=SHORT))
    client = await rig.connect()
    client.sock.setblocking(False)
    await client.send(request("/", "Content-Length: 100000000", method="POST"))
    pushed = asyncio.ensure_future(push(client, b"z" * 100_000_000, seconds=2.0))
    assert code_of(await client.response()) == "body_idle_timeout"
    pushed.cancel()


class TestRateFloor:
    pytestmark = pytest.mark.interpreted  # replaces numbers of the gateway's

    @pytest.fixture(autouse=True)
    def _hurry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pace, "GRACE", 0.1)
        monkeypatch.setattr(pace, "WINDOW", 0.3)
        monkeypatch.setattr(stall, "_TICK", 0.1)

    async def trickle(self, client: Client, data: bytes, every: float = 0.02, pieces: int = 150) -> None:
        with contextlib.suppress(OSError):
            for _ in range(pieces):
                await client.send(data)
                await asyncio.sleep(every)

    @pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
    async def test_a_body_below_it(self, gateway_for: GatewayFor, upstream: Upstream, framing: str) -> None:
        rig = await gateway_for(upstream, max_concurrent=1)
        client = await rig.connect()
        await client.send(request("/", framing, method="POST"))
        piece = b"x" if "Length" in framing else b"1\r\nx\r\n"
        sending = asyncio.ensure_future(self.trickle(client, piece, every=0.05))
        assert code_of(await client.response()) == "client_timeout"
        sending.cancel()
        await rig.settled()

    async def test_a_body_above_it(self, gateway_for: GatewayFor, upstream: Upstream) -> None:
        upstream.behaviour = echo()
        rig = await gateway_for(upstream)
        client = await rig.connect()
        await client.send(request("/", "Content-Length: 3000", method="POST"))
        await self.trickle(client, b"x" * 100, every=0.04, pieces=30)
        assert len((await client.response()).body) == 3000

    async def test_no_floor(self, gateway_for: GatewayFor, upstream: Upstream) -> None:
        upstream.behaviour = echo()
        rig = await gateway_for(upstream, limits=Limits(min_body_rate=0))
        client = await rig.connect()
        await client.send(request("/", "Content-Length: 20", method="POST"))
        await self.trickle(client, b"x", every=0.05, pieces=20)
        assert len((await client.response()).body) == 20

    async def test_a_body_behind_the_begin_of_its_response(self, gateway_for: GatewayFor, upstream: Upstream) -> None:
        """A dialogue has its own tempo: it is not measured."""
        rig = await gateway_for(upstream)
        client = await rig.connect()
        await client.send(request("/", "Content-Length: 20", method="POST"))
        link = await upstream.link()
        await link.head()
        await link.send(head("Content-Length: 20"))
        await self.trickle(client, b"x", every=0.05, pieces=20)
        assert await link.exactly(20) == b"x" * 20
        await link.send(b"y" * 20)
        assert (await client.response()).body == b"y" * 20

    @pytest.mark.raw  # it reads a few bytes of a record at a time
    async def test_a_reader_below_it(self, gateway_for: GatewayFor, upstream: Upstream) -> None:
        """It takes something in each body_timeout, which used to suffice."""
        upstream.behaviour = each_request(served)
        rig = await gateway_for(upstream, max_concurrent=1, limits=Limits(min_body_rate=100_000_000))
        client = await rig.connect(receive_buffer=SMALL_RECEIVE_BUFFER)
        await client.send(request("/big"))
        connection = await stuck(rig)
        loop = asyncio.get_running_loop()
        end = loop.time() + 3
        while connection.transport is not None:
            assert loop.time() < end, "the slow reader is cut"
            with contextlib.suppress(BlockingIOError, ConnectionError):
                client.sock.recv(1000)
            await asyncio.sleep(0.02)
        await rig.settled()
        assert (await rig.log.last())["reason"] == "client_timeout"


def test_the_kernels_account_is_where_we_read_it() -> None:
    """Linux adds fields of struct tcp_info at its end only; a new one must not move the acknowledged bytes."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        with socket.create_connection(listener.getsockname()) as near:
            far, _ = listener.accept()
            with far:
                near.sendall(b"x" * 12345)
                assert len(far.recv(12345, socket.MSG_WAITALL)) == 12345
                info = near.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128)
    acked = stall._BYTES_ACKED.unpack_from(info, stall._BYTES_ACKED_AT)[0]
    assert acked in (12345, 12346)  # the SYN counts as one
