"""Which connection an accepted socket gets."""

from __future__ import annotations

import asyncio

from harness.scripted import ScriptedTransport
from unit.wire.h1.stage import GET, Service

from gateway.core.limits import Limits
from gateway.wire.accept import Acceptor
from gateway.wire.buffers import BufferPool
from gateway.wire.h1.head import HeadParser
from gateway.wire.link import Link


async def test_a_plain_listener_speaks_http_1_1() -> None:
    service = Service(Limits())
    service.go_on.set()
    made = Acceptor(BufferPool(), HeadParser()).plain(asyncio.get_running_loop(), service)
    assert isinstance(made, Link)
    transport = ScriptedTransport(made, peername=("192.0.2.1", 5000))
    assert service.connections == {made}
    transport.say(GET)
    for _ in range(6):
        await asyncio.sleep(0)
    assert transport.taken.startswith(b"HTTP/1.1 200 OK\r\n")
    assert service.served[0].downstream.peer.scheme == b"http"
    transport.lose()
