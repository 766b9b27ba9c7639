"""Who is let in, by what rule, and with which refusal; and what does not help to get round a rule.

The heads are read by the parser of the gateway, so that a rule sees here what it sees in a request.
"""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from unit.scene import Clock, Nobody

from gateway.config.records import AuthField, Credentials, Header, JwtIssuer, RateLimit, Route, TokenRecord
from gateway.core.exchange import Exchange
from gateway.core.limits import Limits
from gateway.core.peer import Peer
from gateway.errors import GatewayError
from gateway.identity.access import admission, identify
from gateway.identity.authenticator import Authenticator
from gateway.identity.budget import BURST
from gateway.identity.tokens import digest
from gateway.rules.tokens import RuleError
from gateway.wire.h1.head import HeadParser

NOW = 1_800_000_000.0
ROOT, CALLER, ENDS = "bwt_" + "r" * 43, "bwt_" + "c" * 43, "bwt_" + "e" * 43
KEY, FOREIGN = (RSAKey.generate_key(2048, {"kid": "r1"}) for _ in range(2))
ISSUER = JwtIssuer("https://i", ("gateway",), ("RS256",), json.dumps(KeySet([KEY]).as_dict(private=False)))
GOOD: dict[str, Any] = {"iss": "https://i", "aud": "gateway", "sub": "u1", "exp": NOW + 60}
TOKENS = {
    digest(ROOT): TokenRecord("r", "root", "superuser", True),
    digest(CALLER): TokenRecord("c", "ci", claims={"role": "admin"}),
    digest(ENDS): TokenRecord("e", "old", expires_at=NOW + 10),
}
LOGGED_IN = "@request.auth.id != ''"


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


def authenticator(clock: Clock | None = None) -> Authenticator:
    made = Authenticator(clock or Clock(NOW))
    made.credentials = Credentials(TOKENS, (ISSUER,))
    return made


def bearer(token: str) -> bytes:
    return b"Authorization: Bearer " + token.encode()


def exchange(*lines: bytes, token: str = "", target: bytes = b"/a/b?q=1") -> Exchange:
    head = [b"GET " + target + b" HTTP/1.1", b"Host: h", *lines, *([bearer(token)] if token else [])]
    return Exchange(Nobody(), HeadParser().request(b"\r\n".join(head), Limits()), 0.0)


async def answered(rule: str, ex: Exchange, *headers: Header, by: Authenticator | None = None) -> str:
    """ "in", or the code of the refusal."""
    reached = []

    async def inside(_: Exchange) -> None:
        reached.append(_)

    layer = identify(by or authenticator())(Route("p", "/", "p", access_rule=rule, headers=headers))
    try:
        await layer(inside)(ex)
    except GatewayError as error:
        assert not reached, "nobody who is refused gets to the upstream"
        return error.reason.code
    assert reached == [ex]
    return "in"


def signed(claims: dict[str, Any], key: RSAKey = KEY) -> str:
    return jwt.encode({"alg": "RS256", "kid": "r1"}, claims, key)


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_public_proxy_costs_nothing() -> None:
    async def inside(_: Exchange) -> None:
        return None

    assert identify(Authenticator())(Route("p", "/", "p", access_rule="true"))(inside) is inside


@pytest.mark.parametrize(
    ("rule", "nobody", "caller", "superuser"),
    [
        ("true", "in", "in", "in"),
        ("false", "forbidden", "forbidden", "forbidden"),
        ("", "unauthenticated", "forbidden", "in"),
        ("@request.auth.id != ''", "unauthenticated", "in", "in"),
        ("@request.auth.id = ''", "in", "forbidden", "forbidden"),
        ("@request.auth.role = 'admin'", "unauthenticated", "in", "forbidden"),
        ("@request.auth.superuser = true", "unauthenticated", "forbidden", "in"),
        ("@request.method = 'POST'", "unauthenticated", "forbidden", "forbidden"),
        ("@request.path = '/a/b'", "in", "in", "in"),
    ],
)
async def test_rules(rule: str, nobody: str, caller: str, superuser: str) -> None:
    assert [await answered(rule, exchange(token=t)) for t in ("", CALLER, ROOT)] == [nobody, caller, superuser]
    found = [admission(rule)(identified(t)) for t in ("", CALLER, ROOT)]
    assert found == [verdict == "in" for verdict in (nobody, caller, superuser)]


def identified(token: str) -> Exchange:
    ex = exchange(token=token)
    ex.principal = authenticator().authenticate(ex.request.known.get(b"authorization"), lambda: "192.0.2.1")
    return ex


