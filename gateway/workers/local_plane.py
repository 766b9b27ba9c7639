"""A data plane in this process: a worker serves it over its channel, and the one-process mode uses it directly."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from gateway import __version__, launch
from gateway.app import Gateway, tune_gc
from gateway.config.records import Credentials, Document
from gateway.core.text import counted
from gateway.ipc.calls import LOST, ActionSummary, Asked, Called, ConnectionSummary, Piece
from gateway.ipc.channel import UnsentError
from gateway.ipc.explanation import Explanation
from gateway.ipc.messages import BreakerPulse, DataPlane, Health, InForce, Prepared, ProxyState, Refusals, Report
from gateway.ipc.tokens import AccessToken, Wanted
from gateway.observe.counters import CounterMap
from gateway.policy.stores import Stores
from gateway.proxy.bindings import Binder
from gateway.proxy.snapshot import PreparedDocument
from gateway.workers.handover import Handover
from gateway.workers.resources import Resources

_log = logging.getLogger("gateway")

END_SECONDS: Final = 10.0
"""Limit of the shutdown after the drain."""
LINGER_SECONDS: Final = 5.0
"""How long a worker that was replaced leaves connections open for a last request that it cannot hand over."""


def draining(connections: int) -> str:
    """The number of connections that the drain waits for, in one line."""
    return f"draining: {counted(connections, 'connection')}"


class LocalPlane(DataPlane):
    """Serves from the first `apply` on. ``counters``, ``binder`` and ``stores``: those of `Gateway`.

    ``handover``: where idle connections come from, and go to when another process takes over; None: they stay.
    """

    def __init__(
        self,
        counters: CounterMap | None = None,
        binder: Binder | None = None,
        stores: Stores | None = None,
        handover: Handover | None = None,
    ) -> None:
        self._handover = handover
        self._counters = counters
        self._binder = binder
        self._stores = stores
        self._applying = asyncio.Lock()
        self._credentials = Credentials()
        self._tokens: Mapping[str, AccessToken] = {}
        self._on_tokens_wanted: Callable[[], None] | None = None
        self._stopping = asyncio.Event()
        self._cutting = asyncio.Event()
        self._retiring = False
        self._resources = Resources()
        self._prepared: PreparedDocument | None = None
        self._next: Gateway | None = None
        """Prepared, and serves nothing before the first `commit`."""
        self.gateway: Gateway | None = None
        """None before the first `commit`."""

    async def ping(self) -> Health:
        return Health(self._stopping.is_set(), tuple(self.take_wanted()), self._shedding, self.take_wanted_tokens())

    def take_wanted(self) -> list[str]:
        """Addresses of key sets in which tokens named keys that are missing, since the last call."""
        return [] if self.gateway is None else self.gateway.authenticator.take_wanted()

    async def apply(self, document: Document) -> InForce:
        """Prepare and commit ``document``, for a data plane that is the only one. Raises OSError, changing nothing."""
        prepared = await self.prepare(document)
        return await self.commit(prepared.generation + prepared.changed)

    async def prepare(self, document: Document) -> Prepared:
        async with self._applying:  # a control process may be replaced while the worker listens for it
            await self._abandon()
            gateway = self.gateway
            if gateway is None:
                gateway = self._next = await self._begun(document)
            elif document == gateway.document:
                return Prepared(gateway.generation, changed=False)
            try:
                self._prepared = await gateway.prepare(document)
            except BaseException:
                await self._abandon()
                raise
            return Prepared(gateway.generation, changed=True)

    async def commit(self, generation: int) -> InForce:
        async with self._applying:
            gateway = self._next or self.gateway
            if gateway is None:
                raise OSError("no configuration was prepared; this is a defect of the gateway")
            if self._prepared is None:
                gateway.generation = generation
            else:
                prepared, self._prepared = self._prepared, None
                try:
                    await gateway.commit(prepared, generation)
                except BaseException:
                    await self._abandon()
                    raise
            self.gateway, self._next = gateway, None
            if self._handover is not None and not self.stopping:
                self._handover.take(gateway.server.adopt)
            gateway.authenticator.credentials = self._credentials  # they may have come in the meantime
            gateway.actions.tokens.adopt(self._tokens)
            return InForce(gateway.generation, tuple(gateway.addresses), tuple(gateway.server.listeners.secure))

    async def abandon(self) -> None:
        async with self._applying:
            await self._abandon()

    async def _abandon(self) -> None:
        prepared, self._prepared = self._prepared, None
        unused, self._next = self._next, None
        gateway = unused or self.gateway
        if prepared is not None and gateway is not None:
            await gateway.abandon(prepared)
        if unused is not None:
            await unused.aclose()

    async def _begun(self, document: Document) -> Gateway:
        gateway = Gateway(document, self._counters, self._binder, self._stores)
        gateway.authenticator.credentials = self._credentials
        gateway.actions.tokens.adopt(self._tokens)
        gateway.actions.tokens.on_wanted = self._on_tokens_wanted
        tune_gc()
        try:
            gateway.begin()
        except BaseException:
            await gateway.aclose()
            raise
        return gateway

    async def identify(self, credentials: Credentials) -> None:
        self._credentials = credentials
        if self.gateway is not None:
            self.gateway.authenticator.credentials = credentials

    async def supply(self, tokens: Mapping[str, AccessToken]) -> None:
        self._tokens = tokens
        if self.gateway is not None:
            self.gateway.actions.tokens.adopt(tokens)

    def on_tokens_wanted(self, notify: Callable[[], None]) -> None:
        """Call ``notify`` when calls need access tokens, in the process that gets them itself."""
        self._on_tokens_wanted = notify
        if self.gateway is not None:
            self.gateway.actions.tokens.on_wanted = notify

    def take_wanted_tokens(self) -> tuple[Wanted, ...]:
        """The access tokens that calls need, since the last call."""
        return () if self.gateway is None else self.gateway.actions.tokens.take_wanted()

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

    async def report(self) -> Report:
        gateway = self.gateway
        return Report(
            version=__version__,
            generation=0 if gateway is None else gateway.generation,
            draining=self._stopping.is_set(),
            connections=0 if gateway is None else gateway.connections,
            in_flight=0 if gateway is None else gateway.exchanges,
            loop_lag=0.0 if gateway is None else gateway.loop_lag,
            shedding=self._shedding,
        )

    @property
    def _shedding(self) -> float:
        return 0.0 if self.gateway is None else self.gateway.shedding.share

    async def usage(self) -> Mapping[str, int]:
        return await self._resources.report()

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

    async def connections(self, tenant: str) -> list[ConnectionSummary]:
        return [] if self.gateway is None else self.gateway.actions.connections(tenant)

    async def actions(self, tenant: str) -> list[ActionSummary]:
        return [] if self.gateway is None else self.gateway.actions.actions(tenant)

    async def call(self, asked: Asked) -> Called:
        """Raises `UnsentError` before the first configuration."""
        if self.gateway is None:
            raise UnsentError("the data plane serves nothing yet; call again")
        return await self.gateway.actions.call(self.gateway.server, asked)

    async def piece(self, rest: str) -> Piece:
        if self.gateway is None:
            raise OSError(LOST)
        return await self.gateway.actions.bodies.piece(rest)

    async def leave(self, rest: str) -> None:
        if self.gateway is not None:
            self.gateway.actions.bodies.leave(rest)

    def begun(self, result: object) -> Callable[[], None] | None:
        """Ends the call whose body has a rest, for a control process that went away; None: ``result`` has none."""
        rest = result.get("rest") if isinstance(result, dict) else None
        return None if rest is None or self.gateway is None else partial(self.gateway.actions.bodies.leave, rest)

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
            self.gateway.stop_accepting()
            _log.info("%s", draining(self.gateway.connections))
            patience += self.gateway.document.drain_timeout
        else:
            _log.info("stopping before the start is complete")
        launch.end_within(patience, 1, logging.shutdown)
        self._stopping.set()

    def retire(self) -> None:
        """Drain, because another process has taken over, and gets the connections of callers as soon as they are idle.

        Those that cannot be handed over, because of TLS, get time for one more request, whose response ends them.
        """
        if not self._stopping.is_set():
            self._retiring = True
            if self._handover is not None:
                self._handover.stop()
            self.stop()

    async def until_drained(self) -> None:
        """Wait for `stop`, and then until nothing runs any more."""
        await self._stopping.wait()
        gateway, handover = self.gateway, self._handover
        if gateway is not None and self._retiring:
            await gateway.drain_or_cut(self._cutting, LINGER_SECONDS, None if handover is None else handover.give)
            if handover is not None:
                _log.info("%d connections were handed over to the new process", handover.given)
        elif gateway is not None:
            await gateway.drain_or_cut(self._cutting)

    def move(self) -> None:
        """As `Gateway.move`; also of what is prepared."""
        for gateway in (self.gateway, self._next):
            if gateway is not None:
                gateway.move()

    def reopen_log(self) -> None:
        """Open the access log's file again, after a rotation."""
        if self.gateway is not None:
            self.gateway.reopen_log()

    async def aclose(self) -> None:
        """Cut what runs and give everything back."""
        self._resources.close()
        await self.abandon()
        if self.gateway is not None:
            await self.gateway.aclose()
