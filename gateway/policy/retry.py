"""When a request that met a connection which the upstream was just closing may be sent a second time.

RFC 9112, 9.3.1: a client, and so an intermediary, may repeat a request by itself when the connection was closed before
any response came, but only one with an idempotent method. No attempt is ever made for another reason: a failure that
the upstream meant is for the caller to judge.

RFC 9113, 8.7: a request of which the upstream says in HTTP/2 that nothing was done with it may be repeated whatever its
method.
"""

from __future__ import annotations

IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
"""RFC 9110, 9.2.2."""


def may_retry(
    method: bytes,
    deadline: float,
    now: float,
    *,
    retryable: bool,
    unprocessed: bool,
    committed: bool,
    replayable: bool,
) -> bool:
    """Whether the same request may be sent once more.

    ``deadline`` and ``now`` are on one clock, ``deadline`` 0.0 is none. ``retryable``: the error allows it for
    an idempotent method; ``unprocessed``: for every method. ``committed``: the caller has the first byte of a response.
    ``replayable``: the request has no body, or one that was taken whole, or of which nothing was taken yet, because a
    body that was relayed is not kept.
    """
    permitted = unprocessed or (retryable and method in IDEMPOTENT)
    return permitted and not committed and replayable and not 0.0 < deadline <= now
