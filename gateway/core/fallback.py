"""What a fallback takes over: the words for what failed before it, and what an exchange remembers of that."""

from __future__ import annotations

from typing import Final, Protocol

from gateway.core.message import ResponseHead
from gateway.core.retries import Later
from gateway.core.stream import ClientStream, Sink

STATUS: Final = "status"
"""The cause of all responses that were discarded for their status, where single statuses would be too many words."""
CAUSES: Final = ("connect", "reset", "timeout", "stall", "breaker", "health", "queue", "rate_limit", "deadline", STATUS)

REJECTED: Final = ("breaker", "health", "queue", "rate_limit")
"""What the upstream of a fallback can reject a request by before anything is sent."""
BREAKERS: Final = ("endpoint", "upstream")
"""Whose breaker it is: an endpoint's, as all of them reject, or that of the upstream as a whole."""


class Discarded(Sink, Protocol):
    """Where the rest of a response goes that its caller does not get."""

    def close(self) -> None:
        """Nothing more is taken."""
        ...


class Keeper(Protocol):
    """Counts what is kept for the fallback, in the budget of the relay buffers: the body of a request that the other
    upstream may need, and the response that its caller gets when that one rejects the request."""

    def keep(self, size: int) -> bool:
        """Whether ``size`` bytes of the request's body in all may be kept, until `forget`."""
        ...

    def discard(self, head: ResponseHead, stream: ClientStream, later: Later, *, complete: bool) -> Discarded:
        """Where the body of a response goes that is left to the fallback. ``later``: gives it to the caller after all;
        ``complete``: the endpoint has the whole request."""
        ...

    def forget(self) -> None:
        """Nothing is kept any more."""
        ...


class FellBack:
    """What an exchange has behind it that went on to the fallback of its proxy."""

    __slots__ = ("attempts", "breaker", "cause", "endpoint", "of", "reason", "rejected", "shadowed", "withheld")

    def __init__(
        self,
        cause: str,
        reason: str,
        endpoint: str,
        attempts: int,
        withheld: str = "",
        shadowed: str = "",
        breaker: str = "",
        of: str = "",
    ) -> None:
        self.cause = cause
        """One of `CAUSES`, or the status itself, as in ``503``."""
        self.reason = reason
        """Code of the `Reason` that the caller would have got; empty when it was the upstream's own response."""
        self.endpoint = endpoint
        """Where the last attempt went before, ``host:port``; empty: no endpoint was asked."""
        self.attempts = attempts
        """How many attempts there were before."""
        self.withheld = withheld
        """As `gateway.core.retries.Retries.withheld`, of the retries before."""
        self.shadowed = shadowed
        """As `gateway.core.retries.Retries.shadowed`, of the retries before."""
        self.breaker = breaker
        """Which breaker has rejected it, one of `BREAKERS`; empty: none has."""
        self.of = of
        """The name of the upstream that ``breaker`` belongs to."""
        self.rejected = ""
        """One of `REJECTED`: the upstream of the fallback has rejected it, so that what it has behind it stands; empty:
        the fallback has served it."""

    @property
    def label(self) -> str:
        """The one of `CAUSES` that it is."""
        return STATUS if self.cause.isdigit() else self.cause
