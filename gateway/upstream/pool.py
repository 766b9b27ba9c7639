"""Idle connections to one endpoint: the newest is used first, so that a burst's surplus grows old and is closed.

A connection is closed instead of kept when it comes back too old (``max_age``), or from an address that the endpoint's
name no longer has: so traffic follows DNS, and no exchange is ever cut for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import islice
from math import inf
from random import uniform
from time import monotonic
from typing import NamedTuple

from gateway.core.clock import Clock
from gateway.core.stream import ClientStream
from gateway.policy.stores import Census
from gateway.upstream.connector import HardenedConnector
from gateway.wire.connections import ClientConnection
from gateway.wire.timer import LazyTimer

MAX_IDLE_PER_HOST = 100
MAX_IDLE = 1000
REST_SECONDS = 1.0
"""How long a connection is not used after a response that named a body without having one (HEAD, 304). An upstream that
sends the body nevertheless does so within that time, and the connection is closed before it serves another request.
"""
_HINT_MARGIN = 1.0
"""Seconds before the end that an upstream names in Keep-Alive, and at most half of them, in which its connection is not
used: a request that meets the close would fail, or be sent twice."""
_TIMER_SECONDS = 0.001
"""A timer may fire this much too early. What is due within it is done at once; otherwise the timer would fire again and
again until then."""
_SPREAD = 0.9
"""Connections that were opened together are not closed together: each gets at least this share of ``max_age``."""


class IdleBudget:
    """How many idle connections all pools may keep together."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int = MAX_IDLE) -> None:
        self.limit = limit
        self.used = 0


class Keeping(NamedTuple):
    """Which connections a pool keeps, and for how long."""

    idle_timeout: float
    """Seconds without a request; 0: no limit."""
    body_idle: float
    """Longest pause in a body, in seconds; 0: none."""
    budget: IdleBudget
    max_age: float = 0.0
    """Seconds after which a connection begins no more requests; 0: no limit."""
    max_idle: int = MAX_IDLE_PER_HOST
    clock: Clock = monotonic
    census: Census | None = None
    """Of the connections that other processes have to the same endpoint."""
    on_abandoned: Callable[[float], object] = lambda seconds: None
    """Gets the seconds from a client's departure to the close of the connection that served it."""


