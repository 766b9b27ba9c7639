"""The interface of every machine that admits work: take a permit or be rejected, then give the permit back."""

from __future__ import annotations

from typing import Final, Protocol

from gateway.core.outcome import Outcome

REFUSED: Final = -1
"""What a machine returns instead of a permit."""


class Machine(Protocol):
    """Admits work by permits. A permit is a number that the machine never gives twice.

    No method waits, so that each is atomic on its event loop.
    """

    __slots__ = ()

    def try_acquire(self) -> int:
        """A permit, or `REFUSED`. Never waits."""
        ...

    def release(self, permit: int, outcome: Outcome, seconds: float) -> None:
        """End the work that ``permit`` was given for; it took ``seconds``, 0.0: not measured.

        Only the first release of a permit counts. A second one changes nothing, so that no way out can free the place
        of another.
        """
        ...


class Waitable(Machine, Protocol):
    """A machine whose permits can be waited for."""

    __slots__ = ()

    async def wait(self, timeout: float | None = None) -> int:
        """After `try_acquire` has refused: a permit within ``timeout`` seconds (None: no bound), or `REFUSED`."""
        ...
