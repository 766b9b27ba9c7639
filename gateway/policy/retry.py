"""When a request that met a connection which the upstream was just closing may be sent a second time.

RFC 9112, 9.3.1: a client, and so an intermediary, may repeat a request by itself when the connection was closed before
any response came, but only one with an idempotent method. No attempt is ever made for another reason: a failure that
the upstream meant is for the caller to judge.
"""

from __future__ import annotations

IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
"""RFC 9110, 9.2.2."""


def may_retry(
    method: bytes, deadline: float, now: float, *, retryable: bool, committed: bool, replayable: bool
) -> bool:
    """Whether the same request may be sent once more.

    ``deadline`` and ``now`` are on one clock, ``deadline`` 0.0 is none. ``retryable``: the error allows it.
    ``committed``: the caller has the first byte of a response. ``replayable``: the request has no body, or one that
    was taken whole, because a body that was relayed is not kept.
    """
    return retryable and not committed and method in IDEMPOTENT and replayable and not 0.0 < deadline <= now
