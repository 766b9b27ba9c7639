"""Calls of actions, by any worker: limits and breakers are those of all workers together, so that it does not matter
which."""

from __future__ import annotations

from gateway.errors import DRAINING
from gateway.ipc.calls import ActionSummary, Asked, Called, Calls, ConnectionSummary
from gateway.ipc.channel import ChannelError, UnsentError
from gateway.ipc.fleet import Fleet


class Dispatch(Calls):
    """Gives each call to the next worker of ``fleet``. Raises `ChannelError` when none responds."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._turn = 0

    async def connections(self, tenant: str) -> list[ConnectionSummary]:
        # One is enough: all have the same configuration.
        found = await self._fleet.each(lambda client: client.connections(tenant), most=1)
        return next(iter(found.values()))

    async def actions(self, tenant: str) -> list[ActionSummary]:
        found = await self._fleet.each(lambda client: client.actions(tenant), most=1)
        return next(iter(found.values()))

    async def call(self, asked: Asked) -> Called:
        """A worker that cannot be reached, or drains before it has sent anything, has done nothing: the next one gets
        the call. Its health, from which ``draining`` is known, may be older than its drain."""
        self._turn += 1
        workers = [each for each in self._fleet.asked() if each.health is None or not each.health.draining]
        failure: ChannelError = ChannelError("no worker responds")
        refused: Called | None = None
        for at in range(len(workers)):
            worker = workers[(self._turn + at) % len(workers)]
            try:
                called = await worker.client.call(asked)
            except UnsentError as error:
                failure = error
                continue
            if not _drains(called):
                return called
            refused = called
        if refused is not None:
            return refused
        raise failure


def _drains(called: Called) -> bool:
    failure = called["failure"]
    return failure is not None and failure["code"] == DRAINING.code and called["attempts"] == 0
