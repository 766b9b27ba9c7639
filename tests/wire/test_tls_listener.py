"""Listeners with TLS: handshakes, certificates by name, certificates of callers, and how connections end."""

from __future__ import annotations

import asyncio
import functools
import ssl
from dataclasses import replace

import pytest
import trustme
from harness.answers import ok
from harness.client import Client, code_of, request
from harness.patience import eventually
from harness.rig import GatewayFor, Rig
from harness.tls import TlsClient, certificate, listener_tls, trusting
from harness.upstream import Upstream

from gateway.config.records import Limits, Tls

pytestmark = pytest.mark.plain


@functools.cache
def callers() -> trustme.CA:
    return trustme.CA()


@functools.cache
def others() -> trustme.CA:
    return trustme.CA()


def shows(issuer: trustme.CA, *names: str, context: ssl.SSLContext | None = None) -> ssl.SSLContext:
    context = context or trusting()
    issuer.issue_cert(*names, common_name="billing", organization_name="Example").configure_cert(context)
    return context


async def dial(rig: Rig, context: ssl.SSLContext | None = None, name: str = "gateway.test") -> TlsClient:
    client = await TlsClient.dial(rig.gateway.addresses[0], context or trusting(), name)
    rig.clients.append(client)
    return client


def handshakes(rig: Rig) -> dict[str, int]:
    return {outcome: count for outcome, count in rig.gateway.server.handshakes.counts.items() if count}


async def test_requests_over_tls_say_so(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, tls=listener_tls())
    client = await dial(rig)
    assert client.tls.version() == "TLSv1.3"
    await client.send(request("/a"))
    link = await upstream.link()
    asked = await link.request()
    assert asked.get("x-forwarded-proto") == b"https"
    await link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert (await client.response()).body == b"ok"
    line = await rig.log.last()
    assert line["tls"] == "TLSv1.3"
    assert line["client_certificate"] == ""
    assert handshakes(rig) == {"full": 1}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_versions_and_alpn(gateway_for: GatewayFor, upstream: Upstream, version: ssl.TLSVersion) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, tls=listener_tls())
    context = trusting(minimum_version=version, maximum_version=version)
    context.set_alpn_protocols(["spdy/3", "http/1.1"])
    client = await dial(rig, context)
    assert client.tls.selected_alpn_protocol() == "http/1.1"
    assert (await client.ask("/")).status == 200


async def test_a_client_without_a_protocol_in_common_is_told(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, tls=listener_tls())
    context = trusting()
    context.set_alpn_protocols(["spdy/3"])
    client = await dial(rig, context)
    assert client.refused is not None
    assert "no application protocol" in str(client.refused)
    assert handshakes(rig) == {"no_protocol": 1}


async def test_the_lowest_version_is_held(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, tls=replace(listener_tls(), min_version="1.3"))
    client = await dial(rig, trusting(maximum_version=ssl.TLSVersion.TLSv1_2))
    assert client.refused is not None
    await eventually(lambda: handshakes(rig) == {"refused": 1}, "the count")


