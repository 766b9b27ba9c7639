"""A worker behind a channel, as the control process sees it: a `DataPlane` that survives the worker's death."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from gateway.config.records import Credentials, Document
from gateway.ipc.channel import ChannelClient, ChannelError, RefusedError
from gateway.ipc.messages import BreakerPulse, DataPlane, Explanation, Health, InForce, ProxyState, Refusals

_log = logging.getLogger("gateway")

_PING_SECONDS = 0.1
_RETRY_SECONDS = 0.05


class WorkerClient(DataPlane):
    """Keeps the worker's configuration and credentials current, and sends both again to a new worker.

    Every operation raises `ChannelError` while the worker is away, slow, or refuses.
    """

    def __init__(self, channel: ChannelClient) -> None:
        """``channel``: with the operations of `DataPlane`."""
        self._channel = channel
        self._lock = asyncio.Lock()
        self._document: Document | None = None
        self._credentials = Credentials()
        self._synced = 0
        """Number of the connection whose worker knows everything."""
        self.in_force = InForce(0, ())
        """What the worker said last."""
        self.reachable = False
        self._wanted: set[str] = set()
        self.draining = False
        """The worker takes no new connections any more."""

    async def ping(self) -> Health:
        return await self._channel.call(DataPlane.ping)

    async def apply(self, document: Document) -> InForce:
        """Apply ``document``. Raises `RefusedError`, changing nothing, when the worker cannot serve it.

        Raises `ChannelError` when the worker is away: it gets the document as soon as it is back.
        """
        async with self._lock:
            before, self._document = self._document, document
            if document == before:
                await self.ping()
                if self._synced == self._channel.dials:
                    return self.in_force  # to apply it again would cost the worker time that traffic needs
            try:
                await self._tell(identify=False)
            except RefusedError:
                self._document = before
                raise
            return self.in_force

    async def identify(self, credentials: Credentials) -> None:
        """Send the credentials. Raises `ChannelError`: the worker gets them as soon as it is back."""
        async with self._lock:
            self._credentials = credentials
            await self._channel.call(DataPlane.identify, credentials)

    async def state(self) -> Mapping[str, ProxyState]:
        return await self._channel.call(DataPlane.state)

    async def take_used(self) -> Mapping[str, float]:
        return await self._channel.call(DataPlane.take_used)

    async def reset_breaker(self, name: str, by: str) -> bool:
        return await self._channel.call(DataPlane.reset_breaker, name, by)

    async def sample(self) -> int:
        return await self._channel.call(DataPlane.sample)

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

    def take_wanted(self) -> list[str]:
        """Addresses of key sets in which tokens named keys that are missing, since the last call."""
        wanted, self._wanted = self._wanted, set()
        return sorted(wanted)

    async def keep_synced(self) -> None:
        """Watch the worker until cancelled: a new one gets everything at once."""
        while True:
            try:
                health = await self.ping()
                self.draining = health.draining
                self._wanted.update(health.wanted)
                if self._synced != self._channel.dials:
                    async with self._lock:
                        await self._tell(identify=True)
                pause = _PING_SECONDS
                self.reachable = True
            except ChannelError as error:
                if self.reachable or isinstance(error, RefusedError):
                    _log.error("%s", error)
                self.reachable = False
                pause = _RETRY_SECONDS
            await asyncio.sleep(pause)

    async def _tell(self, *, identify: bool) -> None:
        await self.ping()
        number = self._channel.dials  # should it break from here on, the next watch sees another number
        if identify or self._synced != number:
            await self._channel.call(DataPlane.identify, self._credentials)
        if self._document is not None:
            self.in_force = await self._channel.call(DataPlane.apply, self._document)
        self._synced = number
