"""`ServerTls`: from the first byte of a caller to the connection that takes over, on real sockets."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from harness.patience import eventually
from harness.scripted import ScriptedTransport
from harness.tls import TlsClient, certificate, trusting
from unit.wire.above import Above
from unit.wire.h1.stage import Service

from gateway.config.tls_context import server_context
from gateway.core.limits import Limits
from gateway.core.peer import TlsFacts
from gateway.wire.buffers import BufferPool
from gateway.wire.connections import ServerConnection
from gateway.wire.handshakes import Handshakes
from gateway.wire.link import Link
from gateway.wire.server_names import ServerNames, TlsIdentity
from gateway.wire.tls_server import ServerTls

pytestmark = pytest.mark.interpreted  # `Above` inherits from a class of the gateway's


@functools.cache
def names() -> ServerNames:
    made = certificate("gateway.test")
    context = server_context(
        made.chain, made.key, min_version="1.2", client_auth="none", client_ca="", alpn=(b"http/1.1",)
    )
    return ServerNames([TlsIdentity(context, made.names, ("none", ""))], (b"http/1.1",), ())


LIMITS = Limits()


class Scene:
    """One connection of a client to the layer."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        loop = asyncio.get_running_loop()
        self.pool = BufferPool()
        self.above = Above(loop, self.pool)
        self.service = Service(limits)
        self.handshakes = Handshakes()
        self.facts: list[tuple[str, TlsFacts]] = []
        self.layer = ServerTls(loop, self.pool, self.service, names(), self.handshakes, self._make)

    def _make(self, layer: ServerTls, protocol: str, facts: TlsFacts) -> Link:
        assert layer is self.layer
        self.facts.append((protocol, facts))
        return self.above


@asynccontextmanager
async def dialled() -> AsyncIterator[tuple[Scene, TlsClient]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    far.setblocking(False)
    scene = Scene()
    client = TlsClient(near)
    client.secure(trusting(), server_side=False, name="gateway.test")
    await asyncio.get_running_loop().connect_accepted_socket(lambda: scene.layer.protocol, far)
    yield scene, client
    scene.layer.abort()
    client.close()
    await eventually(lambda: scene.layer not in scene.service.connections, "the connection is closed")
    assert scene.pool.outstanding == 0


async def test_the_one_above_takes_over() -> None:
    async with dialled() as (scene, client):
        held: set[ServerConnection] = {scene.layer}
        assert scene.service.connections == held
        assert len(scene.handshakes) == 1
        assert await client.open()
        await eventually(lambda: scene.above.events == ["made"], "it is made")
        protocol, facts = scene.facts[0]
        assert protocol == "http/1.1"
        assert (facts.version, facts.server_name, facts.certificate) == ("TLSv1.3", "gateway.test", None)
        assert len(scene.handshakes) == 0
        await client.send(b"hello")
        await eventually(lambda: scene.above.got == b"hello", "the data")
        scene.service.connections.clear()  # as the one above would have done


async def test_data_behind_the_handshake_is_delivered() -> None:
    """TLS 1.3: a client may send with its Finished."""
    async with dialled() as (scene, client):
        assert await client.open()
        await client.send(b"x" * 100_000)
        await eventually(lambda: len(scene.above.got) == 100_000, "all of it")
        scene.service.connections.clear()


async def test_it_half_closes() -> None:
    async with dialled() as (scene, client):
        assert await client.open()
        await eventually(lambda: scene.above.transport is not None, "it is made")
        transport = scene.above.transport
        assert transport is not None
        assert transport.can_write_eof()
        transport.write(b"last")
        transport.write_eof()
        transport.write(b"too late")
        assert await client.exactly(4) == b"last"
        assert not await client.fill()
        assert client.notified
        client.ended = ""
        for piece in (b"still ", b"heard"):
            await client.send(piece)
        await eventually(lambda: scene.above.got == b"still heard", "what comes after our close_notify")
        client.half_close()
        await eventually(lambda: scene.above.events == ["made", "eof", "lost"], "both have ended")
        scene.service.connections.clear()


async def test_a_client_that_leaves_in_the_handshake() -> None:
    async with dialled() as (scene, client):
        client.sock.close()
        await eventually(lambda: scene.handshakes.counts["left"] == 1, "the count")
        assert scene.above.events == []


async def test_it_is_idle_and_makes_room() -> None:
    async with dialled() as (scene, client):
        assert scene.layer.idle_since > 0
        assert scene.layer.exchanges == ()
        scene.layer.make_room()
        await client.rest()
        assert scene.handshakes.counts["room"] == 1


@pytest.mark.parametrize("protocols", [[], ["spdy/3"]], ids=["garbage", "no_protocol"])
async def test_an_alert_that_no_one_takes_holds_nothing(protocols: list[str]) -> None:
    """The transport closes when it has flushed, and this client never takes the bytes."""
    scene = Scene(Limits(tls_handshake_timeout=0.1))
    transport = ScriptedTransport(cast(Link, scene.layer))
    transport.stop()
    context, outgoing = trusting(), ssl.MemoryBIO()
    if protocols:
        context.set_alpn_protocols(protocols)
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="gateway.test").do_handshake()
    transport.say(outgoing.read())
    if not protocols:
        await eventually(lambda: transport.waiting and transport.reading, "the server has said its part")
        transport.say(b"\x16\x03\x03\0\4aaaa")
    assert transport.closing
    assert not transport.lost
    await eventually(lambda: transport.lost, "it is cut")
    assert not scene.service.connections
    assert sum(scene.handshakes.counts.values()) == 1
