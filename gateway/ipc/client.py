"""A worker behind a channel, as the control process sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.config.records import Credentials, Document
from gateway.ipc.calls import LOST, ActionSummary, Asked, Called, ConnectionSummary, Piece
from gateway.ipc.channel import ChannelClient, Line, RefusedError
from gateway.ipc.explanation import Explanation
from gateway.ipc.messages import BreakerPulse, DataPlane, Health, InForce, Prepared, ProxyState, Refusals, Report
from gateway.ipc.tokens import AccessToken


class WorkerClient(DataPlane):
    """Every operation raises `ChannelError` while the worker is away, slow, or refuses."""

    def __init__(self, channel: ChannelClient) -> None:
        """``channel``: with the operations of `DataPlane`."""
        self._channel = channel
        self._lines: dict[str, Line] = {}
        """Those of bodies that have not ended, by the name of their rest. A body is lost with its line."""

    @property
    def dials(self) -> int:
        """Connections made so far: a new one may mean a new worker, which knows nothing yet."""
        return self._channel.dials

    async def ping(self) -> Health:
        return await self._channel.call(DataPlane.ping)

    async def prepare(self, document: Document) -> Prepared:
        return await self._channel.call(DataPlane.prepare, document)

    async def commit(self, generation: int) -> InForce:
        return await self._channel.call(DataPlane.commit, generation)

    async def abandon(self) -> None:
        await self._channel.call(DataPlane.abandon)

    async def identify(self, credentials: Credentials) -> None:
        await self._channel.call(DataPlane.identify, credentials)

    async def supply(self, tokens: Mapping[str, AccessToken]) -> None:
        await self._channel.call(DataPlane.supply, tokens)

    async def state(self) -> Mapping[str, ProxyState]:
        return await self._channel.call(DataPlane.state)

    async def take_used(self) -> Mapping[str, float]:
        return await self._channel.call(DataPlane.take_used)

    async def reset_breaker(self, name: str, by: str) -> bool:
        return await self._channel.call(DataPlane.reset_breaker, name, by)

    async def sample(self) -> int:
        return await self._channel.call(DataPlane.sample)

    async def report(self) -> Report:
        return await self._channel.call(DataPlane.report)

    async def usage(self) -> Mapping[str, int]:
        return await self._channel.call(DataPlane.usage)

    async def breakers(self) -> Mapping[str, BreakerPulse]:
        return await self._channel.call(DataPlane.breakers)

    async def explain(self, name: str) -> Explanation | None:
        return await self._channel.call(DataPlane.explain, name)

    async def find(self, request_id: str) -> Mapping[str, object] | None:
        return await self._channel.call(DataPlane.find, request_id)

    async def refusals(self, since: int, most: int) -> Refusals:
        return await self._channel.call(DataPlane.refusals, since, most)

    async def connections(self, tenant: str) -> list[ConnectionSummary]:
        return await self._channel.call(DataPlane.connections, tenant)

    async def actions(self, tenant: str) -> list[ActionSummary]:
        return await self._channel.call(DataPlane.actions, tenant)

    async def call(self, asked: Asked) -> Called:
        # The call has its own limits, which the worker keeps: here it may take as long as it takes.
        line = await self._channel.line()
        rest = ""
        try:
            called = await line.call(DataPlane.call, asked)
            rest = called.get("rest", "")
        finally:
            if not rest:
                self._channel.give_back(line)
        if rest:
            self._lines[rest] = line
        return called

    async def piece(self, rest: str) -> Piece:
        line = self._lines.get(rest)
        if line is None:
            raise RefusedError(LOST)
        found = None
        try:
            found = await line.call(DataPlane.piece, rest)
            return found
        finally:
            if found is None or found["done"]:
                await self.leave(rest)

    async def leave(self, rest: str) -> None:
        line = self._lines.pop(rest, None)
        if line is not None:
            line.close()

    async def aclose(self) -> None:
        for rest in list(self._lines):
            await self.leave(rest)
        await self._channel.aclose()


@dataclass(slots=True, eq=False)
class Worker:
    """One place, and what is known of the process there. ``slot``: the number of the worker for operators."""

    place: int
    slot: int
    client: WorkerClient = field(repr=False)
    health: Health | None = None
    """What it said last; None: it does not respond."""
    synced: int = 0
    """Number of the connection whose process knows everything."""
    pid: int = 0
    """Of the process that knows everything; 0: none does."""
    complaint: str = ""
    """What was logged last about it."""

    @property
    def leaves(self) -> bool:
        """The process finishes what runs, and no change concerns it."""
        return self.health is not None and self.health.draining

    @property
    def current(self) -> bool:
        """The process at the other end knows everything."""
        return self.synced == self.client.dials > 0
