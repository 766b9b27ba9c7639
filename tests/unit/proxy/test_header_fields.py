"""Configured header fields: what each caller's request gets, and what stops it."""

from __future__ import annotations

import pytest

from gateway.config.records import AuthField, Header
from gateway.core.principal import Principal
from gateway.proxy.header_fields import ConfiguredFields

HEADERS = (
    Header("X-Fixed", ("a", "b")),
    Header("X-User", ("user=", AuthField("id"))),
    Header("X-Org", (AuthField("org.name"),)),
)


def test_what_never_changes_is_told_apart() -> None:
    fields = ConfiguredFields(HEADERS)
    assert fields.fixed == [(b"X-Fixed", b"ab")]
    assert fields.names == [b"X-Fixed", b"X-User", b"X-Org"]
    assert ConfiguredFields(HEADERS[:1]).lines(None) == b""


def test_lines_for_a_caller() -> None:
    principal = Principal("u1", "jwt", claims={"id": "u1", "org": {"name": "Caf\u00e9"}})
    assert ConfiguredFields(HEADERS).lines(principal) == b"X-User: user=u1\r\nX-Org: Caf\xe9\r\n"


def test_an_empty_field_is_left_out() -> None:
    assert ConfiguredFields(HEADERS).lines(None) == b"X-User: user=\r\n"


@pytest.mark.parametrize(
    ("claim", "line"),
    [
        (True, b"X: true\r\n"),
        (7, b"X: 7\r\n"),
        (0.5, b"X: 0.5\r\n"),
        ("a b\tc", b"X: a b\tc\r\n"),
        (["a"], b"X: a\r\n"),
        (["a", 1, True, "b c"], b"X: a,1,true,b c\r\n"),
        ([], b""),
        (None, b""),
    ],
)
def test_a_claim_is_sent_exactly(claim: object, line: bytes) -> None:
    fields = ConfiguredFields([Header("X", (AuthField("c"),))])
    assert fields.lines(Principal("u", "jwt", claims={"c": claim})) == line


@pytest.mark.parametrize(
    "claim",
    [
        "a\r\nX-Evil: 1",
        "a\x00",
        "a\x7f",
        "a\x85b",
        " a",
        "a ",
        "a\t",
        "\u2603",
        "admin\u0142",
        {"a": "b"},
        float("inf"),
        float("nan"),
        ["a", "b,c"],
        ["a", ""],
        ["a", None],
        ["a", ["b"]],
        ["a", "admin\u0142"],
        ["a", " b"],
    ],
)
def test_a_claim_that_does_not_fit_is_not_sent_at_all(claim: object) -> None:
    principal = Principal("u", "jwt", claims={"c": claim, "id": "u"})
    assert ConfiguredFields([Header("X", (AuthField("c"),))]).lines(principal) == b""
    both = ConfiguredFields(
        [Header("X", ("id=", AuthField("id"), ";c=", AuthField("c"))), Header("Y", ("y", AuthField("id")))]
    )
    assert both.lines(principal) == b"Y: yu\r\n", "half of a value would say something else"


def test_the_name_of_an_empty_field_is_the_gateways_too() -> None:
    fields = ConfiguredFields([Header("X-Empty", ()), Header("X-Blank", ("",)), Header("X-Set", ("a",))])
    assert (fields.names, fields.fixed) == ([b"X-Empty", b"X-Blank", b"X-Set"], [(b"X-Set", b"a")])
