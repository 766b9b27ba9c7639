"""Why a token proves nothing, in words for the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_MAX_SHOWN: Final = 64


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a token proves nothing: a sentence that holds no part of it but a shortened ``kid`` or ``alg``."""

    reason: str


def shown(text: str) -> str:
    """Untrusted text for a log line: short, and without control characters."""
    return ascii(text[:_MAX_SHOWN])
