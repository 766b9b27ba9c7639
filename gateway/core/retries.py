"""What an exchange knows of the retries that its proxy has; `gateway.proxy.retries` makes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gateway.core.message import ResponseHead
from gateway.core.stream import ClientStream, Sink

Later = Callable[..., Sink]
"""Begins a response that was not for the caller, as that of the exchange and with the head that it is called with; its
body follows within the same callback. `gateway.proxy.kept_response` has the type: an exchange is not known here."""


class Retries(Protocol):
    """The retries of one exchange, for the attempt that runs."""

    withheld: str
    """Why the last failure was not followed by a retry, or by one that was rejected: one of
    `gateway.policy.retry.WITHHELD`; empty: neither."""
    shadowed: str
    """In shadow mode: the failure that would have been followed by one."""
    waiting: bool
    """The next attempt is due, and not begun."""

    @property
    def replayable(self) -> bool:
        """The request's body can be sent again."""
        ...

    def keep(self, body: bytes) -> bool:
        """Whether ``body``, which was taken whole, is to be kept for another attempt."""
        ...

    def upload(self, stream: ClientStream, on_end: Callable[[], None]) -> None:
        """Relay the request's body to ``stream``, what was relayed to an earlier one first; ``on_end`` is called after
        its last byte."""
        ...

    @property
    def relayed(self) -> bool:
        """The body was begun to be relayed, so it cannot be taken whole."""
        ...

    def discard(self, head: ResponseHead, stream: ClientStream, later: Later | None = None) -> Sink | None:
        """The response to an attempt begins: the sink of its body when another attempt follows instead, else None.

        ``later``: gives it to the caller after all, when that attempt is rejected; None: it cannot be given later.
        """
        ...

    def begun(self) -> None:
        """The caller has the head of the response."""
        ...

    def end_attempt(self) -> bool:
        """The attempt is over, and takes no more of the request's body. Whether its endpoint was given all of it."""
        ...

    @property
    def discarding(self) -> bool:
        """The response to this attempt is not for the caller, so a failure of its rest means nothing."""
        ...
