"""`ClientTls`: how the handshake with an endpoint ends. What it does afterwards is `test_tls.py`'s."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from harness.scripted import ScriptedTransport
from unit.wire.above import Above

from gateway.wire.buffers import BufferPool
from gateway.wire.tls_client import ClientTls

pytestmark = pytest.mark.interpreted  # `Above` inherits from a class of the gateway's


def made() -> tuple[ClientTls, Above, ScriptedTransport]:
    loop, pool = asyncio.get_running_loop(), BufferPool()
    above = Above(loop, pool)
    layer = ClientTls(loop, pool, ssl.create_default_context(), "a.test", lambda _: above)
    return layer, above, ScriptedTransport(layer)


async def test_the_client_speaks_first() -> None:
    _, above, transport = made()
    assert transport.taken.startswith(b"\x16\x03\x01")
    assert above.events == []


async def test_an_end_in_the_handshake_is_an_error() -> None:
    layer, above, transport = made()
    transport.lose()
    with pytest.raises(ConnectionResetError):
        await layer.opened()
    assert above.events == []


async def test_what_is_not_tls_is_an_error() -> None:
    layer, above, transport = made()
    transport.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ssl.SSLError):
        await layer.opened()
    assert above.events == []
