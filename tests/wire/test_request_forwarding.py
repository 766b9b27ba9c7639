"""What the upstream sees of a request: everything byte for byte, except what a proxy must change."""

from __future__ import annotations

import re

import pytest
from harness.answers import OK, echo, ok
from harness.client import code_of, request
from harness.message import Message
from harness.rig import GatewayFor, Rig, proxy_to
from harness.upstream import Upstream

from gateway.config.records import Header


async def forwarded(rig: Rig, upstream: Upstream, raw: bytes) -> tuple[Message, Message]:
    """Send it, and return the request as the upstream got it and the answer as the client did."""
    upstream.behaviour = upstream.behaviour or ok()
    client = await rig.connect()
    await client.send(raw)
    response = await client.response(raw.split(b" ", 1)[0].decode())
    return upstream.requests[-1], response


# -- byte for byte

TARGETS = [
    "/",
    "/a//b/./c/../d",
    "/a%2Fb/%7Euser/%zz/%",
    "/a;p=1;q/b:c@d!$&'()*+,=",
    "/?",
    "/??a=b&a=c&&x=%20+y?/",
    "/a?x=http://e/../f",
    '/~{}|^\\"<>`',
]


@pytest.mark.plain
@pytest.mark.parametrize("target", TARGETS)
async def test_the_target_is_untouched(gateway_for: GatewayFor, upstream: Upstream, target: str) -> None:
    rig = await gateway_for(upstream)
    seen, _ = await forwarded(rig, upstream, request(target))
    assert seen.target == target.encode()


@pytest.mark.http1
async def test_fields_keep_case_order_and_duplicates(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """RFC 9110 5.3: the order of fields of one name means something; signatures need all the rest."""
    lines = [
        "accept: */*",
        "X-B: 2",
        "x-a: 1",
        "X-B: 1",
        "Cookie: a=1; b=\xe4",
        "X-EMPTY:",
        "ACCEPT: text/html",
        "x_y: 1",
    ]
    rig = await gateway_for(upstream)
    seen, _ = await forwarded(rig, upstream, request("/", *lines))
    expected = [line.encode("latin-1") for line in lines]
    assert [line for line in seen.lines if line in expected] == expected


async def test_encodings_are_left_alone(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    body = b"\x1f\x8b\x08\x00 not really gzip"
    upstream.behaviour = echo()
    raw = request("/", "Content-Encoding: gzip", "Accept-Encoding: br, gzip", method="POST", body=body)
    seen, response = await forwarded(rig, upstream, raw)
    assert (seen.body, response.body) == (body, body)
    assert (seen.get("content-encoding"), seen.get("accept-encoding")) == (b"gzip", b"br, gzip")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "PROPFIND", "FOO", "get", "M-SEARCH"])
async def test_any_method_passes(gateway_for: GatewayFor, upstream: Upstream, method: str) -> None:
    """RFC 9110 9.1: methods are an open list, and case-sensitive."""
    rig = await gateway_for(upstream)
    seen, response = await forwarded(rig, upstream, request("/x", method=method))
    assert (seen.method, seen.body, response.status) == (method.encode(), b"", 200)


