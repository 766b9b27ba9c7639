"""The words of ``on`` lists (`retries`, `fallback`), and the reasons that each of them stands for: ONE table.

The words are those of Envoy's ``retry_on`` where it has one for the same thing (connect-failure, reset), and narrower
than its ``5xx``: a list says what it means. A connection that was not opened in time is ``connect`` there and here,
because the endpoint has done nothing with the request, so that any method may be sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from gateway.errors import (
    BODY_IDLE_TIMEOUT,
    BREAKER_OPEN,
    CONCURRENCY_LIMIT,
    DIAL_FAILED,
    DIAL_TIMEOUT,
    DNS_FAILED,
    HEADER_TIMEOUT,
    NO_HEALTHY_ENDPOINT,
    QUEUE_FULL,
    QUEUE_PREDICTED_TIMEOUT,
    QUEUE_TIMEOUT,
    RATE_LIMIT,
    STREAM_STALLED,
    TLS_FAILED,
    TLS_TIMEOUT,
    TOTAL_TIMEOUT,
    UPSTREAM_BAD_RESPONSE,
    UPSTREAM_RESET,
)

BREAKER: Final = "breaker"
HEALTH: Final = "health"
QUEUE: Final = "queue"
RATE: Final = "rate_limit"

CAUSE_OF: Final[Mapping[str, str]] = {
    DIAL_FAILED.code: "connect",
    DNS_FAILED.code: "connect",
    TLS_FAILED.code: "connect",
    DIAL_TIMEOUT.code: "connect",
    TLS_TIMEOUT.code: "connect",
    UPSTREAM_RESET.code: "reset",
    UPSTREAM_BAD_RESPONSE.code: "reset",
    HEADER_TIMEOUT.code: "timeout",
    BODY_IDLE_TIMEOUT.code: "timeout",
    STREAM_STALLED.code: "stall",
    BREAKER_OPEN.code: BREAKER,
    NO_HEALTHY_ENDPOINT.code: HEALTH,
    CONCURRENCY_LIMIT.code: QUEUE,
    QUEUE_FULL.code: QUEUE,
    QUEUE_TIMEOUT.code: QUEUE,
    QUEUE_PREDICTED_TIMEOUT.code: QUEUE,
    RATE_LIMIT.code: RATE,
    TOTAL_TIMEOUT.code: "deadline",
}
"""The word by the code of the reason; ``rate_limit`` is that of an upstream, because those of a proxy come before.
Reasons that are not here are not made good by anything: those of callers, of the configuration (``template_missing``,
``upstream_denied``) and of the gateway itself (``local_resources``, ``draining``).
"""


class Causes:
    """One list: words of `CAUSE_OF`, and statuses of the upstream. Never changed."""

    __slots__ = ("_statuses", "_words")

    def __init__(self, words: Iterable[str], statuses: Iterable[tuple[int, int]] = ()) -> None:
        """``statuses``: the first and the last of each range."""
        self._words = frozenset(words)
        self._statuses = frozenset(status for first, last in statuses for status in range(first, last + 1))

    def word_for(self, code: str) -> str:
        """The word of the list that the reason with this code belongs to; empty: it is not listed."""
        word = CAUSE_OF.get(code, "")
        return word if word in self._words else ""

    def lists(self, status: int) -> bool:
        """Whether a response with this status counts as a failure here."""
        return status in self._statuses

    @property
    def lists_statuses(self) -> bool:
        """Whether there is a status in the list at all."""
        return bool(self._statuses)