@pytest.mark.parametrize("token", ["bwt_" + "A" * 43, ROOT[:-1], ROOT + "x", ROOT.upper(), digest(ROOT), "a.b.c", "x"])
async def test_what_is_no_token_of_ours_proves_nothing(token: str) -> None:
    assert await answered("", exchange(token=token)) == "unauthenticated"


@pytest.mark.parametrize(
    "lines",
    [
        (bearer(CALLER), bearer(ROOT)),
        (bearer(ROOT), bearer(CALLER)),
        (bearer(ROOT), bearer(ROOT)),
        (bearer(CALLER) + b", Bearer " + ROOT.encode(),),
        (b"X-Authorization: Bearer " + ROOT.encode(),),
        (b"Proxy-Authorization: Bearer " + ROOT.encode(),),
        (b"Cookie: Authorization=" + ROOT.encode(),),
    ],
)
async def test_two_credentials_or_another_place_for_them_prove_nothing(lines: tuple[bytes, ...]) -> None:
    assert await answered("", exchange(*lines)) == "unauthenticated"


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        ((b"X-Role: admin",), "in"),
        ((b"x-role:admin",), "in"),
        ((b"X-ROLE:\t admin ",), "in"),
        ((b"X_Role: admin",), "in"),
        ((b"X-Role: user", b"X-Role: admin"), "unauthenticated"),
        ((b"X-Role: admin", b"x_role: user"), "unauthenticated"),
        ((b"X-Role: admin", b"X-Role:"), "unauthenticated"),
        ((b"X-Role: admin, admin",), "unauthenticated"),
        ((b"X-Role: Admin",), "unauthenticated"),
        ((b"X-Role: 'admin'",), "unauthenticated"),
        ((b"X-Role: x' || 'a' = 'a",), "unauthenticated"),
        ((b"X-Roles: admin",), "unauthenticated"),
        ((b"XX-Role: admin",), "unauthenticated"),
        ((b"X-Role: admin", b"Connection: X-Role"), "unauthenticated"),
        ((), "unauthenticated"),
    ],
)
@pytest.mark.parametrize("name", ["x_role", "X-Role", "X_ROLE"])
async def test_a_header_that_stands_twice_decides_nothing(name: str, lines: tuple[bytes, ...], verdict: str) -> None:
    assert await answered(f"@request.headers.{name} = 'admin'", exchange(*lines)) == verdict


async def test_what_the_gateway_reads_itself_is_seen_once() -> None:
    assert await answered("@request.headers.authorization = 'Basic x'", exchange(b"Authorization: Basic x")) == "in"
    assert await answered("@request.headers.host = 'h'", exchange()) == "in"


@pytest.mark.parametrize("line", [b"X-Blocked: 1", b"x-blocked: 1", b"X_Blocked: 1", b"x_BLOCKED:1"])
async def test_no_spelling_of_a_header_hides_it(line: bytes) -> None:
    """What an upstream that knows but one of the spellings would read has been seen by the rule."""
    assert await answered("@request.headers.x_blocked = ''", exchange(line)) == "unauthenticated"
    assert await answered("@request.headers.x_blocked = ''", exchange(b"X-Other: 1", line)) == "unauthenticated"


@pytest.mark.parametrize("header", ["x_forwarded_for", "X-Forwarded-Host", "forwarded", "x_real_ip"])
def test_no_rule_rests_on_what_a_caller_says_of_the_way_it_came(header: str) -> None:
    with pytest.raises(RuleError, match="callers may claim anything"):
        identify(Authenticator())(Route("p", "/", "p", access_rule=f"@request.headers.{header} = '10.0.0.1'"))


@pytest.mark.parametrize(
    "line",
    [
        b"X-Forwarded-For: 127.0.0.1",
        b"X-Forwarded-Uri: /a/b",
        b"X-Forwarded-Method: PUT",
        b"X-Forwarded-User: root",
        b"Forwarded: for=127.0.0.1;by=127.0.0.1",
        b"X-Original-Url: /a/b",
        b"X-Rewrite-Url: /a/b",
        b"X-Http-Method-Override: PUT",
    ],
)
@pytest.mark.parametrize("rule", ["", LOGGED_IN, "@request.method = 'PUT'", "@request.path = '/a/b'"])
async def test_what_a_caller_claims_of_its_request_changes_nothing(rule: str, line: bytes) -> None:
    assert await answered(rule, exchange(line, target=b"/c")) == "unauthenticated"


