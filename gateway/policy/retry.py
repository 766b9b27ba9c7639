"""Whether a request that has failed is sent again.

Two rules stand side by side. The first needs no configuration and no budget. RFC 9112, 9.3.1: a client, and so an
intermediary, may repeat a request by itself when the connection was closed before any response came, but only one with
an idempotent method. RFC 9113, 8.7: a request of which the upstream says in HTTP/2 that nothing was done with it may be
repeated whatever its method. `may_retry` is that rule, for a pooled connection that the upstream was just closing.

The second is for failures that the upstream meant, where a proxy has `retries`: `cause_against` is its table. What it
allows may still be rejected, because each attempt passes breakers, the balancer and the rate limits of its upstream. A
retry that is rejected counts as one that was not made: the caller gets what the attempt before it has brought.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.errors import GatewayError
from gateway.policy.causes import BREAKER, CAUSE_OF, HEALTH, RATE

SAFE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})
"""RFC 9110, 9.2.1."""
IDEMPOTENT = SAFE | {b"PUT", b"DELETE"}
"""RFC 9110, 9.2.2."""

STALE: Final = "stale"
"""Why a request was sent again by the first rule."""
CONNECT: Final = "connect"
RESET: Final = "reset"
TIMEOUT: Final = "timeout"
STALL: Final = "stall"
REFUSED_STREAM: Final = "refused_stream"
STATUS: Final = "status"
FAILURES: Final = (CONNECT, RESET, TIMEOUT, STALL, REFUSED_STREAM)
"""Words for failures that are no response."""
RETRIED: Final = (STALE, *FAILURES, STATUS)
"""What metrics say about why a request was sent again: statuses are one word."""


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
    """Whether the same request may be sent once more, because it met a stale connection.

    ``deadline`` and ``now`` are on one clock, ``deadline`` 0.0 is none. ``retryable``: the error allows it for
    an idempotent method; ``unprocessed``: for every method. ``committed``: the caller has the first byte of a response.
    ``replayable``: the request has no body, or one that was taken whole, or of which nothing was taken yet, because a
    body that was relayed is not kept.
    """
    permitted = unprocessed or (retryable and method in IDEMPOTENT)
    return permitted and not committed and replayable and not 0.0 < deadline <= now


def failure_of(error: GatewayError) -> str:
    """The word of `FAILURES` for ``error``; empty: it is none that a retry is made for."""
    if error.unprocessed:
        return REFUSED_STREAM
    word = CAUSE_OF.get(error.reason.code, "")
    return word if word in FAILURES else ""


def rejection_of(error: GatewayError) -> str:
    """The word of `REJECTIONS` for ``error``; empty: it is none."""
    word = CAUSE_OF.get(error.reason.code, "")
    return word if word in REJECTIONS else ""


def kind_of(failure: str) -> str:
    """The word of `RETRIED` for a failure, which may be a status."""
    return STATUS if failure.isdigit() else failure


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt that has failed in a way that is listed, and the retry that is asked for. Times are seconds on one
    clock.

    ``harmless``: the endpoint has done nothing with the request, so that any method allows a retry; ``repeatable``: the
    method allows it, or a key of the caller's. ``left``: the caller has. ``tries``: attempts so far, retries of stale
    connections not counted. ``asked``: seconds for which the upstream wants to be left alone, and ``patience`` how many
    are waited at most. ``begins_at``: when the retry would be sent; ``deadline``: 0.0 is none.
    """

    committed: bool
    left: bool
    harmless: bool
    repeatable: bool
    replayable: bool
    tries: int
    attempts: int
    asked: float
    patience: float
    begins_at: float
    deadline: float


OVER: Final = "over"
METHOD: Final = "method"
BODY: Final = "body"
ATTEMPTS: Final = "attempts"
RETRY_AFTER: Final = "retry_after"
DEADLINE: Final = "deadline"
BUDGET: Final = "budget"
REJECTIONS: Final = (BREAKER, HEALTH, RATE)
"""What can reject a retry that the table allows, before anything is sent: words of `CAUSE_OF`."""
WITHHELD: Final = (METHOD, BODY, ATTEMPTS, RETRY_AFTER, DEADLINE, BUDGET, *REJECTIONS)
"""Why a failure for which retries are configured was not followed by one."""

_TABLE: Final[tuple[tuple[str, Callable[[Failed], bool]], ...]] = (
    # then no one waits for another response
    (OVER, lambda failed: failed.committed),
    (OVER, lambda failed: failed.left),
    # these are counted, because a retry was wanted
    (METHOD, lambda failed: not failed.harmless and not failed.repeatable),
    (BODY, lambda failed: not failed.replayable),
    (ATTEMPTS, lambda failed: failed.tries >= failed.attempts),
    (RETRY_AFTER, lambda failed: failed.asked > failed.patience),
    (DEADLINE, lambda failed: 0.0 < failed.deadline <= failed.begins_at),
)


def cause_against(failed: Failed, withdraw: Callable[[], bool]) -> str:
    """The first line of the table that speaks against a retry: `OVER`, or one of `WITHHELD`; empty: none does.

    ``withdraw`` takes a token of the budget, so it is asked last.
    """
    for cause, applies in _TABLE:
        if applies(failed):
            return cause
    return "" if withdraw() else BUDGET
