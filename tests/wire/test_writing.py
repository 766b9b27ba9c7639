"""`Connection.write` goes past the transport to the socket: nothing is lost, doubled, overtaken or laid bare."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from harness.patience import eventually
from harness.scripted import KeptReply
from harness.stream import Stream
from harness.tls import TlsLink, authority, server_context

from gateway import errors
from gateway.config.tls_context import client_context
from gateway.core.limits import Limits
from gateway.core.message import OutgoingRequest
from gateway.errors import GatewayError
from gateway.wire.buffers import BufferPool
from gateway.wire.h1.client import H1Client
from gateway.wire.h1.head import HeadParser
from gateway.wire.h1.message import COPY_BELOW, MessageWriter
from gateway.wire.tls_client import ClientTls

pytestmark = pytest.mark.interpreted  # `Sink` inherits from a class of the gateway's

BOTH = pytest.mark.parametrize("scheme", ["http", "https"])
SMALL = 4096
"""Of the kernel's buffers, so that they are full soon; it doubles what it is asked for."""


class Source(MessageWriter):
    """Whose bytes a sink is given; notes what the sink says of itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop, buffers: BufferPool) -> None:
        super().__init__(loop, buffers)
        self.words: list[str] = []

    def hold(self) -> None:
        self.words.append("blocked")

    def resume(self) -> None:
        self.words.append("ready")


class Sink(MessageWriter):
    """Written to by the test; ``ends`` are the reasons with which it was lost."""

    def __init__(self, loop: asyncio.AbstractEventLoop, buffers: BufferPool) -> None:
        super().__init__(loop, buffers)
        self.pool = buffers
        self.ends: list[Exception | None] = []

    def buffer_updated(self, nbytes: int) -> None:
        raise AssertionError("the peer says nothing")

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.ends.append(exc)


def socket_pair(buffer: int = 0) -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection."""
    with socket.socket() as listener:
        if buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        near = socket.socket()
        if buffer:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        near.connect(listener.getsockname())
        far, _ = listener.accept()
    near.setblocking(False)
    return near, far


def trusting() -> ssl.SSLContext:
    context = client_context()
    authority().configure_trust(context)
    return context


@asynccontextmanager
async def sink(buffer: int = 0, scheme: str = "http") -> AsyncIterator[tuple[Sink, Stream]]:
    """(the connection, its peer). Nothing that the event loop hears of may be an error that nobody caught."""
    loop = asyncio.get_running_loop()
    complaints: list[object] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    near, far = socket_pair(buffer)
    pool = BufferPool()
    made = Sink(loop, pool)
    if scheme == "https":
        peer: Stream = TlsLink(far)
        layer = ClientTls(loop, pool, trusting(), "127.0.0.1", lambda _: made)
        await loop.create_connection(lambda: layer.protocol, sock=near)
        await asyncio.gather(layer.opened(), cast(TlsLink, peer).open())
    else:
        peer = Stream(far)
        await loop.create_connection(lambda: made.protocol, sock=near)
    try:
        yield made, peer
    finally:
        made.abort()
        peer.close()
        await eventually(lambda: made.ends, "the connection is lost")
    assert len(made.ends) == 1
    assert complaints == []
    assert made.pool.outstanding == 0


def pieces(seed: int) -> list[bytes]:
    """Of all the sizes that matter, each of bytes that tell where they belong."""
    dice = random.Random(seed)
    sizes = [1, 7, 100, COPY_BELOW - 1, COPY_BELOW, 20_000, 32 * 1024, 200_000]
    return [bytes([dice.randrange(256)]) * dice.choice(sizes) for _ in range(60)]


def put(made: Sink, piece: bytes, dice: random.Random) -> None:
    """Write by one of the ways that there are."""
    way = dice.randrange(4)
    if way == 0:
        made.write(piece)
    elif way == 1:
        made.chunks(piece, len(piece))
    elif way == 2 or len(piece) > len(made.pool.current):
        made.data(memoryview(piece), pooled=False)
    else:
        made.pool.current[: len(piece)] = piece
        made.data(made.pool.current[: len(piece)], pooled=True)
        made.pool.current[: len(piece)] = b"!" * len(piece)  # the next read overwrites what was not lent