class Pool:
    """Hands out connections and takes them back. A full pool never refuses: it closes what it cannot keep."""

    def __init__(self, connector: HardenedConnector, keeping: Keeping) -> None:
        self.connector = connector
        self._idle_timeout = keeping.idle_timeout or inf
        self._body_idle = keeping.body_idle
        self._budget = keeping.budget
        self._max_age = keeping.max_age
        self._max_idle = keeping.max_idle
        self._clock = keeping.clock
        self._census = keeping.census
        self._on_abandoned = keeping.on_abandoned
        self._idle: dict[ClientConnection, float] = {}
        """In the order in which they became idle; value: until when one may be used."""
        self._resting: dict[ClientConnection, asyncio.TimerHandle] = {}
        self._open: dict[ClientConnection, tuple[float, str]] = {}
        """Value: until when it is kept when it comes back, and the address that it leads to."""
        self._generation = 0
        """Counts the calls of `renew`."""
        self._closed = False
        self._drained: asyncio.Future[None] | None = None
        self._sweeper = LazyTimer(asyncio.get_running_loop(), self.sweep)
        self.dials = 0
        self.reuses = 0
        self.checks = 0
        """Streams that run health checks."""
        self._taken = (0, 0)
        connector.on_moved = self.follow

    def take_counts(self) -> tuple[int, int]:
        """Dials and reuses since the last call."""
        now, before = (self.dials, self.reuses), self._taken
        self._taken = now
        return now[0] - before[0], now[1] - before[1]

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def open(self) -> int:
        """Connections, idle and in use."""
        return len(self._open)

    @property
    def sessions(self) -> int:
        """Those of `open` that speak HTTP/2."""
        return 0

    @property
    def streams(self) -> int:
        """Requests that run on them."""
        return 0

    @property
    def requests(self) -> int:
        """Requests of callers that run on its connections, and tunnels, however the endpoint was chosen for them."""
        return len(self._open) - len(self._idle) - len(self._resting) - self.checks

    def take(self) -> ClientStream | None:
        """A stream on a connection that is open: the one that became idle last. None without one; never waits."""
        idle = self._idle
        while idle:
            connection, until = idle.popitem()
            self._budget.used -= 1
            transport = connection.transport  # as `alive`, without a call
            if transport is not None and not transport.is_closing() and self._clock() < until:
                self.reuses += 1
                return connection
            connection.abort()
        return None

    async def dial(self) -> ClientStream:
        """A stream on a fresh connection; raises what `HardenedConnector.dial` raises."""
        self.dials += 1
        generation = self._generation
        connection = await self.connector.dial()
        self._adopt(connection, generation)
        return connection

    def _adopt(self, connection: ClientConnection, generation: int) -> None:
        """Keep account of a connection that was dialled in the ``generation``."""
        connection.on_lost = self._on_lost
        connection.on_idle = self.give_back
        connection.body_idle = self._body_idle
        self._open[connection] = self._kept_until(generation), self.connector.address_of(connection)
        if self._census is not None:
            self._census.opened()

    def _kept_until(self, generation: int) -> float:
        """Until when a connection that was dialled in the ``generation`` is used for new requests."""
        if generation != self._generation:
            return -inf
        return self._clock() + self._max_age * uniform(_SPREAD, 1.0) if self._max_age else inf  # noqa: S311

    def give_back(self, connection: ClientConnection) -> None:
        """Keep a connection that is fit for reuse (`ClientStream.release` said so)."""
        if connection.named_body:
            self._let_rest(connection)
            return
        idle, budget = self._idle, self._budget
        now = self._clock()
        kept_until, address = self._open[connection]
        current = self.connector.current
        if (
            self._closed
            or now >= kept_until
            or (current is not None and address not in current)
            or len(idle) >= self._max_idle
            or budget.used >= budget.limit
            or (self._census is not None and self._census.excess() > 0)
        ):
            connection.abort()
            return
        until = now + self._idle_timeout
        limit = connection.idle_limit
        if limit < inf:
            until = min(until, now + limit - min(_HINT_MARGIN, limit / 2))
            if until <= now:
                connection.abort()
                return
        idle[connection] = until
        budget.used += 1
        armed = self._sweeper.expires_at
        if not armed or until < armed or self.connector.stale_at < armed:  # nearly never: no call for it
            self._sweep_at(until)

    def _let_rest(self, connection: ClientConnection) -> None:
        connection.named_body = False
        if self._closed or len(self._idle) + len(self._resting) >= self._max_idle:
            connection.abort()
            return
        self._resting[connection] = connection.loop.call_later(REST_SECONDS, self._rested, connection)

    def _rested(self, connection: ClientConnection) -> None:
        del self._resting[connection]
        if connection.alive:
            connection.idle_limit = max(0.0, connection.idle_limit - REST_SECONDS)
            self.give_back(connection)

    def sweep(self) -> None:
        """Close what was idle for too long, and check whether the endpoint's name has moved."""
        now = self._clock() + _TIMER_SECONDS
        if now >= self.connector.stale_at:
            self.connector.follow()
        self._drop([connection for connection, until in self._idle.items() if now >= until])
        if self._idle:
            self._sweep_at(min(self._idle.values()))

    def follow(self) -> None:
        """Close the idle connections to addresses that the endpoint's name no longer has."""
        current = self.connector.current
        if current is not None:
            self._drop([connection for connection in self._idle if self._open[connection][1] not in current])

    def renew(self) -> None:
        """Reuse none of the connections that are open now: idle ones are closed at once, others when they come back."""
        self._generation += 1
        self._open = {connection: (-inf, address) for connection, (_, address) in self._open.items()}
        self._drop(list(self._idle))

    def shrink(self) -> None:
        """Close so many idle connections, the oldest first, as there are too many in all processes."""
        if self._census is not None:
            self._drop(list(islice(self._idle, max(0, self._census.excess()))))

    def count_in(self, census: Census | None) -> None:
        """Count the connections in ``census`` from now on, and in the one before no longer."""
        before, self._census = self._census, census
        for _ in self._open:
            if before is not None:
                before.closed()
            if census is not None:
                census.opened()

    def _drop(self, connections: Iterable[ClientConnection]) -> None:
        for connection in connections:
            del self._idle[connection]
            self._budget.used -= 1
            connection.close()

    def _sweep_at(self, at: float) -> None:
        at = min(at, self.connector.stale_at)
        armed = self._sweeper.expires_at
        if at < inf and (not armed or at < armed):
            self._sweeper.arm(at)

    async def aclose(self) -> None:
        """Close idle connections now and those in use when they come back; returns when the last one has."""
        self._closed = True
        self._sweeper.close()
        self._budget.used -= len(self._idle)
        idle, self._idle = self._idle, {}
        for connection in (*idle, *self._resting):
            connection.abort()
        if self.open:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained
        await self.connector.aclose()

    def _on_lost(self, connection: ClientConnection) -> None:
        if self._idle.pop(connection, None) is not None:
            self._budget.used -= 1
        resting = self._resting.pop(connection, None)
        if resting is not None:
            resting.cancel()
        if self._open.pop(connection, None) is not None and self._census is not None:
            self._census.closed()
        if connection.abandoned_at:
            self._on_abandoned(monotonic() - connection.abandoned_at)
        self._check_drained()

    def _check_drained(self) -> None:
        if self._drained is not None and not self.open and not self._drained.done():
            self._drained.set_result(None)
