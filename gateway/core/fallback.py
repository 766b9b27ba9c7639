"""What a fallback takes over: the words for what failed before it, and what an exchange remembers of that."""

from __future__ import annotations

from typing import Final, Protocol

STATUS: Final = "status"
"""The cause of all responses that were discarded for their status, where single statuses would be too many words."""
CAUSES: Final = ("connect", "reset", "timeout", "stall", "breaker", "health", "queue", "rate_limit", "deadline", STATUS)


class Discarded(Protocol):
    """Where the rest of a response goes that its caller does not get."""

    def close(self) -> None:
        """Nothing more is taken."""
        ...


class Keeper(Protocol):
    """Counts what is kept of the body of a request for the fallback, in the budget of the relay buffers."""

    def keep(self, size: int) -> bool:
        """Whether ``size`` bytes in all may be kept, until `forget`."""
        ...

    def forget(self) -> None:
        """Nothing is kept any more."""
        ...


class FellBack:
    """What an exchange has behind it that went on to the fallback of its proxy."""

    __slots__ = ("attempts", "cause", "endpoint", "reason", "shadowed", "withheld")

    def __init__(
        self, cause: str, reason: str, endpoint: str, attempts: int, withheld: str = "", shadowed: str = ""
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

    @property
    def label(self) -> str:
        """The one of `CAUSES` that it is."""
        return STATUS if self.cause.isdigit() else self.cause
