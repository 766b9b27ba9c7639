"""Configured header fields: what each caller's request gets, and what stops it."""

from __future__ import annotations

import pytest

from gateway import errors
from gateway.config.document import AuthField, Header, Missing
from gateway.core.exchange import Exchange
from gateway.core.principal import Principal
from gateway.errors import GatewayError
from gateway.proxy.fields import ConfiguredFields, require_templates

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
        (["a"], b""),
        (None, b""),
        ("a\r\nX-Evil: 1", b""),
        ("a\x00", b""),
        ("\u2603", b""),
    ],
)
def test_a_claim_can_not_break_out_of_its_line(claim: object, line: bytes) -> None:
    fields = ConfiguredFields([Header("X", (AuthField("c"),))])
    assert fields.lines(Principal("u", "jwt", claims={"c": claim})) == line


async def passes(_: Exchange) -> None:
    return None


async def test_what_is_missing_stops_the_request() -> None:
    assert require_templates(HEADERS)(passes) is passes
    with pytest.raises(GatewayError) as caught:
        await require_templates([Header("X", ("a", Missing("secret.K")))])(passes)(None)  # type: ignore[arg-type]
    assert caught.value.reason is errors.TEMPLATE_MISSING
