"""Idle connections to one endpoint: the newest is used first, so that a burst's surplus grows old and is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from gateway.core.clock import Clock
from gateway.upstream.connector import HardenedConnector
from gateway.wire.upstream import UpstreamConnection
from gateway.wire.watchdog import Watchdog

MAX_IDLE_PER_HOST = 100
MAX_IDLE = 1000
REST_SECONDS = 1.0
"""How long a connection is not used after a response that named a body without having one (HEAD, 304). An upstream that
sends the body all the same does so within that time, and the connection is closed before it serves another request.
"""


class IdleBudget:
    """How many idle connections all pools may keep together."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int = MAX_IDLE) -> None:
        self.limit = limit
        self.used = 0


class Pool:
    """Hands out connections and takes them back. A full pool never refuses: it closes what it can not keep."""

    def __init__(
        self,
        connector: HardenedConnector,
        idle_timeout: float,
        body_idle: float,
        budget: IdleBudget,
        *,
        max_idle: int = MAX_IDLE_PER_HOST,
        clock: Clock = monotonic,
        on_abandoned: Callable[[float], object] = lambda seconds: None,
    ) -> None:
        """``on_abandoned`` is told how long after a client had left the connection that worked for it was closed."""
        self.connector = connector
        self._idle_timeout = idle_timeout
        self._body_idle = body_idle
        self._budget = budget
        self._max_idle = max_idle
        self._clock = clock
        self._on_abandoned = on_abandoned
        self._idle: dict[UpstreamConnection, float] = {}
        """In the order in which they became idle; value: since when."""
        self._resting: dict[UpstreamConnection, asyncio.TimerHandle] = {}
        self._open: set[UpstreamConnection] = set()
        self._closed = False
        self._drained: asyncio.Future[None] | None = None
        self._sweeper = Watchdog(asyncio.get_running_loop(), self.sweep)
        self.dials = 0
        self.reuses = 0
        self._told = (0, 0)

    def news(self) -> tuple[int, int]:
        """Dials and reuses since this was last asked."""
        now, before = (self.dials, self.reuses), self._told
        self._told = now
        return now[0] - before[0], now[1] - before[1]

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def open(self) -> int:
        """Connections, idle and in use."""
        return len(self._open)

    def take(self) -> UpstreamConnection | None:
        """The connection that became idle last, or None. Never waits."""
        idle = self._idle
        while idle:
            connection, since = idle.popitem()
            self._budget.used -= 1
            if connection.alive and (not self._idle_timeout or self._clock() - since < self._idle_timeout):
                self.reuses += 1
                return connection
            connection.abort()
        return None

    async def dial(self) -> UpstreamConnection:
        """A fresh connection; raises what `HardenedConnector.dial` raises."""
        self.dials += 1
        connection = await self.connector.dial()
        connection.on_lost = self._on_lost
        connection.body_idle = self._body_idle
        self._open.add(connection)
        return connection

    def give_back(self, connection: UpstreamConnection) -> None:
        """Keep a connection that is fit for reuse (`UpstreamConnection.rest` said so)."""
        if connection.named_body:
            self._let_rest(connection)
            return
        budget = self._budget
        if self._closed or len(self._idle) >= self._max_idle or budget.used >= budget.limit:
            connection.abort()
            return
        now = self._clock()
        self._idle[connection] = now
        budget.used += 1
        if self._idle_timeout and not self._sweeper.expires_at:
            self._sweeper.arm(now + self._idle_timeout)

    def _let_rest(self, connection: UpstreamConnection) -> None:
        connection.named_body = False
        if self._closed or len(self._idle) + len(self._resting) >= self._max_idle:
            connection.abort()
            return
        self._resting[connection] = connection.loop.call_later(REST_SECONDS, self._rested, connection)

    def _rested(self, connection: UpstreamConnection) -> None:
        del self._resting[connection]
        if connection.alive:
            self.give_back(connection)

    def sweep(self) -> None:
        """Close what was idle for too long; the oldest stand first."""
        now = self._clock()
        for connection, since in list(self._idle.items()):
            if now - since < self._idle_timeout:
                self._sweeper.arm(since + self._idle_timeout)
                return
            del self._idle[connection]
            self._budget.used -= 1
            connection.close()

    async def aclose(self) -> None:
        """Close idle connections now and those in use when they come back; returns when the last one has."""
        self._closed = True
        self._sweeper.close()
        self._budget.used -= len(self._idle)
        idle, self._idle = self._idle, {}
        for connection in (*idle, *self._resting):
            connection.abort()
        if self._open:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained
        await self.connector.close()

    def _on_lost(self, connection: UpstreamConnection) -> None:
        if self._idle.pop(connection, None) is not None:
            self._budget.used -= 1
        resting = self._resting.pop(connection, None)
        if resting is not None:
            resting.cancel()
        self._open.discard(connection)
        if connection.abandoned_at:
            self._on_abandoned(monotonic() - connection.abandoned_at)
        if self._drained is not None and not self._open and not self._drained.done():
            self._drained.set_result(None)
