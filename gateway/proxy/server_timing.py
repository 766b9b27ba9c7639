"""Tells the client where the time went: a Server-Timing field in the head, and one behind a body that is chunked.

W3C Server Timing. The head can tell only of what is over: its phases add up to the time until it was sent. What comes
after it stands in a trailer for clients that say they take trailers (RFC 9110 6.5.1), and in the access log for all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from time import monotonic
from typing import Final

from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.observe.timing import PHASES, phases
from gateway.wire.downstream import DownstreamConnection
from gateway.wire.upstream import UpstreamConnection

_IN_HEAD: Final = ("identity", "queue", "pool", "dial", "upload", "first_byte", "own")
_ENTRY: Final = "gw-%s;dur=%.3f"


def server_timing(*, enabled: bool) -> Layer:
    """Mark the exchange as one whose timing is told."""
    if not enabled:
        return lambda next_handler: next_handler

    def layer(next_handler: Handler) -> Handler:
        # Not a coroutine: it never waits.
        def handle(ex: Exchange) -> Awaitable[None]:
            ex.timed = True
            return next_handler(ex)

        return handle

    return layer


def timing_fields(ex: Exchange, down: DownstreamConnection, connection: UpstreamConnection) -> bytes:
    """The lines for the head of an upstream's answer, about to be sent; sets the trailer where there can be one."""
    ex.first_byte_at = connection.first_byte_at
    lines = head_field(ex)
    if down.chunked_out and b"trailers" in ex.request.known.get(b"te", b"").lower():
        down.trailer = lambda: _trailer(ex, down, connection)
        lines += b"Trailer: Server-Timing\r\n"
    return lines


def head_field(ex: Exchange) -> bytes:
    """All phases that a head can tell of, up to now."""
    ex.end_at = monotonic()
    identity, queue, pool, dial, upload, first_byte, _, _, own = phases(ex)
    spent = zip(_IN_HEAD, (identity, queue, pool, dial, upload, first_byte, own), strict=True)
    return b"Server-Timing: %b\r\n" % _value(spent)


def _trailer(ex: Exchange, down: DownstreamConnection, connection: UpstreamConnection) -> bytes:
    ex.end_at = monotonic()
    ex.last_byte_at = connection.last_byte_at
    ex.blocked = down.blocked
    return b"Server-Timing: %b" % _value(zip(PHASES, phases(ex), strict=True))


def _value(spent: Iterable[tuple[str, float]]) -> bytes:
    return ", ".join([_ENTRY % (name.replace("_", "-"), seconds * 1e3) for name, seconds in spent]).encode()
