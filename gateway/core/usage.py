"""What a response of a language model says of itself, as far as it was read; `gateway.proxy.usage_watch` reads it.

The numbers are claims of the upstream. They are bounded, so that a wrong one spoils no counter and no limit.
"""

from __future__ import annotations

from typing import Final

MOST_TOKENS: Final = 10_000_000
"""Of one response, in each direction: ten times what the largest models take. More is a mistake."""
NOT_SAID: Final = -1
LEAST_SPAN: Final = 0.01
"""Seconds. What comes within less came at once, so it says nothing about a speed."""

UNKNOWN: Final = ("absent", "cut", "encoded", "malformed", "media_type", "too_long")
"""Why the usage of a response is not known, or not all of it: the response has none; it ended before; its body is
compressed; the numbers are none; it is neither JSON nor a stream of events; the part with the usage is too long."""


class Usage:
    """Of one response. Times are readings of the monotonic clock in seconds, 0.0 = not reached."""

    __slots__ = ("cached", "first_token_at", "input", "model", "output", "read_at", "unknown")

    def __init__(self, unknown: str = "cut") -> None:
        self.model = ""
        """Visible ASCII without quotes and backslashes; empty: not known."""
        self.input = NOT_SAID
        """Tokens of the prompt, those from the cache of the upstream included."""
        self.output = NOT_SAID
        """Tokens that were made."""
        self.cached = NOT_SAID
        """Tokens of ``input`` that came from the cache of the upstream."""
        self.first_token_at = 0.0
        """The first event came that has a part of the result in it; of streams of events alone."""
        self.read_at = 0.0
        """The newest numbers came."""
        self.unknown = unknown
        """One of `UNKNOWN`; empty: everything was read. Until the end of the response that it is ``cut``."""

    @property
    def tokens(self) -> int:
        """What a limit counts: both directions; what is not known counts nothing."""
        return max(0, self.input) + max(0, self.output)

    @property
    def per_second(self) -> float:
        """Tokens a second after the first one; 0.0: not known."""
        span = self.read_at - self.first_token_at
        if not self.first_token_at or self.output < 2 or span < LEAST_SPAN:
            return 0.0
        return (self.output - 1) / span
