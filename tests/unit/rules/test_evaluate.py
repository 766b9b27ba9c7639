"""Access rules: what they mean."""

from __future__ import annotations

import pytest

from gateway.core.message import RequestHead
from gateway.core.principal import Principal
from gateway.rules.parser import compile_rule

CALLER = Principal(
    "u1",
    "jwt",
    claims={
        "id": "u1",
        "role": "admin",
        "n": 3,
        "one": 1,
        "half": 0.5,
        "whole": 3.0,
        "big": 2**53,
        "huge": 10**400,
        "endless": float("inf"),
        "ok": True,
        "org": {"id": "o", "roles": ["user", "admin"]},
        "l": ["a"],
        "mixed": [3.0, True, None, "", ["a"]],
        "verb": "put",
        "verbs": ["get", "put"],
        "blank": "",
    },
)


def admits(rule: str, principal: Principal | None = CALLER, target: bytes = b"/a%2Fb?x=1", *lines: bytes) -> bool:
    known = {b"x-request-id": b"r1"}
    return compile_rule(rule)(principal, RequestHead(b"PUT", target, 1, list(lines), known, 0, True))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("true", True),
        ("false", False),
        ("@request.auth.role = 'admin'", True),
        ('@request.auth.role = "admin"', True),
        ("'admin' = @request.auth.role", True),
        ("@request.auth.role = 'Admin'", False),
        ("@request.auth.role != 'user'", True),
        ("@request.auth.n = 3", True),
        ("@request.auth.n = 3.0", True),
        ("@request.auth.n = '3'", False),
        ("@request.auth.half = 0.5", True),
        ("@request.auth.whole = 3", True),
        ("@request.auth.big = 9007199254740992", True),
        ("@request.auth.big = 9007199254740993", False),
        ("@request.auth.big = 9007199254740992.0", True),
        ("@request.auth.huge = 1", False),
        ("@request.auth.endless = 1", False),
        ("@request.auth.ok = true", True),
        ("@request.auth.ok = 'true'", False),
        ("@request.auth.ok = 1", False),
        ("@request.auth.n = true", False),
        ("@request.auth.org.id = 'o'", True),
        ("@request.auth.org.id.more = ''", True),
        ("@request.auth.org = ''", False),
        ("@request.auth.org = @request.auth.org", False),
        ("@request.auth.l = 'a'", False),
        ("@request.auth.blank = null", True),
        ("@request.auth.blank = ''", True),
        ("@request.auth.gone = ''", True),
        ("@request.auth.gone = null", True),
        ("'' = null", True),
        ("1 = 1", True),
        ("1 = '1'", False),
        ("1 = true", False),
        ("0 = false", False),
        ("@request.auth.ok = @request.auth.one", False),
        ("@request.auth.gone = @request.auth.other", True),
        ("@request.method = 'PUT'", True),
        ("@request.method = 'put'", True),
        ("'Put' != @request.method", False),
        ("@request.method = @request.auth.verb", True),
        ("@request.method = 'POST'", False),
        ("@request.method = 1", False),
        ("'a' in @request.auth.l", True),
        ("'b' in @request.auth.l", False),
        ("'A' in @request.auth.l", False),
        ("'b' not in @request.auth.l", True),
        ("3 in @request.auth.mixed", True),
        ("'3' in @request.auth.mixed", False),
        ("true in @request.auth.mixed", True),
        ("1 in @request.auth.mixed", False),
        ("'' in @request.auth.mixed", False),
        ("null in @request.auth.mixed", False),
        ("@request.auth.gone in @request.auth.mixed", False),
        ("@request.auth.role in @request.auth.org.roles", True),
        ("@request.auth.l in @request.auth.mixed", False),
        ("@request.method in @request.auth.verbs", True),
        ("'a' in @request.auth.role", False),
        ("'admin' in @request.auth.role", False),
        ("'id' in @request.auth.org", False),
        ("'a' in @request.auth.gone", False),
        ("'a' not in @request.auth.gone", True),
        ("'a' in @request.auth.l && 'b' not in @request.auth.l", True),
        ("@request.path = '/a%2Fb'", True),
        ("@request.path = '/a/b'", False),
        ("@request.headers.x_request_id = 'r1'", True),
        ("true || false && false", True),
        ("(true || false) && false", False),
        ("@request.auth.id != '' && (@request.method = 'GET' || @request.auth.n = 3)", True),
        ("  (  ( true )  )  ", True),
    ],
)
def test_what_a_rule_means(rule: str, expected: bool) -> None:
    assert admits(rule) is expected


