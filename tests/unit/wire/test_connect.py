"""Which connection an endpoint gets."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from unit.wire.h1.stage import EndpointStage

from gateway.wire.buffers import BufferPool
from gateway.wire.connect import ALPN, ConnectionMaker, Http2, Memories
from gateway.wire.h1.head import HeadParser
from gateway.wire.h2.client import H2Client
from gateway.wire.tls_client import ClientTls


def maker(http2: Http2 = "never") -> ConnectionMaker:
    return ConnectionMaker(asyncio.get_running_loop(), BufferPool(), HeadParser(), http2, Memories())


@pytest.mark.parametrize(("http2", "speaks_it"), [("never", False), ("auto", False), ("always", True)])
async def test_without_tls_http_2_needs_prior_knowledge(http2: Http2, speaks_it: bool) -> None:
    dialled = maker(http2).plain()
    assert (dialled.session is not None, dialled.connection is None) == (speaks_it, speaks_it)
    assert type(dialled.protocol) is (H2Client if speaks_it else type(EndpointStage().client))


@pytest.mark.parametrize("alpn", ["h2", "http/1.1", None])
@pytest.mark.parametrize("http2", ["never", "auto", "always"])
async def test_under_tls_alpn_decides(http2: Http2, alpn: str | None) -> None:
    dialled, layer = maker(http2).secure(ssl.create_default_context(), "a.example")
    assert isinstance(layer, ClientTls)
    assert dialled.connection is dialled.session is None, "there is none before the handshake is complete"
    above = layer._make_above(alpn)
    speaks_it = http2 == "always" or (http2 == "auto" and alpn == "h2")
    assert (dialled.session is not None, dialled.connection is None) == (speaks_it, speaks_it)
    assert above.protocol is dialled.protocol


def test_what_is_offered() -> None:
    assert ALPN == {"auto": ["h2", "http/1.1"], "always": ["h2"], "never": ["http/1.1"]}


def test_the_memories_are_made_once() -> None:
    memories = Memories()
    assert memories.shared() is memories.shared()
