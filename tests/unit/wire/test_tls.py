"""`ClientTls`: a transport that hides nothing, delays nothing, and ends as its peer ended."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from harness.patience import eventually
from harness.tls import TlsLink, authority
from unit.wire.above import Above

from gateway.config.tls_context import client_context
from gateway.wire.buffers import BUFFER_SIZE, BufferPool
from gateway.wire.tls_client import ClientTls

pytestmark = pytest.mark.interpreted  # `Above` inherits from a class of the gateway's

RECORD = 16384


def trusting() -> ssl.SSLContext:
    context = client_context()
    authority().configure_trust(context)
    return context


async def wired(far: socket.socket, near: socket.socket, context: ssl.SSLContext) -> tuple[Above, ClientTls, TlsLink]:
    loop, pool = asyncio.get_running_loop(), BufferPool()
    above = Above(loop, pool)
    layer = ClientTls(loop, pool, context, "127.0.0.1", lambda _: above)
    await loop.create_connection(lambda: layer.protocol, sock=near)
    return above, layer, TlsLink(far)


@asynccontextmanager
async def layered(
    buffer: int = 0, client: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Above, ClientTls, TlsLink]]:
    """(the connection above, the layer, the peer), after the handshake."""
    with socket.socket() as listener:
        if buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else a reset overtakes what was sent before it
    near.setblocking(False)
    above, layer, peer = await wired(far, near, client or trusting())
    _, opened = await asyncio.gather(layer.opened(), peer.open())
    assert opened
    yield above, layer, peer
    layer.abort()
    peer.close()
    await eventually(lambda: above.events[-1] == "lost", "the connection is lost")
    assert above.events.count("lost") == above.events.count("made") == 1
    assert above.pool.outstanding == 0


async def test_records_are_joined_up_to_the_size_of_a_read() -> None:
    async with layered() as (above, _, peer):
        await peer.send(b"x" * (3 * RECORD))
        await eventually(lambda: len(above.got) == 3 * RECORD)
        assert max(above.sizes) <= BUFFER_SIZE


async def test_what_is_paused_is_delivered_later_and_before_the_end() -> None:
    """The peer sends and leaves; the connection above takes one piece a turn."""
    body = bytes(range(256)) * 4000
    async with layered() as (above, layer, peer):

        def rest(size: int) -> None:
            layer.pause_reading()
            above.loop.call_later(0.002, layer.resume_reading)

        above.on_data = rest
        await peer.send(body)
        peer.close()
        await eventually(lambda: above.events[-1] == "lost", "the end")
        assert above.got == body
        assert above.events == ["made", "eof", "lost"]


async def test_nothing_is_delivered_while_paused() -> None:
    async with layered() as (above, layer, peer):
        layer.pause_reading()
        layer.resume_reading()
        layer.pause_reading()
        await peer.send(b"x")
        await asyncio.sleep(0.02)
        assert not above.got
        layer.resume_reading()
        layer.resume_reading()
        await eventually(lambda: above.got == b"x")


async def test_a_fin_without_close_notify_is_no_eof() -> None:
    async with layered() as (above, _, peer):
        await peer.send(b"half")
        peer.cut()
        await eventually(lambda: above.events[-1] == "lost", "the end")
        assert (above.events, above.got) == (["made", "lost"], b"half")


async def test_what_is_no_tls_ends_the_connection() -> None:
    async with layered() as (above, _, peer):
        await peer.send(b"good")
        await asyncio.get_running_loop().sock_sendall(peer.sock, b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await eventually(lambda: above.events[-1] == "lost", "the end")
        assert (above.events, above.got) == (["made", "lost"], b"good")


async def test_unsent_bytes_are_told_and_pause_at_once() -> None:
    """The count holds what the TCP transport below holds; nothing pauses without unsent bytes."""
    async with layered(4096) as (above, layer, peer):
        while not above.full:
            assert layer.get_write_buffer_size() == 0
            layer.write(b"x" * 1000)
        assert layer.get_write_buffer_size() > 0
        while above.full:
            await peer.fill()
            await asyncio.sleep(0)
        assert layer.get_write_buffer_size() == 0


async def test_close_says_so_and_abort_does_not() -> None:
    async with layered() as (_, layer, peer):
        layer.write(b"all")
        layer.close()
        layer.write(b"more")
        assert await peer.rest() == b"all"
        assert peer.notified
    async with layered() as (_, layer, peer):
        layer.write(b"some")
        layer.abort()
        assert await peer.rest() == b"some"
        assert not peer.notified


async def test_a_close_flushes_what_is_unsent() -> None:
    async with layered(4096) as (above, layer, peer):
        sent = 0
        while not above.full:
            layer.write(b"x" * 1000)
            sent += 1000
        layer.close()
        assert await peer.rest() == b"x" * sent
        assert peer.notified


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_this_side_may_end_first(version: ssl.TLSVersion) -> None:
    context = trusting()
    context.minimum_version = context.maximum_version = version
    async with layered(client=context) as (above, layer, peer):
        above.stays = True
        layer.write(b"all")
        above.finish()
        above.finish()
        layer.write(b"more")
        assert await peer.rest() == b"all"
        assert peer.notified
        await peer.send(b"x" * 100_000)
        await eventually(lambda: len(above.got) == 100_000, "the peer goes on")
        peer.half_close()
        await eventually(lambda: above.events[-1] == "eof", "and ends")
        assert layer.get_write_buffer_size() == 0


async def test_the_end_of_this_side_waits_for_what_has_come() -> None:
    """OpenSSL breaks off when it meets bytes while it says close_notify; none may be lost for that."""
    body = bytes(range(256)) * 500
    async with layered() as (above, layer, peer):
        above.stays = True
        layer._paused = True  # and the TCP transport reads on, as it does for the rest of a read
        await peer.send(body)
        await eventually(lambda: layer._incoming.pending > len(body))
        above.finish()
        assert not layer._outgoing.pending
        layer.resume_reading()
        assert await peer.rest() == b""
        assert peer.notified
        assert above.got == body
        await peer.send(b"more")
        await eventually(lambda: above.got == body + b"more")


async def test_a_close_pays_an_end_that_is_due() -> None:
    async with layered() as (above, layer, peer):
        layer._paused = True
        await peer.send(b"x" * 100_000)
        await eventually(lambda: layer._incoming.pending > 100_000)
        layer.write(b"last")
        above.finish()
        layer.close()
        assert (await peer.rest()).startswith(b"last")


@pytest.mark.parametrize("way", ["half_close", "then more"])
async def test_this_side_may_go_on_when_the_peer_has_ended(way: str) -> None:
    async with layered() as (above, layer, peer):
        above.stays = True
        await peer.send(b"last")
        if way == "half_close":
            peer.half_close()
        else:  # RFC 8446 6.1: what follows close_notify is ignored
            with contextlib.suppress(ssl.SSLError):
                peer.tls.unwrap()
            await peer._flush()
            await eventually(lambda: above.events[-1] == "eof")
            peer.sock.send(b"x" * 1000)
        await eventually(lambda: above.events[-1] == "eof")
        assert above.got == b"last"
        assert not layer.is_closing()
        layer.write(b"x" * 100_000)
        above.finish()
        assert await peer.exactly(100_000) == b"x" * 100_000
        if way == "half_close":
            assert await peer.rest() == b""


async def test_what_came_before_a_failed_write_is_delivered() -> None:
    """RFC 9112 9.6: the peer responds, closes, and its kernel resets what comes after."""
    async with layered() as (above, layer, peer):
        layer.pause_reading()
        await peer.send(b"early " * 2000)
        peer.reset()
        while layer.get_write_buffer_size() == 0 and not layer.is_closing() and "lost" not in above.events:
            layer.write(b"x")
            await asyncio.sleep(0)
        await eventually(lambda: above.events[-1] == "lost", "the end")
        assert above.got == b"early " * 2000


async def test_tls_1_2() -> None:
    old = trusting()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with layered(client=old) as (above, layer, peer):
        layer.write(b"x" * 100_000)
        assert len(await peer.exactly(100_000)) == 100_000
        await peer.send(b"y")
        await eventually(lambda: above.got == b"y")


@pytest.mark.parametrize("way", ["eof", "no tls", "stranger"])
async def test_a_handshake_that_fails(way: str) -> None:
    near, far = socket.socketpair()
    near.setblocking(False)
    stranger = client_context()
    above, layer, peer = await wired(far, near, stranger if way == "stranger" else trusting())
    if way == "eof":
        far.shutdown(socket.SHUT_WR)
    elif way == "no tls":
        far.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    else:
        assert not await peer.open()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.wait_for(layer.opened(), 3)
    await eventually(lambda: layer.get_extra_info("socket") is None, "the connection is lost")
    assert above.events == []
    far.close()
