"""Who is let in, by what rule, and with which refusal."""

from __future__ import annotations

import pytest

from gateway.config.document import AuthField, Credentials, Header, Proxy, TokenRecord
from gateway.core.exchange import Exchange
from gateway.core.message import RequestHead
from gateway.errors import GatewayError
from gateway.identity.access import identify
from gateway.identity.authenticator import Authenticator
from gateway.identity.tokens import digest

ROOT, CALLER = "bwt_" + "r" * 43, "bwt_" + "c" * 43


class Peer:
    client = "192.0.2.1:1"

    def respond(self, status: int, head: bytes, body: bytes) -> None: ...
    def cut(self) -> None: ...


def exchange(*lines: bytes, token: str = "") -> Exchange:
    known = {b"authorization": b"Bearer " + token.encode()} if token else {}
    return Exchange(Peer(), RequestHead(b"GET", b"/a/b?q=1", 1, list(lines), known, 0, True), 0.0)


async def answered(rule: str, ex: Exchange, *headers: Header) -> str:
    """ "in", or the code of the refusal."""
    authenticator = Authenticator()
    authenticator.credentials = Credentials(
        {
            digest(ROOT): TokenRecord("r", "root", "superuser", True),
            digest(CALLER): TokenRecord("c", "ci", claims={"role": "admin"}),
        }
    )

    async def inside(_: Exchange) -> None:
        return None

    layer = identify(authenticator)(Proxy("p", "/", "http://h", access_rule=rule, headers=headers))
    try:
        await layer(inside)(ex)
    except GatewayError as error:
        return error.reason.code
    return "in"


def test_a_public_proxy_costs_nothing() -> None:
    async def inside(_: Exchange) -> None:
        return None

    assert identify(Authenticator())(Proxy("p", "/", "http://h", access_rule="true"))(inside) is inside


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


@pytest.mark.parametrize("token", ["bwt_" + "A" * 43, ROOT[:-1], ROOT + "x", ROOT.upper(), "a.b.c", "x"])
async def test_what_is_no_token_of_ours_proves_nothing(token: str) -> None:
    assert await answered("", exchange(token=token)) == "unauthenticated"


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        ((b"X-Role: admin",), "in"),
        ((b"x-role:admin",), "in"),
        ((b"X_Role: admin",), "in"),
        ((b"X-Role: user", b"X-Role: admin"), "unauthenticated"),
        ((b"X-Role: admin", b"x_role: user"), "unauthenticated"),
        ((b"X-Role : admin",), "unauthenticated"),
        ((b"X-Roles: admin",), "unauthenticated"),
        ((), "unauthenticated"),
    ],
)
async def test_a_header_that_stands_twice_decides_nothing(lines: tuple[bytes, ...], verdict: str) -> None:
    assert await answered("@request.headers.x_role = 'admin'", exchange(*lines)) == verdict


async def test_a_template_that_needs_the_caller_identifies_him() -> None:
    ex = exchange(token=CALLER)
    assert await answered("true", ex, Header("X-User", (AuthField("id"),))) == "in"
    assert ex.principal is not None
    assert ex.principal.id == "c"
