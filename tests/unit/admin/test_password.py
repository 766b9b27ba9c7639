"""Passwords."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal

import argon2
import pytest

from gateway.admin.password import PasswordHasher, check_strength


@pytest.fixture
async def hasher() -> AsyncIterator[PasswordHasher]:
    made = PasswordHasher(argon2.PasswordHasher.from_parameters(argon2.profiles.CHEAPEST))
    yield made
    await made.aclose()


async def test_the_right_password_and_no_other(hasher: PasswordHasher) -> None:
    hashed = await hasher.hash("correct horse")
    assert hashed.startswith("$argon2id$")
    assert "correct" not in hashed
    assert await hasher.verify(hashed, "correct horse")
    assert not await hasher.verify(hashed, "correct horsf")
    assert hashed != await hasher.hash("correct horse")


async def test_nobody_and_a_broken_hash_have_no_password(hasher: PasswordHasher) -> None:
    assert not await hasher.verify(None, "nobody has this password")
    assert not await hasher.verify("no hash", "x")


@pytest.mark.parametrize(("password", "hint"), [("short", "at least 10"), ("x" * 1001, "at most 1000")])
def test_strength(password: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint) as caught:
        check_strength(password)
    assert password not in str(caught.value)
    check_strength("long enough")


def test_bytes_of_a_terminal_that_are_no_text_are_refused_before_they_are_hashed() -> None:
    with pytest.raises(ValueError, match="UTF-8") as caught:
        check_strength("long enough \udcff")
    assert type(caught.value) is ValueError, "a UnicodeEncodeError holds the password"
    check_strength("\U0001f40e" * 10)


async def test_who_does_not_exist_costs_as_many_hashes() -> None:
    asked: list[str | bytes] = []

    class Counting(argon2.PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - argon2's own word
            asked.append(hash)
            return super().verify(hash, password)

    made = PasswordHasher(Counting.from_parameters(argon2.profiles.CHEAPEST))
    try:
        hashed = await made.hash("correct horse")
        await made.verify(hashed, "wrong horse")
        await made.verify(None, "wrong horse")
    finally:
        await made.aclose()
    assert len(asked) == 2
    known, nobody = (argon2.extract_parameters(str(each)) for each in asked)
    assert known == nobody
