"""The part that keeps the data plane current and watches it, as the services see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from gateway.admin.errors import unavailable
from gateway.admin.snapshot import LiveSnapshot, unreachable
from gateway.ipc.messages import Refusals


@dataclass(frozen=True, slots=True)
class Applied:
    """``generation``: the configuration that is applied; ``error``: why a newer one is not, or empty."""

    generation: int
    error: str = ""


class Live(Protocol):
    """Keeps the data plane current and watches it; the data plane itself is a separate `DataPlane`."""

    async def apply(self) -> Applied:
        """Apply a change that was committed; returns once it is applied or has failed."""
        ...

    def applied(self) -> Applied:
        """The result of the last reload, from any source."""
        ...

    async def metrics(self, *, open_metrics: bool) -> str:
        """All metrics as text."""
        ...

    async def snapshot(self) -> LiveSnapshot:
        """The current state of all proxies."""
        ...

    async def workers(self) -> dict[str, object]:
        """The worker processes, as `gateway.api.schemas.WorkerList` shows them."""
        ...

    async def restart_workers(self) -> int:
        """Begin to replace all worker processes; how many. Raises `AdminError` when none can be."""
        ...

    async def upgrade(self) -> tuple[str, int]:
        """Begin to replace all programs by those that are installed: their version, and how many workers.

        Raises `AdminError` when they cannot take over; then nothing has changed.
        """
        ...

    async def refusals(self, since: int) -> Refusals:
        """Exchanges that were refused or failed after ``since``; 0: the newest 50."""
        ...


ELSEWHERE: Final = "this needs a gateway that runs; name its admin listener with --server"
"""Why a store without a running gateway does not know what a data plane does."""


class NotRunning:
    """A store without a gateway, or whose gateway detects changes by itself."""

    async def apply(self) -> Applied:
        return self.applied()

    def applied(self) -> Applied:
        return Applied(0)

    async def metrics(self, *, open_metrics: bool) -> str:
        raise unavailable(ELSEWHERE)

    async def snapshot(self) -> LiveSnapshot:
        return unreachable()

    async def workers(self) -> dict[str, object]:
        raise unavailable(ELSEWHERE)

    async def restart_workers(self) -> int:
        raise unavailable(ELSEWHERE)

    async def upgrade(self) -> tuple[str, int]:
        raise unavailable(ELSEWHERE)

    async def refusals(self, since: int) -> Refusals:
        return {"next": since, "items": []}
