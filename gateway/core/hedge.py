"""What an exchange knows of its hedge: a second attempt that is made because the first one takes long."""

from __future__ import annotations

from typing import Final, Protocol

from gateway.core.attempt import Attempt

BUDGET: Final = "budget"
PERMIT: Final = "permit"
ENDPOINT: Final = "endpoint"
WITHHELD: Final = (BUDGET, PERMIT, ENDPOINT)
"""Why no second attempt was made although it was time for one: there was no token in the budget of the upstream, no
free permit, or no other endpoint that takes requests."""
WON: Final = "won"
LOST: Final = "lost"
RESULTS: Final = (WON, LOST)
"""Of a second attempt: the caller got its response, or did not."""


class Carrier(Protocol):
    """What an attempt runs on: an exchange."""

    attempt: Attempt
    attempts: int


class Hedge:
    """The hedge of one exchange; both attempts know it."""

    __slots__ = ("after", "carriers", "endpoint", "running", "sent", "shadowed", "withheld", "won")

    def __init__(self) -> None:
        self.after = 0.0
        """Seconds from the begin of the first attempt to that of the second one; 0.0: it was not time for one."""
        self.sent = False
        """A second attempt was made."""
        self.won = False
        """Its response went to the caller."""
        self.endpoint = ""
        """Where the attempt went that did not win, ``host:port``; empty without a second one."""
        self.withheld = ""
        """One of `WITHHELD`; empty: nothing was."""
        self.shadowed = False
        """In shadow mode: a second attempt would have been made."""
        self.carriers: tuple[Carrier, ...] = ()
        """Of the attempts that run, the first one first."""
        self.running: tuple[object, ...] = ()
        """The endpoints at which attempts run, as the balancer knows them."""

    @property
    def result(self) -> str:
        """One of `RESULTS`; empty without a second attempt."""
        return "" if not self.sent else WON if self.won else LOST
