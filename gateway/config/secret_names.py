"""Names whose values may be secrets, and the word that is shown in place of one."""

from __future__ import annotations

from typing import Final

REDACTED: Final = "[REDACTED]"
"""Stands for a secret wherever its place is shown."""
_WORDS: Final = (
    *("client_secret", "refresh_token", "access_token", "api_key_value", "password", "passwd", "authorization"),
    *("token", "secret", "key", "cookie", "signature", "credential"),
)
"""A name that holds one of them has a value that may be a secret."""
PUBLIC: Final = frozenset(
    (
        *("accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "content-encoding"),
        *("content-language", "content-type", "user-agent"),
    )
)
"""Header fields that say no more than the form of messages: their values are shown, whichever layer has set them."""


def is_secret(name: str) -> bool:
    """Whether the value of this name may be a secret. ``-`` and ``_`` are the same here."""
    lower = name.lower().replace("-", "_")
    return any(word in lower for word in _WORDS)
