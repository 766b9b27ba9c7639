"""Where the time of an exchange went: phases that add up to its wall time.

identity    authentication and the access rule
queue       waiting for a permit, or for a token of the rate limits of a connection
pool        taking a pooled connection
dial        opening a connection: name, TCP, TLS
upload      sending the request; a client that is slow with its body included
first_byte  from the request's last byte to the first one of the final response: the upstream works; attempts that
            failed before, and the pauses behind them, count here
transfer    the response's body comes, or is awaited until the exchange is cut
blocked     the client is too slow to take what is there
own         all the rest: the gateway itself, and the event loop's other work
"""

from __future__ import annotations

from typing import Final

from gateway.core.exchange import Exchange

PHASES: Final = ("identity", "queue", "pool", "dial", "upload", "first_byte", "transfer", "blocked", "own")

Phases = tuple[float, float, float, float, float, float, float, float, float]
"""Seconds, in the order of `PHASES`."""


def phases(ex: Exchange) -> Phases:
    """The phases of an exchange that has ended (``end_at`` is set)."""
    end, start = ex.end_at, ex.start_at
    attempt = ex.attempt
    identity, queue, pool, dial = ex.identified, ex.queued, attempt.pooled, attempt.dialled
    first_byte = ex.retried
    asked = attempt.asked_at
    upload = transfer = blocked = 0.0
    if asked:
        sent, first = attempt.sent_at, attempt.first_byte_at
        answered = first or end
        if asked < sent < answered:
            upload = sent - asked
            first_byte += answered - sent
        elif sent or first:  # no body, or a response that came before all of it was sent
            first_byte += answered - asked
        else:
            upload = end - asked
        commit = ex.commit_at
        if commit and first:
            blocked = ex.blocked
            last = attempt.last_byte_at
            if ex.reason:  # it was cut: until then more of the response was awaited
                transfer = max(0.0, end - commit - blocked)
            elif last > commit:
                tail = end - last - blocked
                transfer = end - commit - blocked - (max(0.0, tail))
                if transfer < 0.0:
                    transfer = 0.0
    own = end - start - identity - queue - pool - dial - upload - first_byte - transfer - blocked
    return identity, queue, pool, dial, upload, first_byte, transfer, blocked, max(0.0, own)
