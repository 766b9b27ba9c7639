from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.credential import TOKEN_PREFIX, bearer, holds_own_token

OWN = TOKEN_PREFIX.encode() + b"abc"


@pytest.mark.parametrize("value", [b"Bearer " + OWN, b"bearer   " + OWN, b"BEARER " + OWN])
def test_one_blank_or_more(value: bytes) -> None:
    assert bearer(value) == OWN
    assert holds_own_token(value)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Basic YTpi",
        b"Bearer a b",
        b"Bearer a, Bearer b",
        b"Bearer\ta",
        b"XBearer a",
        b"Bearer \xe9",
    ],
)
def test_what_is_no_single_token(value: bytes) -> None:
    assert bearer(value) == b""


@pytest.mark.parametrize(
    "value", [b"Bearer\t" + OWN, b"Basic YTpi, Bearer " + OWN, b"Bearer BWT_x", b"Bearer  " + OWN + b", x"]
)
def test_what_can_only_be_meant_for_the_gateway_ends_here(value: bytes) -> None:
    assert holds_own_token(value)


def test_others_travel_on() -> None:
    assert not holds_own_token(b"Bearer eyJ.abc.def")
    assert not holds_own_token(b"Basic bwt_")


@given(st.lists(st.sampled_from([b"Bearer", b"bearer", b" ", b"  ", b"\t", b",", OWN, b"x", b"Basic"])).map(b"".join))
def test_what_could_authenticate_never_travels_on(value: bytes) -> None:
    if bearer(value).startswith(TOKEN_PREFIX.encode()):
        assert holds_own_token(value)