@BOTH
@pytest.mark.parametrize("seed", range(6))
async def test_all_ways_to_write_keep_the_order_before_a_slow_reader(seed: int, scheme: str) -> None:
    dice = random.Random(seed)
    sent, got = bytearray(), bytearray()
    async with sink(SMALL, scheme) as (made, peer):
        source = Source(made.loop, made.pool)
        made.start(b"", source)
        for piece in pieces(seed):
            put(made, piece, dice)
            sent += piece
            assert bool(made.unsent) is made.full
            if made.full and dice.random() < 0.7:
                while made.full:
                    await peer.fill(dice.choice([1000, 65536]))
                    await asyncio.sleep(0)
        got += await peer.exactly(len(sent))
        assert got == sent
        await eventually(lambda: not made.full, "all is flushed")
        assert source.words == ["blocked", "ready"] * (len(source.words) // 2)
        assert source.words, "the reader was never too slow: this test tests nothing"


@BOTH
@pytest.mark.parametrize("limit", [0, 1, 3, 4095])
async def test_the_kernel_may_take_any_part(monkeypatch: pytest.MonkeyPatch, limit: int, scheme: str) -> None:
    """A write that takes less than it is given, or is interrupted before it takes anything."""
    real, calls = os.write, 0

    def write(descriptor: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if not limit:
            raise BlockingIOError
        return real(descriptor, data[:limit])

    async with sink(scheme=scheme) as (made, peer):
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", write)
            for number in range(100):
                made.write(b"%04d" % number * 2000)
        assert calls, "nothing was written directly: this test tests nothing"
        for number in range(100):
            await peer.expect(b"%04d" % number * 2000)
        await peer.silence()


async def test_what_the_transport_still_holds_goes_first() -> None:
    """The reader frees the kernel's buffer before the event loop knows of it: no write may slip in there."""
    async with sink(SMALL) as (made, peer):
        filler = 0
        while not made.full:
            made.write(b"a" * 1000)
            filler += 1000
        peer.sock.setblocking(False)
        freed = peer.sock.recv(1 << 20)  # at once: the event loop has no turn
        made.write(b"b")
        rest = await peer.exactly(filler + 1 - len(freed))
        assert freed + rest == b"a" * filler + b"b"


@BOTH
async def test_an_empty_write_is_none(scheme: str) -> None:
    async with sink(scheme=scheme) as (made, peer):
        made.write(b"")
        made.write(b"x")
        await peer.expect(b"x")


# -- ends


@BOTH
@pytest.mark.parametrize("size", [10, 100_000])
async def test_a_peer_that_resets_between_two_writes(size: int, scheme: str) -> None:
    async with sink(SMALL, scheme) as (made, peer):
        made.write(b"first")
        await peer.expect(b"first")
        peer.reset()
        for _ in range(5):
            made.write(b"x" * size)
        await eventually(lambda: made.ends, "the transport has noticed")
        made.write(b"late")
        assert not made.alive


@BOTH
async def test_a_peer_that_resets_while_the_transport_holds_bytes(scheme: str) -> None:
    async with sink(SMALL, scheme) as (made, peer):
        while not made.full:
            made.write(b"a" * 1000)
        peer.reset()
        made.write(b"b")
        await eventually(lambda: made.ends, "the transport has noticed")
        assert isinstance(made.ends[0], OSError)


@BOTH
@pytest.mark.parametrize("way", ["close", "abort"])
async def test_nothing_is_written_once_the_end_has_begun(way: str, scheme: str) -> None:
    async with sink(scheme=scheme) as (made, peer):
        made.write(b"all")
        assert made.transport is not None
        getattr(made.transport, way)()
        made.write(b"more")
        made.data(memoryview(b"m" * COPY_BELOW), pooled=False)
        assert await peer.rest() == b"all"


@BOTH
async def test_what_the_transport_holds_is_still_sent_after_a_close_but_nothing_else(scheme: str) -> None:
    async with sink(SMALL, scheme) as (made, peer):
        filler = 0
        while not made.full:
            made.write(b"a" * 1000)
            filler += 1000
        assert made.transport is not None
        made.transport.close()
        made.write(b"b")
        assert await peer.rest() == b"a" * filler


async def test_a_descriptor_that_was_given_to_another_is_not_written_to() -> None:
    async with sink() as (made, _):
        assert made.transport is not None
        old = made.transport.get_extra_info("socket").fileno()
        made.abort()
        made.write(b"between")
        await eventually(lambda: made.ends, "the connection is lost")
        near, far = socket_pair()
        far.setblocking(False)
        if near.fileno() != old:
            os.dup2(near.fileno(), old)  # this is who has the number now
        made.write(b"not for you")
        with pytest.raises(BlockingIOError):
            far.recv(1)
        if near.fileno() != old:
            os.close(old)
        near.close()
        far.close()


async def test_an_answer_until_close_is_not_complete_because_a_write_met_the_reset() -> None:
    """The write takes the socket's error away: what is read then is a plain end."""
    loop = asyncio.get_running_loop()
    near, far = socket_pair()
    _, made = await loop.create_connection(lambda: H1Client(loop, BufferPool(), HeadParser()), sock=near)
    peer = Stream(far)
    reply = KeptReply()
    request = OutgoingRequest(b"POST", b"/", b"a", b"", 9, takes_trailers=False, replaced=frozenset())
    done = made.send(request, b"", b"", reply, Limits())
    await peer.until(b"\r\n\r\n")
    await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
    await eventually(lambda: reply.sink.received == b"half", "the response has begun")
    peer.reset()
    made.write(b"more of the request's body")
    with pytest.raises(GatewayError) as caught:
        await asyncio.wait_for(done, 3)
    assert caught.value.reason is errors.UPSTREAM_RESET
    assert not reply.sink.complete
    await eventually(lambda: made.transport is None, "the connection is lost")


# -- TLS


class Wiretap(asyncio.Protocol):
    """Between two ends: hands the bytes on, and keeps those that the client sent."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.heard = bytearray()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.port)

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, *, listen: bool) -> None:
            try:
                while data := await source.read(65536):
                    if listen:
                        self.heard += data
                    target.write(data)
            except ConnectionError:
                pass
            target.close()

        await asyncio.gather(pump(reader, up_writer, listen=True), pump(up_reader, writer, listen=False))


async def test_under_tls_no_byte_goes_past_the_transport() -> None:
    got = bytearray()
    tasks: set[asyncio.Task[None]] = set()

    async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            got.extend(data)
        writer.close()

    loop = asyncio.get_running_loop()
    behind = await asyncio.start_server(origin, "127.0.0.1", 0, ssl=server_context())
    tap = Wiretap(behind.sockets[0].getsockname()[1])
    before = await asyncio.start_server(
        lambda reader, writer: tasks.add(loop.create_task(tap(reader, writer))), "127.0.0.1", 0
    )
    pool = BufferPool()
    made = Sink(loop, pool)
    layer = ClientTls(loop, pool, trusting(), "127.0.0.1", lambda _: made)
    await loop.create_connection(lambda: layer.protocol, *before.sockets[0].getsockname())
    await layer.opened()
    sent = bytearray()
    dice = random.Random(1)
    for number in range(50):
        piece = b"PLAIN%03d" % number * dice.choice([1, 100, 5000])
        put(made, piece, dice)
        sent += piece
        if number % 5 == 0:
            await asyncio.sleep(0)
    await eventually(lambda: len(got) == len(sent), "all has come")
    assert got == sent
    assert tap.heard[:1] == b"\x16", "a handshake comes first"
    assert b"PLAIN" not in tap.heard
    made.abort()
    behind.close()
    before.close()
    await asyncio.wait(tasks)
    await eventually(lambda: made.ends, "the connection is lost")
