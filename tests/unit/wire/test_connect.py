"""Which connection an endpoint gets."""

from __future__ import annotations

import asyncio
import ssl

from unit.wire.h1.stage import EndpointStage

from gateway.wire.buffers import BufferPool
from gateway.wire.connect import ConnectionMaker
from gateway.wire.h1.head import HeadParser
from gateway.wire.tls_client import ClientTls


async def test_both_kinds_speak_http_1_1() -> None:
    maker = ConnectionMaker(asyncio.get_running_loop(), BufferPool(), HeadParser())
    secure, layer = maker.secure(ssl.create_default_context(), "a.example")
    assert type(maker.plain()) is type(secure) is type(EndpointStage().client)
    assert isinstance(layer, ClientTls)
    assert not secure.alive, "it has no transport before the handshake is complete"
