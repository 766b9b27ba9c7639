"""Calls of actions, by any worker: limits and breakers are those of all workers together, so that it does not matter
which."""

from __future__ import annotations

from gateway.errors import DRAINING
from gateway.ipc.calls import LOST, ActionSummary, Asked, Called, Calls, ConnectionSummary, Piece
from gateway.ipc.channel import ChannelError, UnsentError
from gateway.ipc.client import Worker
from gateway.ipc.fleet import Fleet


class Dispatch(Calls):
    """Gives each call to the next worker of ``fleet``. Raises `ChannelError` when none responds."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._turn = 0
        self._bodies: dict[str, Worker] = {}
        """The workers that have the rest of a body."""

    async def connections(self, tenant: str) -> list[ConnectionSummary]:
        # One is enough: all have the same configuration.
        found = await self._fleet.each(lambda client: client.connections(tenant), most=1)
        return next(iter(found.values()))

    async def actions(self, tenant: str) -> list[ActionSummary]:
        found = await self._fleet.each(lambda client: client.actions(tenant), most=1)
        return next(iter(found.values()))

    async def call(self, asked: Asked) -> Called:
        called, worker = await self._by_a_worker(asked)
        rest = called.get("rest", "")
        if rest:
            self._bodies[rest] = worker
        return called

    async def piece(self, rest: str) -> Piece:
        worker = self._bodies.get(rest)
        if worker is None:
            raise ChannelError(LOST)
        try:
            found = await worker.client.piece(rest)
        except ChannelError:
            self._end(rest)
            raise
        if found["done"]:
            self._end(rest)
        return found

    async def leave(self, rest: str) -> None:
        worker = self._end(rest)
        if worker is not None:
            await worker.client.leave(rest)

    def _end(self, rest: str) -> Worker | None:
        return self._bodies.pop(rest, None)

    async def _by_a_worker(self, asked: Asked) -> tuple[Called, Worker]:
        """The result, and who made the call.

        A worker that cannot be reached, or drains before it has sent anything, has done nothing: the next one gets the
        call. Its health, from which ``draining`` is known, may be older than its drain.
        """
        self._turn += 1
        workers = [each for each in self._fleet.asked() if each.health is None or not each.health.draining]
        failure: ChannelError = ChannelError("no worker responds")
        refused: tuple[Called, Worker] | None = None
        for at in range(len(workers)):
            worker = workers[(self._turn + at) % len(workers)]
            try:
                called = await worker.client.call(asked)
            except UnsentError as error:
                failure = error
                continue
            if not _drains(called):
                return called, worker
            refused = called, worker
        if refused is not None:
            return refused
        raise failure


def _drains(called: Called) -> bool:
    failure = called["failure"]
    return failure is not None and failure["code"] == DRAINING.code and called["attempts"] == 0
