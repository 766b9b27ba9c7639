"""Which stores the machines of this process use: those of its own memory, or shared ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from gateway.core.clock import Clock, monotonic
from gateway.policy.breaker_store import BreakerStore, MemoryBreakerStore
from gateway.policy.learned import LearnedStore, MemoryLearnedStore
from gateway.policy.rate_store import MemoryRateStore, RateStore
from gateway.policy.store import MemoryPermitStore, PermitStore

Store = PermitStore | BreakerStore | RateStore


class Census(Protocol):
    """The connections of all processes to a limited upstream, which may serve each by a thread of its own.

    Idle connections of one process must not keep those of another from being served.
    """

    def excess(self) -> int:
        """Connections beyond the requests that the upstream may get at once; 0 or less: none."""
        ...

    def on_crowded(self, shrink: Callable[[], None]) -> None:
        """Call ``shrink``, which closes idle connections, whenever another process sees an excess."""
        ...

    def opened(self) -> None:
        """This process has one more."""
        ...

    def closed(self) -> None:
        """This process has one less. Called once for each `opened`."""
        ...


class Stores(Protocol):
    """Gives each machine its store."""

    @property
    def linger(self) -> float:
        """Seconds for which a permit stays in use after the connection of its exchange was cut in the middle of work.

        An endpoint sees the end of a connection a moment after it has read the next request. Where other processes are
        given the permit at once, it would see one request more than it may.
        """
        ...

    @property
    def processes(self) -> int:
        """Those that serve the same upstreams, this one included."""
        ...

    def permits(self, name: str) -> PermitStore:
        """Of the limiter of the upstream ``name``. Raises OSError when there is no room for one more."""
        ...

    def breaker(self, name: str, origin: str) -> BreakerStore:
        """Of the breaker of the upstream ``name``, which judges ``origin``. Raises OSError as `permits`."""
        ...

    def learned(self, name: str) -> LearnedStore:
        """Of the adaptive limit of the upstream ``name``, whose limiter has its store already. Raises OSError as
        `permits`."""
        ...

    def census(self, name: str) -> Census | None:
        """Of the connections to the upstream ``name``; None: this process is the only one that has some."""
        ...

    def rates(self, name: str, slots: int) -> RateStore:
        """Of the buckets ``name``, which have a table of so many ``slots``. Raises OSError as `permits`."""
        ...

    @property
    def seed(self) -> bytes:
        """What the keys of rate limits are hashed with, the same in all processes that share them: 16 bytes."""
        ...

    def forget(self, store: Store) -> None:
        """The machine with this store is gone from this process."""
        ...


class MemoryStores:
    """A new store for each machine."""

    def __init__(self, clock: Clock = monotonic) -> None:
        self._clock = clock
        self.linger = 0.0
        self.processes = 1
        self.seed = os.urandom(16)

    def permits(self, name: str) -> PermitStore:
        """As `Stores.permits`."""
        del name
        return MemoryPermitStore(self._clock())

    def breaker(self, name: str, origin: str) -> BreakerStore:
        """As `Stores.breaker`."""
        del name, origin
        return MemoryBreakerStore()

    def learned(self, name: str) -> LearnedStore:
        """As `Stores.learned`."""
        del name
        return MemoryLearnedStore()

    def census(self, name: str) -> Census | None:
        """As `Stores.census`."""
        del name
        return None

    def rates(self, name: str, slots: int) -> RateStore:
        """As `Stores.rates`."""
        del name
        return MemoryRateStore(slots)

    def forget(self, store: Store) -> None:
        """As `Stores.forget`."""
