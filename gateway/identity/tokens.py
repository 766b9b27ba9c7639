"""Opaque tokens: made here, shown once, and known afterwards only by their digest."""

from __future__ import annotations

import hashlib
import re
import secrets

from gateway.core.credential import TOKEN_PREFIX

_RANDOM_BYTES = 32
_TOKEN = re.compile(re.escape(TOKEN_PREFIX) + "[A-Za-z0-9_-]{43}")


def mint() -> str:
    """A new token: the prefix, by which leaks are found, and 256 random bits."""
    return TOKEN_PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def digest(token: str) -> str:
    """Hex SHA-256. A slow hash would add nothing: there is no guessing 256 random bits.

    Raises UnicodeEncodeError for lone surrogates, in which bytes of a header may come; call `looks_like_token` before.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def looks_like_token(text: str) -> bool:
    """Whether `mint` could have made it."""
    return _TOKEN.fullmatch(text) is not None
