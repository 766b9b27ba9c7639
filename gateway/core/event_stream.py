"""What an exchange knows of a response of server-sent events that is watched; `gateway.proxy.event_watch` makes it."""

from __future__ import annotations

from typing import Protocol

from gateway.core.fallback import Discarded
from gateway.core.message import ResponseHead
from gateway.core.stream import Source
from gateway.errors import GatewayError


class Opened(Protocol):
    """A stream of events that the gateway has begun by itself, before any response of the upstream."""

    unfit: Discarded | None
    """Of a response that could not go on in it."""

    def comment(self, text: bytes) -> None:
        """Write a comment of one line."""
        ...

    def takes(self, head: ResponseHead) -> bool:
        """The response of the upstream with this head may go on in it."""
        ...

    def takes_fixed(self, status: int, content_type: str) -> bool:
        """So may a response of the gateway's own, or it may not."""
        ...

    def attach(self, source: Source | None) -> None:
        """The body of the upstream's response follows, from ``source``; None: it is there already."""
        ...

    def append(self, body: bytes) -> None:
        """Write ``body``, and end the response."""
        ...

    def append_error(self, error: GatewayError) -> None:
        """Write an event that says what went wrong, and end the response."""
        ...


class Events(Protocol):
    """A response of server-sent events, as it passes. Times are readings of the monotonic clock in seconds."""

    first_at: float
    """The first event with data came; 0.0: none has come."""
    since: float
    """The newest one came, or the response began."""
    longest_gap: float
    """Seconds between two of them, at most, in which the caller took what was there."""
    overdue: bool
    """An event did not come in time, in shadow mode."""

    @property
    def count(self) -> int:
        """Those that were complete."""
        ...

    @property
    def takes_error(self) -> bool:
        """An event that says what went wrong may be written now, instead of a cut."""
        ...

    def append_error(self, error: GatewayError, request_id: bytes) -> None:
        """Write that event, and end the response."""
        ...

    def close(self) -> None:
        """The attempt is over: its time is no longer measured."""
        ...
