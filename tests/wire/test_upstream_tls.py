"""TLS with an upstream as its `tls` says: authorities, the gateway's own certificate, and the name."""

from __future__ import annotations

import asyncio
import functools
import logging
import ssl
from contextlib import suppress
from dataclasses import replace

import pytest
import trustme
from harness.answers import ok
from harness.client import code_of
from harness.dns import Addresses
from harness.patience import eventually
from harness.records import Proxied
from harness.rig import GatewayFor, Rig, proxy_to
from harness.tls import TlsLink, TlsUpstream, authority, client_certificate, pem_of
from harness.upstream import Upstream

from gateway.config.records import Endpoint, UpstreamTls
from gateway.upstream import names

pytestmark = pytest.mark.secure


@functools.cache
def private() -> trustme.CA:
    """Signs the certificates of upstreams here; no system knows it."""
    return trustme.CA()


@functools.cache
def ours() -> trustme.CA:
    """Signs the certificates that the gateway shows."""
    return trustme.CA()


PRIVATE = UpstreamTls(pem_of(private()))


def speaks(
    upstream: Upstream, *names: str, issuer: trustme.CA | None = None, clients: trustme.CA | None = None
) -> ssl.SSLContext:
    """Give the upstream a certificate of ``issuer``; it requires one of ``clients``."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    (issuer or private()).issue_cert(*(names or ("127.0.0.1",))).configure_cert(context)
    if clients is not None:
        clients.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    assert isinstance(upstream, TlsUpstream)
    upstream.context = context
    upstream.behaviour = ok()
    return context


def shown(upstream: Upstream) -> bytes | None:
    """The certificate of the gateway on the newest connection, DER."""
    link = upstream.links[-1]
    assert isinstance(link, TlsLink)
    return link.tls.getpeercert(True)


def told(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR)


async def refused(rig: Rig) -> str:
    response = await rig.ask("/")
    assert response.status == 502
    assert b"certificate" not in response.body, "the caller does not learn which check failed"
    return code_of(response)


async def test_an_authority_that_nobody_named(
    gateway_for: GatewayFor, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    speaks(upstream)
    rig = await gateway_for(upstream)
    assert await refused(rig) == "tls_failed"
    assert (
        f"no TLS with {upstream.url}: its certificate is rejected: unable to get local issuer certificate; name its "
        "authority in tls.ca, or the name that it holds in tls.server_name"
    ) in told(caplog)


async def test_an_authority_of_its_own_replaces_those_of_the_system(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    speaks(upstream)
    rig = await gateway_for(upstream, upstream_tls=PRIVATE)
    assert (await rig.ask("/")).status == 200
    speaks(upstream, issuer=authority())  # the system knows this one
    upstream.links[-1].close()
    await eventually(lambda: rig.p.endpoints[0].pool.open == 0, "the connection is gone")
    assert await refused(rig) == "tls_failed"


async def test_an_authority_that_another_one_has_signed_is_enough(gateway_for: GatewayFor, upstream: Upstream) -> None:
    between = private().create_child_ca()
    speaks(upstream, issuer=between)
    rig = await gateway_for(upstream, upstream_tls=UpstreamTls(pem_of(between)))
    assert (await rig.ask("/")).status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_an_upstream_that_requires_a_certificate(
    gateway_for: GatewayFor, upstream: Upstream, version: ssl.TLSVersion, caplog: pytest.LogCaptureFixture
) -> None:
    context = speaks(upstream, clients=ours())
    context.minimum_version = context.maximum_version = version
    rig = await gateway_for(upstream, upstream_tls=PRIVATE)
    # TLS 1.3: the handshake of the client ends before the server looks at its certificate (RFC 8446 4.4.2.4).
    assert await refused(rig) == ("tls_failed" if version is ssl.TLSVersion.TLSv1_2 else "upstream_reset")
    await eventually(lambda: "tls.client_cert" in told(caplog), "the log says what is missing")
    wrong = UpstreamTls(PRIVATE.ca, client_certificate("gateway.test", issuer=private()))
    await rig.change(tls=wrong)
    assert await refused(rig) in ("tls_failed", "upstream_reset")
    right = client_certificate("gateway.test", issuer=ours())
    await rig.change(tls=UpstreamTls(PRIVATE.ca, right))
    assert (await rig.ask("/")).status == 200
    assert ssl.DER_cert_to_PEM_cert(shown(upstream) or b"") in right.chain


async def test_a_certificate_is_shown_to_none_but_those_that_ask(gateway_for: GatewayFor, upstream: Upstream) -> None:
    speaks(upstream)
    rig = await gateway_for(upstream, upstream_tls=UpstreamTls(PRIVATE.ca, client_certificate("g.test", issuer=ours())))
    assert (await rig.ask("/")).status == 200
    assert shown(upstream) is None


async def test_another_name_than_that_of_the_url(
    gateway_for: GatewayFor, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str | None] = []
    context = speaks(upstream, "ai.test")
    context.sni_callback = lambda _, name, __: asked.append(name)
    rig = await gateway_for(upstream, upstream_tls=PRIVATE)
    assert await refused(rig) == "tls_failed"
    assert "IP address mismatch" in told(caplog)
    await rig.change(tls=UpstreamTls(PRIVATE.ca, server_name="other.test"))
    assert await refused(rig) == "tls_failed"
    await rig.change(tls=UpstreamTls(PRIVATE.ca, server_name="ai.test"))
    assert (await rig.ask("/")).status == 200
    assert asked == [None, "other.test", "ai.test"]
    assert upstream.links[-1].requests[-1].get("host") == f"127.0.0.1:{upstream.port}".encode()


async def test_a_renewed_certificate_is_shown_on_new_connections(gateway_for: GatewayFor, upstream: Upstream) -> None:
    speaks(upstream, clients=ours())
    rig = await gateway_for(upstream, upstream_tls=UpstreamTls(PRIVATE.ca, client_certificate("g.test", issuer=ours())))
    assert (await rig.ask("/")).status == 200
    await rig.change(server_timing=True)
    assert (await rig.ask("/")).status == 200
    assert upstream.accepted == 1, "what does not change keeps its connections"
    first = shown(upstream)
    renewed = client_certificate("g.test", issuer=ours())
    await rig.change(tls=UpstreamTls(PRIVATE.ca, renewed))
    assert (await rig.ask("/")).status == 200
    assert upstream.accepted == 2
    assert shown(upstream) != first
    await upstream.links[0].gone()


async def test_a_certificate_that_cannot_be_used_changes_nothing(gateway_for: GatewayFor, upstream: Upstream) -> None:
    speaks(upstream)
    rig = await gateway_for(upstream, upstream_tls=PRIVATE)
    mixed = client_certificate("a.test", issuer=ours(), key=client_certificate("b.test", issuer=ours()).key)
    with pytest.raises(OSError, match="a certificate in it cannot be used"):
        await rig.change(tls=UpstreamTls(PRIVATE.ca, mixed))
    assert (await rig.ask("/")).status == 200


@pytest.mark.parametrize("over", ["http", "https"])
async def test_through_a_tunnel(
    gateway_for: GatewayFor, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, over: str
) -> None:
    """Also through a forward proxy that is spoken to over TLS, which gets no certificate of ours."""
    speaks(upstream, "ai.test", clients=ours())
    asked: list[bytes] = []
    peers: list[object] = []

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
        if over == "https":
            peers.append(writer.get_extra_info("ssl_object").getpeercert(True))
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError, ssl.SSLError):
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

    context = None
    if over == "https":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority().issue_cert("127.0.0.1").configure_cert(context)
        ours().configure_trust(context)
        context.verify_mode = ssl.CERT_OPTIONAL
    async with await asyncio.start_server(tunnel, "127.0.0.1", 0, ssl=context) as proxy:
        monkeypatch.setenv("https_proxy", f"{over}://127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "")
        tls = UpstreamTls(PRIVATE.ca, client_certificate("g.test", issuer=ours()), "ai.test")
        rig = await gateway_for(f"https://elsewhere.test:{upstream.port}", upstream_tls=tls)
        assert (await rig.ask("/")).status == 200
        assert asked == [b"CONNECT elsewhere.test:%d HTTP/1.1" % upstream.port]
        assert peers == ([None] if over == "https" else [])
        assert shown(upstream) is not None
        await rig.aclose(check=True)


async def test_a_forward_proxy_whose_authority_nobody_knows(
    gateway_for: GatewayFor, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its authority is not that of the upstream behind it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    private().issue_cert("127.0.0.1").configure_cert(context)

    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(nothing, "127.0.0.1", 0, ssl=context) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        monkeypatch.setenv("https_proxy", f"https://127.0.0.1:{port}")
        monkeypatch.setenv("http_proxy", f"https://127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "")
        for scheme in ("https", "http"):
            tls = PRIVATE if scheme == "https" else UpstreamTls()
            rig = await gateway_for(f"{scheme}://elsewhere.test", upstream_tls=tls)
            assert await refused(rig) == "tls_failed"
            way = f"the forward proxy https://127.0.0.1:{port}, on the way to {scheme}://elsewhere.test"
            assert f"no TLS with {way}: its certificate is rejected" in told(caplog)


async def test_an_address_of_a_name_is_asked_for_that_name(
    gateway_for: GatewayFor, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SNI and the certificate are about the name of the URL, whatever address is dialled."""

    monkeypatch.setattr(names, "Resolver", lambda: Addresses("127.0.0.1"))
    asked: list[str | None] = []
    context = speaks(upstream, "many.test")
    context.sni_callback = lambda _, name, __: asked.append(name)
    first = proxy_to(upstream, tls=PRIVATE)
    endpoint = Endpoint(f"https://many.test:{upstream.port}", expand_dns=True)
    proxied = Proxied(first.route, replace(first.upstream, endpoints=(endpoint,)))
    rig = await gateway_for(upstream, proxies=(proxied,))
    assert (await rig.ask()).status == 200
    assert asked == ["many.test"]
    assert rig.p.endpoints[0].origin.address == "127.0.0.1"
    speaks(upstream, "127.0.0.1")
    rig.p.endpoints[0].pool.renew()
    assert code_of(await rig.ask()) == "tls_failed"