async def test_the_name_chooses_the_certificate(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    tls = Tls((certificate("a.test"), certificate("*.b.test"), certificate("deep.b.test")))
    rig = await gateway_for(upstream, tls=tls)
    for name in ("a.test", "x.b.test", "deep.b.test"):
        client = await dial(rig, name=name)
        assert client.refused is None, name
        assert (await client.ask("/", host=name)).status == 200
    client = await dial(rig, name="unknown.test")  # it gets the first one, and refuses that
    assert client.refused is not None
    assert client.refused.reason == "CERTIFICATE_VERIFY_FAILED"


async def test_a_session_is_resumed_and_never_under_another_name(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """CVE-2025-23419."""
    upstream.behaviour = ok()
    tls = Tls(
        (
            certificate("a.test", client_auth="required", client_ca=callers()),
            certificate("b.test", client_auth="required", client_ca=others()),
        )
    )
    rig = await gateway_for(upstream, tls=tls)
    context = shows(callers(), "x.test")
    first = await dial(rig, context, "a.test")
    assert (await first.ask("/", host="a.test")).status == 200
    address = rig.gateway.addresses[0]
    for name, resumed in (("a.test", True), ("b.test", False)):
        client = await TlsClient.connect(address)
        client.secure(context, server_side=False, name=name)
        client.tls.session = first.tls.session
        rig.clients.append(client)
        opened = await client.open()
        if resumed:
            assert opened
            assert client.tls.session_reused
            assert (await client.ask("/", host=name)).status == 200
        else:
            assert not client.tls.session_reused
            await client.rest()
            assert client.refused is not None  # the certificate is of an authority that b.test does not know
    await eventually(lambda: handshakes(rig) == {"full": 1, "resumed": 1, "refused": 1}, "the counts")


async def test_a_required_certificate_is_required(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    tls = Tls((certificate("gateway.test", client_auth="required", client_ca=callers()),), ("uri", "dns", "cn"))
    rig = await gateway_for(upstream, tls=tls, access_rule="@request.auth.id = 'billing.example'")
    for context in (trusting(), shows(others(), "billing.example")):
        client = await dial(rig, context)
        await client.rest()
        assert client.refused is not None
    known = await dial(rig, shows(callers(), "billing.example"))
    assert (await known.ask("/")).status == 200
    stranger = await dial(rig, shows(callers(), "sales.example"))
    assert (await stranger.ask("/")).status == 403
    assert len((await rig.log.wait(2))[0]["client_certificate"]) == 64


async def test_an_optional_certificate_must_be_valid(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    tls = Tls((certificate("gateway.test", client_auth="optional", client_ca=callers()),), ("dns",))
    rule = "'billing.example' in @request.tls.san && @request.tls.subject != null && @request.tls.fingerprint != null"
    rig = await gateway_for(upstream, tls=tls, access_rule=rule)
    assert (await (await dial(rig)).ask("/")).status == 401
    assert (await (await dial(rig, shows(callers(), "billing.example"))).ask("/")).status == 200
    assert (await (await dial(rig, shows(callers(), "other.example"))).ask("/")).status == 403
    wrong = await dial(rig, shows(others(), "billing.example"))
    await wrong.rest()
    assert wrong.refused is not None


async def test_a_connection_serves_one_domain_of_client_certificates(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    upstream.behaviour = ok()
    tls = Tls(
        (certificate("open.test"), certificate("closed.test", client_auth="required", client_ca=callers())),
    )
    rig = await gateway_for(upstream, tls=tls)
    client = await dial(rig, name="open.test")
    assert (await client.ask("/", host="open.test")).status == 200
    refused = await client.ask("/", host="CLOSED.test.:443")
    assert refused.status == 421
    assert code_of(refused) == "misdirected"
    assert (await client.ask("/", host="open.test")).status == 200
    inside = await dial(rig, shows(callers(), "x.test"), "closed.test")
    assert (await inside.ask("/", host="closed.test")).status == 200
    assert (await inside.ask("/", host="open.test")).status == 421


async def test_connections_of_before_meet_new_rules(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, tls=Tls((certificate("gateway.test"),)))
    client = await dial(rig)
    assert (await client.ask("/")).status == 200
    tls = Tls((certificate("gateway.test", client_auth="required", client_ca=callers()),))
    listener = replace(rig.document.listen[0], tls=tls)
    await rig.gateway.reload(replace(rig.document, listen=(listener,)))
    assert (await client.ask("/")).status == 421
    again = await dial(rig, shows(callers(), "x.test"))
    assert (await again.ask("/")).status == 200


async def test_a_new_certificate_serves_the_next_handshake(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, tls=listener_tls())
    client = await dial(rig)
    before = client.tls.getpeercert(True)
    tls = Tls((certificate("gateway.test"),))
    await rig.gateway.reload(replace(rig.document, listen=(replace(rig.document.listen[0], tls=tls),)))
    assert (await client.ask("/")).status == 200  # the connection stays
    assert (await dial(rig)).tls.getpeercert(True) != before


async def test_a_certificate_that_cannot_be_used_changes_nothing(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, tls=listener_tls())
    bad = replace(certificate("gateway.test"), key=certificate("gateway.test").key)
    listener = replace(rig.document.listen[0], tls=Tls((bad,)))
    with pytest.raises(OSError, match=r"gateway\.test cannot be used"):
        await rig.gateway.reload(replace(rig.document, listen=(listener,)))
    assert (await (await dial(rig)).ask("/")).status == 200


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\xff\xff" + bytes(65535),
        b"\x16\x03\x01\0\4\1\0\0\0",
        bytes(7),
    ],
    ids=["http", "record", "empty_hello", "zeros"],
)
async def test_garbage_is_closed(gateway_for: GatewayFor, upstream: Upstream, data: bytes) -> None:
    rig = await gateway_for(upstream, tls=listener_tls())
    client = await Client.connect(rig.gateway.addresses[0])
    rig.clients.append(client)
    await client.send(data)
    await client.rest()
    await eventually(lambda: rig.gateway.connections == 0, "the connection is closed")
    assert handshakes(rig) == {"not_tls": 1}


@pytest.mark.parametrize("size", [0, 1, 100, -1])
async def test_an_unfinished_handshake_ends_in_time(gateway_for: GatewayFor, upstream: Upstream, size: int) -> None:
    """CVE class of slow handshakes: nothing, a part of the ClientHello, or all of it and then silence."""
    rig = await gateway_for(upstream, tls=listener_tls(), limits=Limits(tls_handshake_timeout=0.2))
    client = await Client.connect(rig.gateway.addresses[0])
    rig.clients.append(client)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        trusting().wrap_bio(incoming, outgoing, server_hostname="gateway.test").do_handshake()
    hello = outgoing.read()
    await client.send(hello[: size if size >= 0 else len(hello)])
    await client.rest()
    await eventually(lambda: handshakes(rig) == {"timeout": 1}, "the count")
    assert rig.gateway.connections == 0


async def test_a_hello_in_single_bytes_is_served(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, tls=listener_tls())
    client = await TlsClient.connect(rig.gateway.addresses[0])
    rig.clients.append(client)
    client.secure(trusting(), server_side=False, name="gateway.test")
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    for byte in client._outgoing.read():
        client.sock.send(bytes((byte,)))
        await asyncio.sleep(0)
    assert await client.open()
    assert (await client.ask("/")).status == 200


async def test_the_last_response_ends_with_close_notify(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, tls=listener_tls())
    client = await dial(rig)
    await client.send(request("/", "Connection: close"))
    assert (await client.response()).status == 200
    assert await client.rest() == b""
    assert client.notified


async def test_a_cut_response_has_no_close_notify(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, tls=listener_tls())
    client = await dial(rig)
    await client.send(request("/"))
    link = await upstream.link()
    await link.request()
    await link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await client.holds(b"half")
    link.reset()
    await client.rest()
    assert not client.notified


async def test_a_drain_ends_handshakes_and_idle_connections(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, tls=listener_tls())
    idle = await dial(rig)
    assert (await idle.ask("/")).status == 200
    silent = await Client.connect(rig.gateway.addresses[0])
    rig.clients.append(silent)
    await eventually(lambda: rig.gateway.connections == 2, "both are open")
    assert await rig.gateway.drain(2)
    assert handshakes(rig) == {"full": 1, "draining": 1}
    assert await idle.rest() == b""
    assert idle.notified


async def test_the_oldest_handshake_makes_room(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, tls=listener_tls(), limits=Limits(max_connections=10))
    silent = [await Client.connect(rig.gateway.addresses[0]) for _ in range(10)]
    rig.clients += silent
    await eventually(lambda: rig.gateway.connections >= 9, "all are open")
    client = await dial(rig)
    assert (await client.ask("/")).status == 200
    assert handshakes(rig)["room"] >= 1