def test_nobody_has_no_claims() -> None:
    assert admits("@request.auth.id = ''", None)
    assert not admits("@request.auth.id != ''", None)
    assert not admits("@request.auth.org.id = 'o'", None)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((b"X-Team: a",), True),
        ((b"x_team:\ta ",), True),
        ((b"X-Team: a", b"X-Team: a"), False),
        ((b"X-Team: a", b"x-team: b"), False),
        ((b"X-Team:",), False),
        ((b"XX-Team: a",), False),
    ],
)
def test_headers(lines: tuple[bytes, ...], expected: bool) -> None:
    assert admits("@request.headers.x_team = 'a'", None, b"/", *lines) is expected
    assert admits("@request.headers.X-Team = 'a'", None, b"/", *lines) is expected


def test_another_spelling_of_what_the_gateway_keeps_does_not_stand_for_it() -> None:
    assert not admits("@request.headers.x_request_id = 'r2'", None, b"/", b"X_Request_Id: r2")
    assert not admits("@request.headers.x_request_id = 'r1'", None, b"/", b"X_Request_Id: r2")


def test_a_header_sent_twice_is_all_of_its_values() -> None:
    assert admits("@request.headers.x_team = 'a, b'", None, b"/", b"X-Team: a", b"x_team: b")
    assert not admits("@request.headers.x_team = ''", None, b"/", b"X-Team:", b"X-Team: a")


@pytest.mark.parametrize(
    ("sent", "text", "equal"),
    [
        (b"Example.ORG", "example.org", True),
        (b"example.org.", "EXAMPLE.org", True),
        (b"example.org:8443", "example.org", True),
        (b"example.org:8443", "example.org:8443", True),
        (b"example.org", "example.org:8443", False),
        (b"example.org:80", "example.org:8443", False),
        (b"xexample.org", "example.org", False),
        (b"[2001:DB8:0::1]:80", "2001:db8::1", True),
        (b"[2001:db8::1]", "[2001:DB8:0:0:0:0:0:1]", True),
        (b"[2001:db8::2]", "2001:db8::1", False),
        (b"a", "", False),
        (b"", "", True),
    ],
)
def test_hosts_are_compared_as_the_router_compares_them(sent: bytes, text: str, equal: bool) -> None:
    head = RequestHead(b"GET", b"/", 1, [], {b"host": sent}, 0, True)
    caller = Principal("u", "jwt", claims={"home": text, "homes": ["x", text]})
    for rule in (f"@request.headers.host = '{text}'", f"'{text}' = @request.headers.Host"):
        assert compile_rule(rule)(None, head) is equal
    assert compile_rule(f"@request.headers.host != '{text}'")(None, head) is not equal
    assert compile_rule("@request.headers.host = @request.auth.home")(caller, head) is equal
    assert compile_rule("@request.headers.host in @request.auth.homes")(caller, head) is (equal and text != "")


@pytest.mark.parametrize("target", [b"/a%2fb", b"/a/b", b"/a%2Fb/", b"//a%2Fb", b"/./a%2Fb", b"/%61%2Fb", b"/A%2Fb"])
def test_another_spelling_of_a_path_is_another_path(target: bytes) -> None:
    assert not admits("@request.path = '/a%2Fb'", CALLER, target)
