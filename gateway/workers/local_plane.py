"""A data plane in this process: a worker serves it over its channel, and the one-process mode uses it directly."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import Final

from gateway import launch
from gateway.app import Gateway, draining, tune_gc
from gateway.config.records import Credentials, Document
from gateway.ipc.messages import BreakerPulse, DataPlane, Explanation, Health, InForce, ProxyState, Refusals
from gateway.observe.counters import CounterMap
from gateway.proxy.bindings import Binder
from gateway.workers import confinement

_log = logging.getLogger("gateway")

END_SECONDS: Final = 10.0
"""Limit of the shutdown after the drain."""


class LocalPlane(DataPlane):
    """Serves from the first `apply` on. ``counters`` and ``binder``: those of `Gateway`."""

    def __init__(self, counters: CounterMap | None = None, binder: Binder | None = None) -> None:
        self._counters = counters
        self._binder = binder
        self._applying = asyncio.Lock()
        self._credentials = Credentials()
        self._stopping = asyncio.Event()
        self._cutting = asyncio.Event()
        self.gateway: Gateway | None = None
        """None before the first `apply`."""

    async def ping(self) -> Health:
        return Health(self._stopping.is_set(), tuple(self.take_wanted()))

    def take_wanted(self) -> list[str]:
        """Addresses of key sets in which tokens named keys that are missing, since the last call."""
        return [] if self.gateway is None else self.gateway.authenticator.take_wanted()

    async def apply(self, document: Document) -> InForce:
        """Apply ``document``. Raises OSError, changing nothing."""
        async with self._applying:  # a control process may be replaced while the worker listens for it
            if self.gateway is None:
                self.gateway = await self._started(document)
            elif document != self.gateway.document:
                await self.gateway.reload(document)
            gateway = self.gateway
            return InForce(gateway.generation, tuple(gateway.addresses), tuple(gateway.secure_addresses))

    async def _started(self, document: Document) -> Gateway:
        gateway = Gateway(document, self._counters, self._binder)
        gateway.authenticator.credentials = self._credentials
        tune_gc()
        try:
            await gateway.start()
        except BaseException:
            await gateway.aclose()
            raise
        gateway.authenticator.credentials = self._credentials  # they may have come in the meantime
        return gateway

    async def identify(self, credentials: Credentials) -> None:
        self._credentials = credentials
        if self.gateway is not None:
            self.gateway.authenticator.credentials = credentials

    async def state(self) -> Mapping[str, ProxyState]:
        return {} if self.gateway is None else self.gateway.state()

    async def take_used(self) -> Mapping[str, float]:
        return {} if self.gateway is None else self.gateway.authenticator.take_used()

    async def reset_breaker(self, name: str, by: str) -> bool:
        return self.gateway is not None and self.gateway.reset_breaker(name, by)

    async def sample(self) -> int:
        if self.gateway is not None:
            self.gateway.sample()
        return os.getpid()

    async def usage(self) -> Mapping[str, int]:
        """In a thread, because the kernel walks all of the process's memory for it."""
        return await asyncio.to_thread(confinement.usage)

    async def breakers(self) -> Mapping[str, BreakerPulse]:
        return {} if self.gateway is None else self.gateway.breakers()

    async def explain(self, name: str) -> Explanation | None:
        return None if self.gateway is None else self.gateway.explain(name)

    async def find(self, request_id: str) -> Mapping[str, object] | None:
        return None if self.gateway is None else self.gateway.find(request_id)

    async def refusals(self, since: int, most: int) -> Refusals:
        if self.gateway is None:
            return {"next": 0, "items": []}
        self.gateway.recorder.flush()
        count, items = self.gateway.recent.refusals(since, most)
        return {"next": count, "items": items}

    @property
    def stopping(self) -> bool:
        """`stop` was called."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Drain; a second call cuts what still runs. The process ends in bounded time whatever happens then."""
        if self._stopping.is_set():
            self._cutting.set()
            return
        patience = END_SECONDS
        if self.gateway is not None:
            _log.info("%s", draining(self.gateway.connections))
            patience += self.gateway.document.drain_timeout
        else:
            _log.info("stopping before the start is complete")
        launch.end_within(patience, 1, logging.shutdown)
        self._stopping.set()

    async def until_drained(self) -> None:
        """Wait for `stop`, and then until nothing runs any more."""
        await self._stopping.wait()
        if self.gateway is not None:
            await self.gateway.drain_or_cut(self._cutting)

    def reopen_log(self) -> None:
        """Open the access log's file again, after a rotation."""
        if self.gateway is not None:
            self.gateway.reopen_log()

    async def aclose(self) -> None:
        """Cut what runs and give everything back."""
        if self.gateway is not None:
            await self.gateway.aclose()
