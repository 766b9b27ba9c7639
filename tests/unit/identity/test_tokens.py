"""Opaque tokens."""

from __future__ import annotations

import hashlib

import pytest

from gateway.identity.tokens import digest, looks_like_token, mint


def test_tokens_are_long_and_new_each_time() -> None:
    made = {mint() for _ in range(100)}
    assert len(made) == 100
    assert all(looks_like_token(token) and len(token) == 47 for token in made)


def test_no_two_tokens_have_one_digest() -> None:
    token = mint()
    assert len({digest(text) for text in (token, token.upper(), token + " ", token + "\n", token[:-1])}) == 5


def test_what_is_kept_is_a_digest() -> None:
    assert digest("bwt_x") == hashlib.sha256(b"bwt_x").hexdigest()
    assert not looks_like_token("sk_x")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bwt_",
        "bwt_" + "a" * 42,
        "bwt_" + "a" * 44,
        "BWT_" + "a" * 43,
        " bwt_" + "a" * 43,
        "bwt_" + "a" * 43 + "\n",
        "bwt_" + "a" * 42 + "+",
        "bwt_" + "a" * 42 + "\u00e9",
        "bwt_" + "a" * 42 + "\udcff",  # a byte of a header that is no UTF-8, as aiohttp hands it over
    ],
)
def test_what_was_never_minted_is_not_even_hashed(text: str) -> None:
    assert not looks_like_token(text)
