"""The Retry-After of an upstream's response (RFC 9110 10.2.3): seconds, or a date."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

_NAME: Final = b"retry-after:"
_MOST_DIGITS: Final = 9
_MOST_BYTES: Final = 64


def retry_after_of(fields: list[bytes], now: float) -> float | None:
    """Seconds from ``now`` (of the epoch) until the sender wants to be asked again, 0 or more; None: it says nothing
    that can be understood. ``fields``: the lines of its head.
    """
    for line in fields:
        if line[: len(_NAME)].lower() == _NAME:
            return _seconds(line[len(_NAME) :].strip(), now)
    return None


def _seconds(value: bytes, now: float) -> float | None:
    if value.isdigit():
        return float(value) if len(value) <= _MOST_DIGITS else float(10**_MOST_DIGITS)
    if len(value) > _MOST_BYTES:
        return None
    try:
        # All three forms of RFC 9110 5.6.7. Without a zone it is the third one, which is in GMT too.
        at = parsedate_to_datetime(value.decode("ascii"))
        return max(0.0, (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, OverflowError):
        return None