@pytest.mark.parametrize(
    ("target", "verdict"),
    [
        (b"/a/b", "in"),
        (b"/a/b?x=/c", "in"),
        (b"http://h/a/b", "in"),
        (b"/a%2Fb", "bad_request"),
        (b"/a%2fb", "bad_request"),
        (b"/%61/b", "bad_request"),
        (b"/%2561/b", "bad_request"),
        (b"//a/b", "bad_request"),
        (b"/a\\b", "bad_request"),
        (b"/a/./b", "bad_request"),
        (b"/x/../a/b", "bad_request"),
        (b"/x/..;y/a/b", "bad_request"),
        (b"/a;%2fz/b", "bad_request"),
        (b"/a/b;x", "bad_request"),
        (b"/a/b/", "unauthenticated"),
        (b"/a//c", "unauthenticated"),
        (b"/a/b%00", "unauthenticated"),
        (b"/a/b%3Fx", "unauthenticated"),
        (b"/A/b", "unauthenticated"),
        (b"/c?/a/b", "unauthenticated"),
        (b"http://h/c?http://h/a/b", "unauthenticated"),
    ],
)
async def test_a_path_that_is_let_in_is_let_in_in_one_spelling(target: bytes, verdict: str) -> None:
    assert await answered("@request.path = '/a/b'", exchange(target=target)) == verdict


@pytest.mark.parametrize("target", [b"/a/%62", b"//a/b", b"/a/x/../b", b"/a%252fb", b"/a/b;x=1", b"/q/%2e%2e/../a/b"])
async def test_a_path_that_is_kept_out_is_kept_out_in_every_spelling(target: bytes) -> None:
    rule = "@request.path != '/a/b'"
    assert await answered(rule, exchange(target=b"/a/c")) == "in"
    assert await answered(rule, exchange(target=b"/a//c;x/%2e")) == "in", "a spelling that changes nothing passes"
    assert await answered(rule, exchange(target=target)) == "bad_request"


async def test_a_path_in_more_layers_than_can_be_read() -> None:
    path = b"/" + b"%" * 40 + b"3" * 39 + b"61"
    assert await answered("@request.path != '/a'", exchange(target=path)) == "bad_request"


SAYS_ROOT = {"superuser": True, "kind": "superuser", "id": "r", "name": "root", "role": "superuser"}


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        ("", "forbidden"),
        ("@request.auth.superuser = true", "forbidden"),
        ("@request.auth.kind = 'superuser'", "forbidden"),
        ("@request.auth.kind = 'token'", "forbidden"),
        ("@request.auth.id = 'r'", "forbidden"),
        ("@request.auth.id = 'u1' && @request.auth.kind = 'jwt'", "in"),
    ],
)
async def test_a_jwt_does_not_make_itself_a_superuser(rule: str, verdict: str) -> None:
    assert await answered(rule, exchange(token=signed(GOOD | SAYS_ROOT))) == verdict


async def test_neither_do_the_claims_of_a_token() -> None:
    made = Authenticator(Clock(NOW))
    made.credentials = Credentials({digest(CALLER): TokenRecord("c", "ci", claims=SAYS_ROOT)})
    for rule in ("", "@request.auth.superuser = true", "@request.auth.kind = 'superuser'", "@request.auth.id = 'r'"):
        assert await answered(rule, exchange(token=CALLER), by=made) == "forbidden"


def mac_by_public_key() -> str:
    text = f"{part({'alg': 'HS256', 'kid': 'r1'})}.{part(GOOD)}"
    mac = hmac.digest(KEY.as_pem(private=False), text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def tampered() -> str:
    head, _, signature = signed(GOOD).split(".")
    return f"{head}.{part(GOOD | {'sub': 'root'})}.{signature}"


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(signed(GOOD, FOREIGN), id="another key of the same name"),
        pytest.param(f"{part({'alg': 'none'})}.{part(GOOD)}.", id="alg none"),
        pytest.param(mac_by_public_key(), id="HS256 by the public key"),
        pytest.param(tampered(), id="tampered"),
        pytest.param(signed(GOOD | {"iss": "https://j"}), id="wrong iss"),
        pytest.param(signed(GOOD | {"iss": ["https://i"]}), id="iss in a list"),
        pytest.param(signed(GOOD | {"aud": "gateway2"}), id="wrong aud"),
        pytest.param(signed(GOOD | {"aud": "not the gateway"}), id="aud within a text"),
        pytest.param(signed(GOOD | {"exp": NOW - 30}), id="expired"),
        pytest.param(signed(GOOD | {"nbf": NOW + 31}), id="nbf in the future"),
        pytest.param(signed(GOOD).rpartition(".")[0] + ".", id="no signature"),
    ],
)
async def test_a_jwt_that_proves_nothing(token: str) -> None:
    assert await answered(LOGGED_IN, exchange(token=signed(GOOD))) == "in"
    assert await answered(LOGGED_IN, exchange(token=token)) == "unauthenticated"


