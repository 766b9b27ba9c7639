"""What one run of a scenario looks like, and what may be done to it while it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
from stage import GatewayProcess
from work import Behaviour


class Disturbed(Protocol):
    """The run that a variant's ``disturb`` changes."""

    variant: Variant
    gateway: GatewayProcess
    session: aiohttp.ClientSession

    async def behave(self, **changes: Any) -> None:
        """Change the sidecar's `Behaviour`, and note when."""

    async def api(self, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        """The response of the admin API. Raises ClientResponseError for a refusal."""

    def note(self, what: str, took: float | None = None, count: int = 0) -> None:
        """Write down what happened now, how many seconds it took, and how many it concerned."""


async def leave_alone(run: Disturbed) -> None:
    """Most variants are not disturbed."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One run: a fresh sidecar, a fresh gateway with one proxy ``p`` at ``/``, and ``users`` of one class.

    ``disturb`` runs beside the load, and is cancelled at its end.
    """

    name: str
    user: str
    """A class of the scenario's module."""
    users: int
    seconds: float
    rate: float
    proxy: Mapping[str, Any] = field(default_factory=dict)
    sidecar: Behaviour = field(default_factory=Behaviour)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the whole gateway."""
    patience: float = 5.0
    stored: bool = False
    """The proxy stands in the database, where the API can change it."""
    disturb: Callable[[Disturbed], Awaitable[None]] = leave_alone
