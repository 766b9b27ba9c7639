"""The TLS handshakes of callers: how many are in progress, how many at most, and how they ended."""

from __future__ import annotations

from typing import Final, Protocol

MOST: Final = 1000
"""Handshakes in progress. Each holds about 40 KiB, and a client that never completes it costs nothing else. With one
more the oldest is closed: a genuine one is complete after one round trip, so the oldest is the least likely to be one.
"""

OUTCOMES: Final = ("full", "resumed", "refused", "timeout", "left", "not_tls", "no_protocol", "room", "draining")
"""``full`` and ``resumed``: completed. ``refused``: the two sides did not agree, certificates included. ``left``: the
client closed. ``no_protocol``: no protocol in common (ALPN). ``room``: closed for the sake of other connections."""


class Handshake(Protocol):
    """One that is in progress, as this module sees it."""

    def make_room(self) -> None:
        """Close it for the sake of another."""
        ...


class Handshakes:
    """Of all listeners of a data plane."""

    __slots__ = ("_most", "_open", "counts")

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._open: dict[Handshake, None] = {}
        """In the order in which they began."""
        self.counts = dict.fromkeys(OUTCOMES, 0)

    def __len__(self) -> int:
        """Those in progress."""
        return len(self._open)

    def begin(self, handshake: Handshake) -> None:
        """Add ``handshake``; the oldest one makes room for it where there are too many."""
        if len(self._open) >= self._most:
            next(iter(self._open)).make_room()
        self._open[handshake] = None

    def end(self, handshake: Handshake, outcome: str) -> None:
        """Count how ``handshake`` ended; nothing for one that has ended before."""
        if handshake in self._open:
            del self._open[handshake]
            self.counts[outcome] += 1
