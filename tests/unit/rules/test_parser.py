"""Access rules: how they are read, and how wrong ones are rejected."""

from __future__ import annotations

import pytest

from gateway.core.message import RequestHead
from gateway.core.principal import Principal
from gateway.rules.parser import asks_path, compile_rule, paths_in
from gateway.rules.tokens import RuleError

CALLER = Principal("u1", "jwt", claims={"role": "admin"})


def admits(rule: str) -> bool:
    return compile_rule(rule)(CALLER, RequestHead(b"PUT", b"/", 1, [], {}, 0, True))


@pytest.mark.parametrize(
    "header",
    ["x_forwarded_for", "X-Forwarded-Host", "X_FORWARDED-PROTO", "x-forwarded-", "x_forwarded_user", "FORWARDED"],
)
def test_how_the_caller_says_it_came_can_not_be_asked_in_any_spelling(header: str) -> None:
    with pytest.raises(RuleError, match="callers may claim anything"):
        compile_rule(f"true || @request.headers.{header} = 'a'")


def test_what_rules_say_of_paths() -> None:
    assert asks_path("true && (@request.path != '/a')")
    assert not asks_path("@request.auth.x = '@request.path'")
    assert paths_in("@request.path = '/a' || \"/b\" != @request.path || @request.auth.x = '/c'") == ["/a", "/b"]


def test_what_stands_in_quotes_is_nothing_but_text() -> None:
    assert not admits("@request.auth.role = 'x || true'")
    assert not admits("@request.auth.role = ') || (true'")
    assert not admits("'@request.auth.role' = 'admin'")
    assert not admits("""@request.auth.role = "x' || 'a' = 'a" """)


@pytest.mark.parametrize(("sign", "comparison"), [("&&", "1=1"), ("||", "1=0")])
def test_the_longest_rule_does_not_exhaust_the_stack(sign: str, comparison: str) -> None:
    assert admits(sign.join([comparison] * 400)) is (sign == "&&")
    assert admits("(" * 32 + sign.join([comparison] * 387) + ")" * 32) is (sign == "&&")


@pytest.mark.parametrize(
    ("text", "at", "hint"),
    [
        ("", 1, "expected a field or a value instead of the end"),
        ("a = 'b'", 1, "put text in quotes: 'a'"),
        ("@request.auth.role == 'x'", 20, "there is no operator ==; write ="),
        ("@request.auth.role ~ 'x'", 20, "there is no operator ~"),
        ("@request.auth.role < 3", 20, "there is no operator <"),
        ("@request.auth.role", 19, "expected = or != instead of the end"),
        ("'a", 1, "this quote is not closed"),
        ("true & true", 6, "write &&"),
        ("true | true", 6, "write ||"),
        ("true true", 6, "join comparisons with && or ||"),
        ("(true", 1, "add )"),
        ("true)", 5, "did not expect )"),
        ("@request.auth.role contains 'x'", 20, "expected = or != instead of contains"),
        ("@request.auth.role >= 3", 20, "there is no operator >="),
        ("'a' in 'abc'", 8, "behind in stands a list of the caller's"),
        ("'a' in @request.headers.x_team", 8, "write @request.auth.NAME"),
        ("'a' in @request.method", 8, "write @request.auth.NAME"),
        ("'a' not @request.auth.l", 9, "write not in"),
        ("'a' not = @request.auth.l", 9, "write not in"),
        ("@request.auth = 'x'", 1, "there is no field @request.auth"),
        ("@request.query.a = 'x'", 1, "there is no field @request.query.a"),
        ("@request.auth.groups[0] = 'x'", 21, "has no meaning here"),
        ("@request.headers.x_original_url = '/'", 1, "callers may claim anything"),
        ("@request.headers.X-Client-Cert-Subject = 'a'", 1, "callers may claim anything"),
        ("@request.body = 'x'", 1, "there is no field @request.body"),
        ("@request.auth. = 'x'", 1, "there is no field"),
        ("@request.auth.a..b = 'x'", 1, "there is no field"),
        ("@request.headers.x_forwarded_for = '1'", 1, "callers may claim anything in x-forwarded-for"),
        ("@request.headers.Forwarded = '1'", 1, "callers may claim anything in forwarded"),
        ("@request.headers.X_Real_IP = '1'", 1, "callers may claim anything"),
        ("(" * 33 + "true" + ")" * 33, 33, "more than 32 deep"),
        ("'" + "a" * 2000 + "'", 2001, "at most 2000 characters"),
        ("\u00e9 = 1", 1, "has no meaning here"),
        ("\u00a0true", 1, "'\\xa0' has no meaning here"),
        ("true \u00a0 true", 6, "'\\xa0' has no meaning here"),
        ("true && \ud800", 9, "'\\ud800' has no meaning here"),
        ("3x = 1", 1, "has no meaning here"),
    ],
)
def test_what_is_no_rule_is_told(text: str, at: int, hint: str) -> None:
    with pytest.raises(RuleError) as caught:
        compile_rule(text)
    assert str(caught.value).startswith(f"at character {at}: ")
    assert hint in str(caught.value)