async def test_methods_with_a_body(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = echo()
    rig = await gateway_for(upstream)
    for method in ("GET", "DELETE", "FOO"):
        response = await rig.ask("/x", method=method, body=b"a body")
        assert response.body == b"a body"


async def test_a_chunked_body_is_chunked_again(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream)
    raw = request("/", "Transfer-Encoding: chunked", method="POST") + b'5;x="y"\r\nhello\r\n1\r\n!\r\n0\r\n\r\n'
    seen, _ = await forwarded(rig, upstream, raw)
    assert (seen.framing, seen.body, seen.get("content-length")) == ("chunked", b"hello!", None)


@pytest.mark.http1
async def test_an_http_1_0_client_is_forwarded_as_http_1_1(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """RFC 9110 6.2: an intermediary sends its own version; RFC 9112 3.2: and then needs a Host."""
    rig = await gateway_for(upstream)
    seen, response = await forwarded(rig, upstream, b"GET /a HTTP/1.0\r\n\r\n")
    assert seen.start == b"GET /a HTTP/1.1"
    assert seen.get("host") == f"127.0.0.1:{upstream.port}".encode()
    assert response.start == b"HTTP/1.1 200 OK"


# -- hop by hop


@pytest.mark.http1
async def test_hop_by_hop_fields_end_here(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """RFC 9110 7.6.1."""
    rig = await gateway_for(upstream)
    lines = [
        "X-One: 1",
        "Connection: X-Secret, keep-alive",
        "x-secret: 1",
        "Connection: x-other",
        "X-Other: 2",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic x",
        "TE: gzip",
        "Upgrade: foo/2",
        "X-Two: 2",
    ]
    seen, _ = await forwarded(rig, upstream, request("/", *lines))
    names = {line.split(b":")[0].lower() for line in seen.lines}
    assert {b"x-one", b"x-two"} <= names
    assert not names & {b"x-secret", b"x-other", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"upgrade"}
    assert not seen.options("te") - {b"trailers"}
    assert not seen.options("connection") - {b"keep-alive", b"te"}


@pytest.mark.http1
async def test_connection_can_not_take_what_everyone_needs(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """RFC 9110 7.6.1: a connection option must not name a field that is meant for every recipient."""
    rig = await gateway_for(upstream)
    lines = ["Connection: Host, Content-Length, X-Forwarded-For, Via, X-Request-Id", "X-Request-Id: mine"]
    seen, _ = await forwarded(rig, upstream, request("/", *lines, method="POST", body=b"hello"))
    assert (seen.body, seen.get("content-length")) == (b"hello", b"5")
    assert seen.get("host") is not None
    assert seen.get("x-forwarded-for") == b"127.0.0.1"
    assert seen.get("x-request-id")
    assert seen.all("via")


# -- Host, X-Forwarded-*, Via, Max-Forwards, X-Request-Id, configured fields


@pytest.mark.parametrize(("preserve", "expected"), [(False, None), (True, b"Gateway.test:1234")])
async def test_host(gateway_for: GatewayFor, upstream: Upstream, preserve: bool, expected: bytes | None) -> None:
    rig = await gateway_for(upstream, preserve_host=preserve)
    seen, _ = await forwarded(rig, upstream, request("/", host="Gateway.test:1234"))
    assert seen.get("host") == (expected or f"127.0.0.1:{upstream.port}".encode())


@pytest.mark.plain
async def test_host_is_the_name_in_the_upstream_url(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(f"http://localhost:{upstream.port}")
    seen, _ = await forwarded(rig, upstream, request("/"))
    assert seen.get("host") == f"localhost:{upstream.port}".encode()


@pytest.mark.http1
async def test_absolute_form_becomes_origin_form(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """RFC 9112 3.2.1 and 3.2.2: only the host and the path of it matter; an empty path is sent as a slash."""
    rig = await gateway_for(upstream, preserve_host=True)
    for target, path in [
        ("http://gateway.test/a?b", b"/a?b"),
        ("http://gateway.test", b"/"),
        ("http://gateway.test?q", b"/?q"),
    ]:
        seen, _ = await forwarded(rig, upstream, request(target))
        assert (seen.target, seen.get("host")) == (path, b"gateway.test")


SPOOFED = [
    "X-Forwarded-For: 6.6.6.6",
    "x-forwarded-for: 7.7.7.7",
    "X-Forwarded-Host: evil.test",
    "X-Forwarded-Proto: https",
]


async def test_an_untrusted_peer_can_not_forge_where_it_comes_from(
    gateway_for: GatewayFor, upstream: Upstream, over: str
) -> None:
    rig = await gateway_for(upstream, trusted_proxies=("10.0.0.0/8",))
    seen, _ = await forwarded(rig, upstream, request("/", *SPOOFED))
    assert seen.get("x-forwarded-for") == b"127.0.0.1"
    assert seen.get("x-forwarded-host") == b"gateway.test"
    assert seen.get("x-forwarded-proto") == (b"http" if over == "plain" else b"https")


async def test_a_trusted_proxy_is_believed(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, trusted_proxies=("127.0.0.0/8",))
    seen, _ = await forwarded(rig, upstream, request("/", *SPOOFED))
    addresses = b",".join(seen.all("x-forwarded-for")).replace(b" ", b"").split(b",")
    assert addresses == [b"6.6.6.6", b"7.7.7.7", b"127.0.0.1"]
    assert seen.get("x-forwarded-host") == b"evil.test"
    assert seen.get("x-forwarded-proto") == b"https"


@pytest.mark.http1
async def test_via(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """RFC 9110 7.6.3: appended, in order, with the version that was received."""
    rig = await gateway_for(upstream)
    seen, _ = await forwarded(rig, upstream, request("/", "Via: 1.0 fred, 1.1 p.example"))
    via = [member.strip() for member in b",".join(seen.all("via")).split(b",")]
    assert via[:2] == [b"1.0 fred", b"1.1 p.example"]
    assert re.fullmatch(rb"(HTTP/)?1\.1 [!-~]+", via[2])
    seen, _ = await forwarded(rig, upstream, b"GET / HTTP/1.0\r\n\r\n")
    assert re.fullmatch(rb"(HTTP/)?1\.0 [!-~]+", b",".join(seen.all("via")))


async def test_max_forwards(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """RFC 9110 7.6.2: checked and counted down for OPTIONS, ignored for what it was not made for."""
    rig = await gateway_for(upstream)
    seen, _ = await forwarded(rig, upstream, request("/", "Max-Forwards: 5", method="OPTIONS"))
    assert seen.get("max-forwards") == b"4"
    seen, _ = await forwarded(rig, upstream, request("/", "Max-Forwards: 0"))
    assert (seen.method, seen.get("max-forwards")) == (b"GET", b"0")


@pytest.mark.plain
@pytest.mark.parametrize("target", ["/a", "*"])
async def test_max_forwards_0_ends_here(gateway_for: GatewayFor, upstream: Upstream, target: str) -> None:
    rig = await gateway_for(upstream)
    response = await rig.ask(target, "Max-Forwards: 0", method="OPTIONS")
    assert response.status in (200, 204)
    assert upstream.accepted == 0


@pytest.mark.plain
@pytest.mark.parametrize("sane", ["a", "0af7651916cd43dd8448eb211c80319c", "x" * 128, "!a/b:c=d~"])
async def test_a_sane_request_id_is_kept(gateway_for: GatewayFor, upstream: Upstream, sane: str) -> None:
    rig = await gateway_for(upstream)
    seen, response = await forwarded(rig, upstream, request("/", f"x-request-id: {sane}"))
    assert seen.get("x-request-id") == response.get("x-request-id") == sane.encode()
    assert (await rig.log.last())["request_id"] == sane


@pytest.mark.plain
@pytest.mark.parametrize(
    "lines",
    [[], ["X-Request-Id:"], ["X-Request-Id: " + "x" * 129], ["X-Request-Id: a b"], ["X-Request-Id: \xe4"]],
    ids=["none", "empty", "too long", "space", "not ASCII"],
)
async def test_any_other_request_id_is_made_anew(gateway_for: GatewayFor, upstream: Upstream, lines: list[str]) -> None:
    rig = await gateway_for(upstream)
    seen, response = await forwarded(rig, upstream, request("/", *lines))
    made = seen.get("x-request-id")
    assert made is not None
    assert re.fullmatch(rb"[!-~]{8,128}", made)
    assert not lines or made not in lines[0].encode("latin-1")
    assert response.get("x-request-id") == made
    assert (await rig.log.last())["request_id"] == made.decode()


async def test_request_ids_differ(gateway_for: GatewayFor, upstream: Upstream) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream)
    ids = [(await rig.ask()).get("x-request-id") for _ in range(20)]
    assert len(set(ids)) == 20


async def test_the_upstreams_own_request_id_does_not_reach_the_client(
    gateway_for: GatewayFor, upstream: Upstream
) -> None:
    rig = await gateway_for(upstream)
    client = await rig.connect()
    await client.send(request("/", "X-Request-Id: mine"))
    link = await upstream.link()
    await link.request()
    await link.send(b"HTTP/1.1 200 OK\r\nX-Request-Id: other\r\nContent-Length: 0\r\n\r\n")
    assert (await client.response()).get("x-request-id") == b"mine"


async def test_configured_fields_overwrite(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, headers=(Header("Authorization", ("Bearer key",)), Header("X-New", ("1",))))
    lines = ["authorization: Basic a", "AUTHORIZATION: Basic b", "X-Other: 1"]
    seen, _ = await forwarded(rig, upstream, request("/", *lines))
    assert seen.all("authorization") == [b"Bearer key"]
    assert (seen.get("x-new"), seen.get("x-other")) == (b"1", b"1")


@pytest.mark.http1
async def test_connection_can_not_take_a_configured_field(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, headers=(Header("Authorization", ("Bearer key",)),))
    seen, _ = await forwarded(rig, upstream, request("/", "Connection: authorization, close"))
    assert seen.all("authorization") == [b"Bearer key"]


@pytest.mark.plain
@pytest.mark.covers("T010b")
async def test_a_forward_proxy_of_the_environment_is_asked_in_absolute_form(
    gateway_for: GatewayFor, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 9112 3.2.2; the credentials are for that proxy alone."""
    monkeypatch.setenv("http_proxy", f"http://user:pass@127.0.0.1:{upstream.port}")
    monkeypatch.setenv("no_proxy", "")
    rig = await gateway_for("http://origin.example:81/base")
    seen, _ = await forwarded(rig, upstream, request("/x?y", "Proxy-Authorization: Basic theirs"))
    assert seen.start == b"GET http://origin.example:81/base/x?y HTTP/1.1"
    assert seen.get("host") == b"origin.example:81"
    assert seen.get("proxy-authorization") == b"Basic dXNlcjpwYXNz"
    assert (await rig.log.last())["upstream"] == "origin.example:81"


# -- routes

STRIPPED = [
    ("/-/openai", "/v1", True, "/-/openai/v1/chat?model=gpt-4", "/v1/v1/chat?model=gpt-4"),
    ("/-/openai", "", True, "/-/openai/v1/chat?model=gpt-4", "/v1/chat?model=gpt-4"),
    ("/-/openai", "", True, "/-/openai", "/"),
    ("/-/openai", "/base", True, "/-/openai", "/base"),
    ("/-/openai", "/base/", True, "/-/openai", "/base"),
    ("/-/openai", "/base", True, "/-/openai?q=1", "/base?q=1"),
    ("/-/openai", "/base", True, "/-/openai/", "/base/"),
    ("/-/openai", "/base/", True, "/-/openai/x", "/base/x"),
    ("/-/openai", "/", True, "/-/openai/x", "/x"),
    ("/-/local", "", False, "/-/local/api", "/-/local/api"),
    ("/-/local", "/base", False, "/-/local/api", "/base/-/local/api"),
    ("/", "", True, "/a/b", "/a/b"),
    ("/", "/base", True, "/a/b", "/base/a/b"),
    ("/", "/base", False, "/", "/base/"),
    ("/-/openai", "", True, "/-/openai//x", "//x"),
    ("/-/openai", "", True, "/-/openai/a/%2e%2e/x", "/a/%2e%2e/x"),
]


@pytest.mark.plain
@pytest.mark.parametrize(("path", "base", "strip", "target", "expected"), STRIPPED)
async def test_target(
    gateway_for: GatewayFor, upstream: Upstream, path: str, base: str, strip: bool, target: str, expected: str
) -> None:
    rig = await gateway_for(upstream.url + base, path=path, strip_path=strip)
    seen, _ = await forwarded(rig, upstream, request(target))
    assert seen.target == expected.encode()


ROUTES = [
    ("/-/openai", "openai"),
    ("/-/openai/v1/chat", "v1"),
    ("/-/openai/v1", "v1"),
    ("/-/openai/v1?x", "v1"),
    ("/-/openai/chat", "openai"),
    ("/-/openai?x=/v1", "openai"),
    ("/-/openai/v10", "openai"),
    ("/-/openaiextra", "no_route"),
    ("/-/Openai", "no_route"),
    ("/-/disabled", "proxy_disabled"),
    ("/-/disabled/x", "proxy_disabled"),
    ("/api/test", "no_route"),
    ("/", "no_route"),
]


@pytest.mark.plain
@pytest.mark.parametrize(("target", "expected"), ROUTES)
async def test_route(gateway_for: GatewayFor, upstream: Upstream, target: str, expected: str) -> None:
    """The longest prefix at the boundary of a segment."""
    upstream.behaviour = ok()
    proxies = (
        proxy_to(upstream, name="openai", path="/-/openai"),
        proxy_to(upstream, name="v1", path="/-/openai/v1"),
        proxy_to(upstream, name="local", path="/-/local"),
        proxy_to(upstream, name="disabled", path="/-/disabled", active=False),
    )
    rig = await gateway_for(upstream, proxies=proxies)
    response = await rig.ask(target)
    if response.status == 200:
        assert (await rig.log.last())["proxy_name"] == expected
    else:
        assert (response.status, code_of(response)) == (404, expected)
        assert upstream.accepted == 0


@pytest.mark.plain
@pytest.mark.parametrize(
    ("host", "expected"),
    [("a.test", "a"), ("A.TEST:8080", "a"), ("b.test", "b"), ("c.test", ""), ("xa.test", ""), ("a.test.evil", "")],
)
async def test_hosts(gateway_for: GatewayFor, upstream: Upstream, host: str, expected: str) -> None:
    upstream.behaviour = ok()
    proxies = (
        proxy_to(upstream, name="a", path="/x", hosts=("a.test",)),
        proxy_to(upstream, name="b", path="/x", hosts=("b.test",)),
    )
    rig = await gateway_for(upstream, proxies=proxies)
    response = await rig.ask("/x", host=host)
    assert response.status == (200 if expected else 404)
    assert not expected or (await rig.log.last())["proxy_name"] == expected


@pytest.mark.plain
@pytest.mark.parametrize(("rule", "status", "code"), [("", 401, "unauthenticated"), ("false", 403, "forbidden")])
async def test_access_rules(gateway_for: GatewayFor, upstream: Upstream, rule: str, status: int, code: str) -> None:
    rig = await gateway_for(upstream, access_rule=rule)
    response = await rig.ask()
    assert (response.status, code_of(response)) == (status, code)
    assert upstream.accepted == 0
    assert (await rig.log.last())["reason"] == code


# -- Upgrade


@pytest.mark.http1
@pytest.mark.plain
@pytest.mark.parametrize("connection", ["Upgrade", "keep-alive, Upgrade", "upgrade,keep-alive"])
async def test_websocket_gets_a_friendly_no(gateway_for: GatewayFor, upstream: Upstream, connection: str) -> None:
    rig = await gateway_for(upstream)
    lines = [f"Connection: {connection}", "Upgrade: WebSocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA=="]
    response = await rig.ask("/", *lines)
    assert (response.status, code_of(response)) == (501, "websocket_disabled")
    assert b"WebSocket" in response.body
    assert upstream.accepted == 0


@pytest.mark.http1
async def test_any_other_upgrade_is_ignored(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """RFC 9110 7.8: a server may ignore Upgrade; the body is still the body."""
    rig = await gateway_for(upstream)
    lines = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"]
    seen, response = await forwarded(rig, upstream, request("/", *lines, method="POST", body=b"hello"))
    assert (seen.body, response.status) == (b"hello", 200)
    assert seen.get("upgrade") is seen.get("http2-settings") is None


@pytest.mark.http1
async def test_upgrade_without_its_connection_option_is_none(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """RFC 9110 7.8: Upgrade speaks only together with the connection option, and never in HTTP/1.0."""
    rig = await gateway_for(upstream)
    seen, response = await forwarded(rig, upstream, request("/", "Upgrade: websocket"))
    assert (seen.get("upgrade"), response.status) == (None, 200)
    raw = b"GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    seen, response = await forwarded(rig, upstream, raw)
    assert (seen.get("upgrade"), response.status) == (None, 200)


async def test_own_answers_to_head_have_no_body(gateway_for: GatewayFor, upstream: Upstream) -> None:
    rig = await gateway_for(upstream, path="/only")
    client = await rig.connect()
    response = await client.ask("/", method="HEAD")
    assert (response.status, response.get("x-gateway-reason")) == (404, b"no_route")
    await client.send(request("/only"))
    link = await upstream.link()
    await link.request()
    await link.send(OK)
    assert (await client.response()).body == b"ok"
