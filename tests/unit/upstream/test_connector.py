"""Dialling on real sockets: each way to fail has its reason."""

from __future__ import annotations

import asyncio
import inspect
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
import trustme
from harness.upstream import BlackHole, refused_url

from gateway.config.document import Timeouts
from gateway.errors import GatewayError
from gateway.upstream.connector import HardenedConnector, tls_context
from gateway.upstream.endpoint import Endpoint
from gateway.wire.buffers import BufferPool
from gateway.wire.head import HeadParser


@asynccontextmanager
async def connector(url: str, tls: ssl.SSLContext | None = None, **timeouts: float) -> AsyncIterator[HardenedConnector]:
    made = HardenedConnector(Endpoint.of(url), Timeouts(**timeouts), BufferPool(), HeadParser(), tls or tls_context())
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def listener(handle, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:  # type: ignore[no-untyped-def]
    served: list[tuple[asyncio.Task[None] | None, asyncio.StreamWriter]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append((asyncio.current_task(), writer))
        await handle(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task, writer in served:
            writer.transport.abort()
            if task is not None:
                await asyncio.wait([task])


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def code_of_dial(made: HardenedConnector) -> str:
    with pytest.raises(GatewayError) as caught:
        await made.dial()
    return caught.value.reason.code


async def test_a_connection_is_kept_alive_by_the_kernel() -> None:
    async with listener(silence) as port, connector(f"http://127.0.0.1:{port}") as made:
        connection = await made.dial()
        assert connection.alive
        assert connection.transport is not None
        raw = connection.transport.get_extra_info("socket")
        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
        connection.abort()


async def test_refused() -> None:
    async with connector(refused_url()) as made:
        assert await code_of_dial(made) == "dial_failed"


async def test_no_such_name() -> None:
    async with connector("http://does-not-exist.invalid") as made:
        assert await code_of_dial(made) == "dns_failed"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_nobody_accepts(black_hole: BlackHole, scheme: str) -> None:
    async with connector(black_hole.url.replace("http", scheme, 1), dial=0.05, tls_handshake=30) as made:
        assert await code_of_dial(made) == "dial_timeout"


async def test_a_handshake_that_never_ends() -> None:
    async with listener(silence) as port, connector(f"https://127.0.0.1:{port}", tls_handshake=0.05) as made:
        assert await code_of_dial(made) == "tls_timeout"


async def test_a_peer_that_speaks_no_tls() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with listener(plain) as port, connector(f"https://127.0.0.1:{port}") as made:
        assert await code_of_dial(made) == "tls_failed"


async def test_certificates_are_verified() -> None:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    async with listener(silence, server) as port:
        async with connector(f"https://127.0.0.1:{port}") as stranger:
            assert await code_of_dial(stranger) == "tls_failed"
        trusting = tls_context()
        authority.configure_trust(trusting)
        async with connector(f"https://127.0.0.1:{port}", trusting) as friend:
            connection = await friend.dial()
            assert connection.alive
            connection.abort()


async def test_a_name_that_the_certificate_does_not_hold() -> None:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("other.example").configure_cert(server)
    trusting = tls_context()
    authority.configure_trust(trusting)
    async with listener(silence, server) as port, connector(f"https://127.0.0.1:{port}", trusting) as made:
        assert await code_of_dial(made) == "tls_failed"


async def test_https_goes_through_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS_PROXY: a CONNECT first, then TLS with the endpoint, and our own protocol on top."""
    asked: list[bytes] = []
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)

    async with listener(silence, server) as endpoint:

        async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", endpoint)
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

            async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
                while data := await source.read(65536):
                    sink.write(data)
                sink.close()

            await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

        async with listener(tunnel) as port:
            monkeypatch.setenv("https_proxy", f"http://u:p@127.0.0.1:{port}")
            monkeypatch.setenv("no_proxy", "")
            trusting = tls_context()
            authority.configure_trust(trusting)
            async with connector(f"https://127.0.0.1:{endpoint}", trusting) as made:
                connection = await made.dial()
                assert connection.alive
                assert type(connection).__name__ == "UpstreamConnection"
                connection.abort()
    assert asked[0].startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n" % endpoint)
    assert b"Proxy-Authorization: Basic dTpw" in asked[0]


async def test_the_pure_python_parsers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOHTTP_NO_EXTENSIONS", "1")
    with pytest.raises(RuntimeError, match="AIOHTTP_NO_EXTENSIONS"):
        HardenedConnector(Endpoint.of("http://a"), Timeouts(), BufferPool(), HeadParser(), tls_context())


async def test_the_private_seams_of_aiohttp_are_still_there() -> None:
    wrap = inspect.signature(aiohttp.TCPConnector._wrap_create_connection)
    assert {"addr_infos", "req", "timeout", "client_error"} <= wrap.parameters.keys()
    assert [*inspect.signature(aiohttp.TCPConnector._resolve_host).parameters][:3] == ["self", "host", "port"]
    async with connector("http://127.0.0.1:1") as made:
        for name in (
            "_convert_hosts_to_addr_infos",
            "_happy_eyeballs_delay",
            "_interleave",
            "_socket_factory",
            "_loop",
        ):
            assert hasattr(made, name), name
