"""Shows the client where the time went: a Server-Timing field in the head, and one after a body that is chunked.

W3C Server Timing. The head has only what is over: its phases add up to the time until it was sent. What comes
after it stands in a trailer for clients that say they take trailers (RFC 9110 6.5.1), and in the access log for all.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from time import monotonic
from typing import Final, Protocol

from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.core.stream import Trailer
from gateway.observe.timing import PHASES, phases

_IN_HEAD: Final = ("identity", "queue", "pool", "dial", "upload", "first_byte", "own")
_ENTRY: Final = "gw-%s;dur=%.3f"


class Times(Protocol):
    """When the first and the newest bytes of a response came, by the monotonic clock in seconds; 0.0 = not reached."""

    first_byte_at: float
    last_byte_at: float


def server_timing(*, enabled: bool) -> Layer:
    """Mark the exchange as one whose timing the client sees."""
    if not enabled:
        return lambda next_handler: next_handler

    def layer(next_handler: Handler) -> Handler:
        # Not a coroutine: it never waits.
        def handle(ex: Exchange) -> Coroutine[None, None, None]:
            ex.timed = True
            return next_handler(ex)

        return handle

    return layer


def timing_fields(ex: Exchange, times: Times) -> tuple[bytes, Trailer | None]:
    """The line for the head of an upstream's response that is about to be sent, and the trailer if the caller takes
    trailers."""
    ex.attempt.first_byte_at = times.first_byte_at
    takes = b"trailers" in ex.request.known.get(b"te", b"").lower()
    return head_field(ex), _TimingTrailer(ex, times) if takes else None


class _TimingTrailer:
    """The phases of the whole exchange, when the body has ended."""

    __slots__ = ("_exchange", "_times", "name")

    def __init__(self, exchange: Exchange, times: Times) -> None:
        self.name = b"Server-Timing"
        self._exchange = exchange
        self._times = times

    def line(self) -> bytes:
        ex = self._exchange
        ex.end_at = monotonic()
        ex.attempt.last_byte_at = self._times.last_byte_at
        ex.blocked = ex.downstream.blocked
        return b"Server-Timing: %b" % _value(zip(PHASES, phases(ex), strict=True))


def head_field(ex: Exchange) -> bytes:
    """All phases that a head can hold, up to now."""
    ex.end_at = monotonic()
    identity, queue, pool, dial, upload, first_byte, _, _, own = phases(ex)
    spent = zip(_IN_HEAD, (identity, queue, pool, dial, upload, first_byte, own), strict=True)
    return b"Server-Timing: %b\r\n" % _value(spent)


def _value(spent: Iterable[tuple[str, float]]) -> bytes:
    return ", ".join([_ENTRY % (name.replace("_", "-"), seconds * 1e3) for name, seconds in spent]).encode()
