"""Passwords of superusers: argon2id (RFC 9106), in a thread of its own."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import argon2

_SHORTEST: Final = 10
_LONGEST: Final = 1000


def check_strength(password: str) -> None:
    """Raises ValueError for a password that is too easily guessed, or too long to hash."""
    if len(password) < _SHORTEST:
        raise ValueError(f"a password has at least {_SHORTEST} characters; choose a longer one")
    if len(password) > _LONGEST:
        raise ValueError(f"a password has at most {_LONGEST} characters; choose a shorter one")
    # Terminal bytes that are not UTF-8 arrive as lone surrogates, which cannot be hashed.
    if any("\ud800" <= character <= "\udfff" for character in password):
        raise ValueError("a password must be text in UTF-8; choose other characters")


class PasswordHasher:
    """One at a time, so that logins cannot take all of the processor: each hash costs 150 ms and 64 MiB."""

    def __init__(self, hasher: argon2.PasswordHasher | None = None) -> None:
        self._hasher = hasher or argon2.PasswordHasher()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="passwords")
        self._nobody = self._hasher.hash("no account has this password")

    async def hash(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._hasher.hash, password)

    async def verify(self, hashed: str | None, password: str) -> bool:
        """Whether it is the password. None, for an unknown account, takes as long and is never right."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._verify, hashed, password)

    async def aclose(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _verify(self, hashed: str | None, password: str) -> bool:
        try:
            return self._hasher.verify(hashed or self._nobody, password) and hashed is not None
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False
