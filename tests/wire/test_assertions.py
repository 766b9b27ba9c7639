"""What the gateway asserts about a caller is exact or absent: no field of the caller's stands beside or for it."""

from __future__ import annotations

import pytest
from harness.answers import ok
from harness.client import request
from harness.message import Message
from harness.rig import GatewayFor, Rig
from harness.upstream import Upstream

from gateway.config.records import AuthField, Credentials, Header, Part, TokenRecord
from gateway.core.forwarded import NAMES, POISON, PREFIXES, folded, is_claim
from gateway.identity.tokens import digest

TOKEN = "bwt_" + "c" * 43
OURS = {b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-prefix"}
FAMILY = [name.decode() for name in sorted([*NAMES, *(prefix + b"x" for prefix in PREFIXES)])]
COMMON = ["x-real-ip", "x-original-url", "x-client-cert", "x-client-cert-subject", "x-ssl-client-verify", "client-cert"]


def spellings(name: str) -> list[str]:
    return [name, name.title(), name.upper().replace("-", "_"), name.replace("-", "_", 1), name.replace("-", ".", 1)]


async def seen(rig: Rig, upstream: Upstream, *lines: str, body: bytes = b"") -> Message:
    upstream.behaviour = ok()
    client = await rig.connect()
    await client.send(request("/", *lines, method="POST" if body else "GET") + body)
    assert (await client.response()).status == 200
    return upstream.requests[-1]


def claims_in(message: Message) -> list[bytes]:
    return [line for line in [*message.lines, *message.trailers] if is_claim(folded(line[: line.find(b":")]))]


@pytest.mark.parametrize("name", [*FAMILY, *COMMON])
async def test_no_claim_of_a_stranger_reaches_an_upstream(
    gateway_for: GatewayFor, upstream: Upstream, name: str
) -> None:
    assert is_claim(name.encode()), "the list is the one that the gateway has"
    rig = await gateway_for(upstream)
    sent = [f"{spelling}: forged" for spelling in spellings(name)]
    chunked = b"1\r\nx\r\n0\r\n" + "\r\n".join([*sent, "x-trailer: kept", "", ""]).encode()
    head = await seen(rig, upstream, *sent, "X-Mine: 1", "TE: trailers", "Transfer-Encoding: chunked", body=chunked)
    assert {folded(line[: line.find(b":")]) for line in claims_in(head)} == OURS - {b"x-forwarded-prefix"}
    assert not [line for line in [*head.lines, *head.trailers] if b"forged" in line]
    assert head.get("x-mine") == b"1"
    assert b"x-trailer: kept" in head.trailers


@pytest.mark.parametrize("name", [name for name in FAMILY if name.encode() not in OURS])
async def test_a_trusted_proxy_keeps_what_it_may_set(gateway_for: GatewayFor, upstream: Upstream, name: str) -> None:
    rig = await gateway_for(upstream, trusted_proxies=("127.0.0.1/32",))
    head = await seen(rig, upstream, f"{name.title()}:  told; by=it ")
    assert head.get(name) == b"told; by=it"
    head = await seen(rig, upstream, *(f"{spelling}: forged" for spelling in spellings(name) if "-" not in spelling))
    if "-" in name:
        assert not [line for line in head.lines if b"forged" in line], (
            "a proxy that checks one spelling passes others on"
        )


@pytest.mark.parametrize("trusted", [(), ("127.0.0.1/32",)])
@pytest.mark.parametrize(
    "line",
    [
        "Proxy: http://evil",
        "PROXY: http://evil",
        "Transfer_Encoding: evil",
        "Content_Length: 7evil",
        "Proxy_Authorization: evil",
        "X_Request_Id: evil",
    ],
)
async def test_fields_that_become_dangerous_variables(
    gateway_for: GatewayFor, upstream: Upstream, line: str, trusted: tuple[str, ...]
) -> None:
    rig = await gateway_for(upstream, trusted_proxies=trusted)
    head = await seen(rig, upstream, line, "X-Proxy: kept")
    assert not [found for found in head.lines if b"evil" in found]
    assert head.get("x-proxy") == b"kept"
    assert b"proxy" in POISON


CONFIGURED: list[tuple[Part, ...]] = [
    (),
    ("",),
    ("ours",),
    (AuthField("id"),),
    (AuthField("role"),),
    (" ", AuthField("gone")),
]


@pytest.mark.parametrize("parts", CONFIGURED, ids=repr)
@pytest.mark.parametrize("name", ["X-User-Role", "X_User_Role", "x-user_role", "X.User-Role"])
async def test_a_configured_field_is_never_the_callers(
    gateway_for: GatewayFor, upstream: Upstream, parts: tuple[Part, ...], name: str
) -> None:
    rig = await gateway_for(upstream, headers=(Header("X-User-Role", parts), Header("X-Other", ("1",))))
    chunked = b"0\r\n" + f"{name}: admin\r\nx-trailer: kept\r\n\r\n".encode()
    head = await seen(rig, upstream, f"{name}: admin", "Transfer-Encoding: chunked", body=chunked)
    assert not [line for line in [*head.lines, *head.trailers] if b"admin" in line]
    assert head.trailers == [b"x-trailer: kept"]
    assert head.get("x-user-role") == (b"ours" if parts == ("ours",) else None)
    assert head.get("x-other") == b"1"


@pytest.mark.parametrize("trusted", [(), ("127.0.0.1/32",)])
@pytest.mark.parametrize("name", ["X-Forwarded-Proto", "X-Real-IP", "X-Client-Cert"])
async def test_a_proxy_may_configure_a_field_of_the_list(
    gateway_for: GatewayFor, upstream: Upstream, name: str, trusted: tuple[str, ...]
) -> None:
    rig = await gateway_for(upstream, headers=(Header(name, ("ours",)),), trusted_proxies=trusted)
    head = await seen(rig, upstream, f"{name}: theirs")
    assert head.all(name) == [b"ours"]
    assert head.get("x-forwarded-host") == b"gateway.test"


@pytest.mark.parametrize("role", ["admin\u0142", " admin", "admin\x00", "admin\r\nX-Evil: 1", ["admin", "a,b"]])
async def test_a_claim_arrives_as_it_is_or_not_at_all(
    gateway_for: GatewayFor, upstream: Upstream, role: object
) -> None:
    rig = await gateway_for(
        upstream, headers=(Header("X-Role", (AuthField("role"),)), Header("X-Id", (AuthField("id"),)))
    )
    rig.gateway.authenticator.credentials = Credentials({digest(TOKEN): TokenRecord("u1", "ci", claims={"role": role})})
    head = await seen(rig, upstream, f"Authorization: Bearer {TOKEN}", "X-Role: forged")
    assert (head.all("x-role"), head.get("x-id")) == ([], b"u1")
    rig.gateway.authenticator.credentials = Credentials(
        {digest(TOKEN): TokenRecord("u1", "ci", claims={"role": ["admin", "user"]})}
    )
    assert (await seen(rig, upstream, f"Authorization: Bearer {TOKEN}")).get("x-role") == b"admin,user"


@pytest.mark.parametrize(
    "value", [f"Bearer {TOKEN}", f"Bearer  {TOKEN}", f"bearer    {TOKEN}", f"BEARER {TOKEN} ", f"Bearer\t{TOKEN}"]
)
async def test_a_token_of_the_gateway_ends_here(gateway_for: GatewayFor, upstream: Upstream, value: str) -> None:
    """One parser says what authenticates and what is kept from the upstream."""
    rig = await gateway_for(upstream, headers=(Header("X-Id", (AuthField("id"),)),))
    rig.gateway.authenticator.credentials = Credentials({digest(TOKEN): TokenRecord("u1", "ci")})
    head = await seen(rig, upstream, f"Authorization: {value}")
    assert head.all("authorization") == []
    assert head.get("x-id") == (None if "\t" in value else b"u1")
    assert TOKEN.encode() not in b"".join(head.lines)


PREFIXED = [
    ("/-/ai", True, (), [], b"/-/ai"),
    ("/-/ai", True, (), ["X-Forwarded-Prefix: /evil"], b"/-/ai"),
    ("/-/ai", True, ("127.0.0.1/32",), ["X-Forwarded-Prefix: /outer/"], b"/outer/-/ai"),
    ("/-/ai", False, ("127.0.0.1/32",), ["X-Forwarded-Prefix: /outer"], b"/outer"),
    ("/-/ai", False, (), ["X-Forwarded-Prefix: /evil"], None),
    ("/", True, (), [], None),
]


@pytest.mark.parametrize(("path", "strip", "trusted", "lines", "expected"), PREFIXED)
async def test_the_prefix_that_was_stripped_is_told(
    gateway_for: GatewayFor,
    upstream: Upstream,
    path: str,
    strip: bool,
    trusted: tuple[str, ...],
    lines: list[str],
    expected: bytes | None,
) -> None:
    upstream.behaviour = ok()
    rig = await gateway_for(upstream, path=path, strip_path=strip, trusted_proxies=trusted)
    assert (await rig.ask(path, *lines)).status == 200
    assert upstream.requests[-1].get("x-forwarded-prefix") == expected


async def test_a_refusal_says_what_is_true_of_this_caller(gateway_for: GatewayFor, upstream: Upstream) -> None:
    """A caller who is known was told that nobody is admitted, and one without a token that a login would do."""
    rig = await gateway_for(upstream, access_rule="@request.auth.role = 'admin' || @request.method = 'PUT'")
    rig.gateway.authenticator.credentials = Credentials({digest(TOKEN): TokenRecord("u1", "ci")})
    known = await rig.ask("/", f"Authorization: Bearer {TOKEN}")
    assert b'"The access rule of this proxy does not admit this request"' in known.body
    stranger = await rig.ask("/")
    assert b'"The access rule of this proxy does not admit this request without a valid token"' in stranger.body