async def test_what_has_ended_proves_nothing(clock: Clock) -> None:
    made = authenticator(clock)
    token, own = exchange(token=signed(GOOD)), exchange(token=ENDS)
    assert [await answered(LOGGED_IN, ex, by=made) for ex in (token, own)] == ["in", "in"]
    clock.now = NOW + 10
    assert [await answered(LOGGED_IN, ex, by=made) for ex in (token, own)] == ["in", "unauthenticated"]
    clock.now = NOW + 90
    assert [await answered(LOGGED_IN, ex, by=made) for ex in (token, own)] == ["unauthenticated", "unauthenticated"]


async def test_credentials_are_in_force_at_once() -> None:
    """In handlers that are made already, and on connections whose heads are shared between requests."""
    made = authenticator()
    reached = []

    async def inside(ex: Exchange) -> None:
        assert ex.principal is not None
        reached.append(ex.principal.id)

    handle = identify(made)(Route("p", "/", "p", access_rule=LOGGED_IN))(inside)
    callers = [exchange(token=CALLER), exchange(token=signed(GOOD))]
    for ex in callers:
        await handle(ex)
    made.credentials = Credentials()
    for ex in callers:
        with pytest.raises(GatewayError, match="unauthenticated"):
            await handle(ex)
        assert ex.principal is None
    made.credentials = Credentials({digest(CALLER): TokenRecord("c2", "new")}, (ISSUER,))
    for ex in callers:
        await handle(ex)
    assert reached == ["c", "u1", "c2", "u1"]


async def test_a_superuser_demoted_is_one_no_more() -> None:
    made = authenticator()
    assert await answered("", exchange(token=ROOT), by=made) == "in"
    made.credentials = Credentials({digest(ROOT): TokenRecord("r", "root")})
    assert await answered("", exchange(token=ROOT), by=made) == "forbidden"


async def test_a_template_that_needs_the_caller_identifies_him() -> None:
    ex = exchange(token=CALLER)
    assert await answered("true", ex, Header("X-User", (AuthField("id"),))) == "in"
    assert ex.principal is not None
    assert ex.principal.id == "c"


@pytest.mark.parametrize("token", ["", "bwt_" + "A" * 43, signed(GOOD, FOREIGN)], ids=["none", "own", "jwt"])
async def test_who_proves_nothing_gets_no_name_on_a_public_proxy(token: str) -> None:
    ex = exchange(token=token)
    assert await answered("true", ex, Header("X-User", (AuthField("id"),))) == "in"
    assert ex.principal is None


async def test_a_failure_counts_for_the_client_behind_a_trusted_proxy(caplog: pytest.LogCaptureFixture) -> None:
    """However the proxy names the client: in X-Forwarded-For or in Forwarded (RFC 7239)."""
    trusted = Nobody(Peer("192.0.2.1", 5000, b"http", lambda address: address == "192.0.2.1"))
    by = authenticator()
    good, bad = (jwt.encode({"alg": "RS256", "kid": "r1"}, GOOD, key) for key in (KEY, FOREIGN))

    async def asks(client: str, token: str) -> str:
        ex = exchange(token=token)
        ex.downstream = trusted  # type: ignore[assignment] # no stream
        ex.request.known[b"x-forwarded-for"] = client.encode()
        return await answered(LOGGED_IN, ex, by=by)

    for number in range(BURST):
        assert await asks("198.51.100.7", f"{bad}{number:04}") == "unauthenticated"
    assert "from 198.51.100.7 was rejected" in caplog.text
    assert await asks("198.51.100.7", good) == "unauthenticated"
    assert await asks("198.51.100.8", good) != "unauthenticated"


@pytest.mark.parametrize(("key", "asked"), [("principal", True), ("client", False)])
async def test_a_rate_limit_by_caller_needs_to_know_it(key: str, asked: bool) -> None:
    async def below(ex: Exchange) -> None:
        """Served."""

    route = Route("p", "/", "p", access_rule="true", rate_limits=(RateLimit(key, 1.0),))
    layer = identify(authenticator())(route)
    assert (layer(below) is not below) is asked
    for token, known in ((CALLER, "c"), ("bwt_" + "x" * 43, None)):
        ex = exchange(token=token)
        await layer(below)(ex)
        assert (ex.principal.id if ex.principal else None) == (known if asked else None)
