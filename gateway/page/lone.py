"""The stores of the only worker: its own memory, and the page while another process takes over from it.

Alone it needs no lock. While it is replaced, the old process and the new one serve at the same time, and must not have
a limit each. So the supervisor orders the old one to move its limiters and breakers to the page, and starts the new,
which begins there, when that is done. When the old one has ended, the new one is ordered back to its own memory.

Orders are numbers that grow, in a cell of the page, and each process writes there which it has obeyed last. So one that
starts late, or again after its death, finds the order that holds, and an old word of obedience is never taken for a
new one.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import Final, TypeVar

from gateway.core.clock import Clock, monotonic
from gateway.page.layout import OBEYED, ORDER
from gateway.page.page import Page, PageFullError
from gateway.policy.breaker_store import BreakerStore
from gateway.policy.learned import LearnedStore
from gateway.policy.rate_store import RateStore
from gateway.policy.store import PermitStore
from gateway.policy.stores import Census, MemoryStores
from gateway.policy.stores import Store as AnyStore

_log = logging.getLogger("gateway")
Store = TypeVar("Store")

ALONE: Final = 2
"""The first order: keep your limits for yourself."""


def shares(order: int) -> bool:
    """Whether ``order`` is to use the page."""
    return order % 2 == 1


def following(order: int, *, shared: bool) -> int:
    """The next order after ``order``, for one or the other."""
    return order + (2 if shares(order) == shared else 1)


class LoneStores:
    """Those that the last order names, for the worker that has ``page``."""

    def __init__(self, page: Page, clock: Clock = monotonic) -> None:
        self._page = page
        self._memory = MemoryStores(clock)
        self._shared = False
        self._full = False
        self.obey(lambda: None)

    def obey(self, move: Callable[[], object]) -> None:
        """Do what the last order says: ``move`` takes all that has a store to the one that it gets here from now on."""
        order = int(self._page.cells[ORDER])
        if shares(order) != self._shared:
            self._shared = shares(order)
            self._full = False
            collects = gc.isenabled()
            gc.disable()  # it may end an exchange, which gives back a permit that is being moved
            try:
                move()
            finally:
                if collects:
                    gc.enable()
        self._page.cells[OBEYED + self._page.slot] = order
        self._page.ring_supervisor()

    @property
    def linger(self) -> float:
        """As `gateway.policy.stores.Stores.linger`."""
        return self._page.linger if self._shared else self._memory.linger

    @property
    def processes(self) -> int:
        """As `gateway.policy.stores.Stores.processes`; one more for a moment, while it is replaced."""
        return 1

    def permits(self, name: str) -> PermitStore:
        """As `gateway.policy.stores.Stores.permits`; never raises."""
        return self._either(self._page.permits, self._memory.permits, name)

    def breaker(self, name: str, origin: str) -> BreakerStore:
        """As `gateway.policy.stores.Stores.breaker`; never raises."""
        return self._either(self._page.breaker, self._memory.breaker, name, origin)

    def learned(self, name: str) -> LearnedStore:
        """As `gateway.policy.stores.Stores.learned`; never raises."""
        return self._either(self._page.learned, self._memory.learned, name)

    def census(self, name: str) -> Census | None:
        """As `gateway.policy.stores.Stores.census`."""
        return self._either(self._page.census, self._memory.census, name)

    def rates(self, name: str, slots: int) -> RateStore:
        """As `gateway.policy.stores.Stores.rates`; never raises."""
        return self._either(self._page.rates, self._memory.rates, name, slots)

    @property
    def seed(self) -> bytes:
        """As `gateway.policy.stores.Stores.seed`; that of the page in both, because buckets move between them."""
        return self._page.seed

    def forget(self, store: AnyStore) -> None:
        """As `gateway.policy.stores.Stores.forget`."""
        self._page.forget(store)

    def _either(self, shared: Callable[..., Store], own: Callable[..., Store], *names: str | int) -> Store:
        """Of the page, while it has room: a configuration that one worker can serve can be served in a restart, too."""
        if self._shared:
            try:
                return shared(*names)
            except PageFullError as error:
                if not self._full:
                    self._full = True
                    _log.warning("while the worker is replaced, some limits hold for each process: %s", error)
        return own(*names)
