"""Passwords."""

from __future__ import annotations

from collections.abc import AsyncIterator

import argon2
import pytest

from gateway.identity.password import PasswordHasher, check_strength


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
