"""What becomes of a field, whatever the protocol is that brought it."""

from __future__ import annotations

import pytest

from gateway import errors
from gateway.errors import GatewayError
from gateway.wire.fields import (
    CLAIM,
    DROP,
    KEEP,
    comparable_authority,
    content_length,
    kind_of_stranger,
    passes_as_trailer,
)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (b"accept", KEEP),
        (b"x-real-ip", CLAIM),
        (b"x_real_ip", DROP),
        (b"x-forwarded-proto", CLAIM),
        (b"proxy", DROP),
        (b"content_length", DROP),
        (b"x.request.id", DROP),
    ],
)
def test_fields_that_no_table_has(name: bytes, kind: int) -> None:
    assert kind_of_stranger(name) == kind


@pytest.mark.parametrize(
    "name", [b"content-length", b"content_length", b"cookie", b"proxy", b"x-forwarded-for", b"via"]
)
def test_no_trailers(name: bytes) -> None:
    assert not passes_as_trailer(name)


def test_trailers() -> None:
    assert passes_as_trailer(b"grpc-status")


def test_a_length() -> None:
    assert content_length(b"007", errors.BAD_FRAMING) == 7


@pytest.mark.parametrize("value", [b"", b"+1", b"-1", b"0x1", b"1, 1", b"1 ", b"1" * 19, "\u0661".encode()])
def test_no_length(value: bytes) -> None:
    with pytest.raises(GatewayError, match="bad_framing"):
        content_length(value, errors.BAD_FRAMING)


def test_authorities_are_compared_without_case_and_default_port() -> None:
    assert comparable_authority(b"A.b:80", b"http") == comparable_authority(b"a.B:", b"http") == b"a.b"
    assert comparable_authority(b"a:443", b"http") != comparable_authority(b"a:443", b"https") == b"a"
