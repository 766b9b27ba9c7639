"""The page: memory that the supervisor makes, that all workers share, and that outlives each of them.

Each process has a *slot* in it, and a *doorbell*, an eventfd by which the others wake it. A slab is found by a key, and
made by the first process that asks for it; the lock of the directory makes that one process.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

from gateway.page.breakers import PageBreakerStore
from gateway.page.census import PageCensus
from gateway.page.layout import (
    BLOCK,
    CELL,
    CELLS,
    DIRTY,
    FILE_LOCKS,
    IN_USE,
    KEY,
    KEY_CELLS,
    MAGIC,
    MAX_SLABS,
    MUTEX,
    ORDER,
    QUARANTINE,
    REUSED,
    SEED,
    SIZE,
    SLOTS,
    TOTAL,
    USED,
    USERS,
    VERSION,
    WAITING,
)
from gateway.page.learned import PageLearnedStore
from gateway.page.mutex import OWNER, FileLock, Lock, RobustMutex, address_of, robust
from gateway.page.permits import PagePermitStore
from gateway.page.rates import PageRateStore, area
from gateway.page.slab import Section, Slab
from gateway.policy.stores import Census, Store

_log = logging.getLogger("gateway")

LINGER_SECONDS: Final = 0.02
"""As `gateway.policy.stores.Stores.linger`."""
QUARANTINE_SECONDS: Final = 0.2
"""From the death of a process until its permits are given back: its endpoints see that a moment later."""
_MAGIC: Final = 0x42_52_45_41_4B_50_41_47
_VERSION: Final = 1


class PageFullError(OSError):
    """No slab is left for one more limiter or breaker."""


def create() -> int:
    """The descriptor of a new page, which children may inherit. Untouched slabs take no memory.

    Raises OSError when the system gives no such memory.
    """
    descriptor = os.memfd_create("gateway-page")
    os.ftruncate(descriptor, SIZE)
    page = Page(descriptor, QUARANTINE, [])
    if not robust():
        _log.warning("this system does not say when the holder of a lock dies: file locks serve, which cost more")
        page.cells[FILE_LOCKS] = 1
    page.make_lock(0)
    page.cells[VERSION] = _VERSION
    page.cells[MAGIC] = _MAGIC
    page.close()
    return descriptor


def doorbells(count: int) -> list[int]:
    """Descriptors of so many doorbells, which children may inherit."""
    return [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(count)]


class Page:
    """The page, by its descriptor, for the process in ``slot``; ``bells``: the doorbells of the slots from 0 on, and of
    the supervisor.

    For a worker it is its `gateway.policy.stores.Stores`; ``worker``: the number by which operators know it.
    """

    linger = LINGER_SECONDS

    def __init__(self, descriptor: int, slot: int, bells: Sequence[int], worker: int = 0) -> None:
        self._descriptor = descriptor
        self._worker = worker
        self.slot = slot
        self._bells = bells
        self._map = mmap.mmap(descriptor, SIZE)
        self._whole = memoryview(self._map)
        self._address = address_of(self._map)
        self.cells = self._whole[: CELLS * CELL].cast("q")
        self._section = Section()
        self._directory = self._slab(0)
        self._numbers: dict[bytes, int] = {}
        """Slabs by their keys, as far as this process has looked."""
        self._looked = self._reused = 0
        self._limiters: dict[bytes, PagePermitStore] = {}
        self._censuses: dict[bytes, PageCensus] = {}
        self._breakers: dict[bytes, PageBreakerStore] = {}
        self._rates: dict[bytes, PageRateStore] = {}
        self._listening: asyncio.AbstractEventLoop | None = None
        self._on_rung: Callable[[], object] = lambda: None

    # -- what a worker does

    @property
    def processes(self) -> int:
        """As `gateway.policy.stores.Stores.processes`. A worker has two places: one is free unless it is replaced."""
        return max(1, (len(self._bells) - 1) // 2)

    def check(self) -> None:
        """Raises ValueError when this is no page of this version."""
        if (self.cells[MAGIC], self.cells[VERSION]) != (_MAGIC, _VERSION):
            raise ValueError("the shared page is of another version of the gateway; stop it, and start it again")

    def permits(self, name: str) -> PagePermitStore:
        """The limiter of the upstream ``name``. Raises `PageFullError`."""
        key = _key("permits", name)
        if key not in self._limiters:
            self._limiters[key] = PagePermitStore(self._claim(key))
        return self._limiters[key]

    def breaker(self, name: str, origin: str) -> PageBreakerStore:
        """The breaker of the upstream ``name`` at ``origin``. Raises `PageFullError`."""
        key = _key("breaker", f"{name} {origin}")
        if key not in self._breakers:
            worker = -1 if self.cells[ORDER] else self._worker  # the only one has no number
            self._breakers[key] = PageBreakerStore(self._claim(key), worker)
        return self._breakers[key]

    def learned(self, name: str) -> PageLearnedStore:
        """As `gateway.policy.stores.Stores.learned`."""
        return PageLearnedStore(self.permits(name).slab)

    def census(self, name: str) -> Census:
        """As `gateway.policy.stores.Stores.census`."""
        key, slab = _key("permits", name), self.permits(name).slab
        if key not in self._censuses:
            self._censuses[key] = PageCensus(slab)
        return self._censuses[key]

    def rates(self, name: str, slots: int) -> PageRateStore:
        """The buckets ``name`` of a rate limit. Raises `PageFullError`, also when the system gives no memory."""
        key = _key("rates", f"{slots} {name}")
        if key not in self._rates:
            number = self._claim_number(key)
            try:
                memory = area(self._descriptor, number)
            except OSError as error:
                raise PageFullError(f"no memory for the rate limit {name}: {error.strerror}") from error
            self._rates[key] = PageRateStore(self._slab(number), memory, slots)
        return self._rates[key]

    @property
    def seed(self) -> bytes:
        """As `gateway.policy.stores.Stores.seed`; the first process that asks makes it."""
        with self._directory.locked():
            if not any(self.cells[SEED : SEED + 2]):
                self._whole[SEED * CELL : (SEED + 2) * CELL] = os.urandom(2 * CELL)
        return bytes(self._whole[SEED * CELL : (SEED + 2) * CELL])

    def forget(self, store: Store) -> None:
        """This process no longer uses it. Where no process does, another one may get the slab."""
        if not isinstance(store, PagePermitStore | PageBreakerStore | PageRateStore):
            return
        cells = store.slab.cells
        key = cells[KEY : KEY + KEY_CELLS].tobytes()
        if store is self._limiters.get(key):
            del self._limiters[key]
            self._censuses.pop(key, None)
        elif store is self._breakers.get(key):
            del self._breakers[key]
        elif store is self._rates.get(key):
            del self._rates[key]
        else:
            return
        with self._directory.locked():
            cells[USERS + self.slot] = 0
            if isinstance(store, PageRateStore) and not any(cells[USERS : USERS + SLOTS]):
                store.clear()

    def listen(self, loop: asyncio.AbstractEventLoop, on_rung: Callable[[], object] = lambda: None) -> None:
        """Wake the waiters of this process whenever another one rings. ``on_rung`` is called first."""
        self._listening = loop
        self._on_rung = on_rung
        loop.add_reader(self._bells[self.slot], self._rung)

    def _rung(self) -> None:
        try:
            os.eventfd_read(self._bells[self.slot])
        except BlockingIOError:
            return
        self._on_rung()
        for permits in list(self._limiters.values()):
            permits.rung()
        for census in list(self._censuses.values()):
            census.rung()

    def ring_supervisor(self) -> None:
        """Wake the supervisor."""
        self._ring(len(self._bells) - 1)

    # -- what the supervisor does

    def bury(self, dead: int) -> Callable[[], None]:
        """The process in the slot ``dead`` has ended for certain: give back what it had in every slab, its permits by
        the function that is returned, which is to be called when its endpoints have noticed.

        The others are rung: it may have admitted some of their waiters in its last moment.
        """
        found: list[tuple[PagePermitStore, int]] = []
        for number in range(1, self.cells[USED] + 1):
            slab = self._slab(number)
            if slab.cells[IN_USE]:
                permits = PagePermitStore(slab)
                found.append((permits, permits.bury(dead)))
                slab.cells[USERS + dead] = 0
        self.ring_all(but=dead)

        def exhume() -> None:
            for permits, count in found:
                if count:
                    permits.exhume(count)

        return exhume

    def ring_all(self, but: int = QUARANTINE) -> None:
        """Wake every process, except one."""
        for slot in range(len(self._bells)):
            if slot != but:
                self._ring(slot)

    def holders(self) -> dict[int, int]:
        """The locks that are held now: the number of the slab, and the thread that holds it."""
        at = DIRTY * CELL if self.cells[FILE_LOCKS] else MUTEX * CELL
        found = {}
        for number in range(self.cells[USED] + 1):
            start = number * BLOCK + at
            owner = int.from_bytes(self._whole[start : start + 4], sys.byteorder) & OWNER
            if owner:
                found[number] = owner
        return found

    def close(self) -> None:
        """The memory stays mapped until the process ends, because the locks in it have addresses."""
        if self._listening is not None:
            self._listening.remove_reader(self._bells[self.slot])
            self._listening = None

    # -- slabs

    def _claim(self, key: bytes) -> Slab:
        return self._slab(self._claim_number(key))

    def _claim_number(self, key: bytes) -> int:
        directory = self._directory
        number = 0
        directory.enter()
        try:
            number = self._find(key) or self._make(key)
            if number:
                self._slab(number).cells[USERS + self.slot] = 1
        finally:
            directory.leave()
        if not number:
            raise PageFullError(f"{MAX_SLABS} limits and breakers are in use; remove upstreams that are not needed")
        return number

    def _find(self, key: bytes) -> int:
        if self._reused != self.cells[REUSED]:
            self._reused = int(self.cells[REUSED])
            self._numbers.clear()
            self._looked = 0
        for number in range(self._looked + 1, self.cells[USED] + 1):
            self._numbers[self._key_at(number)] = number
        self._looked = int(self.cells[USED])
        return self._numbers.get(key, 0)

    def _key_at(self, number: int) -> bytes:
        """Empty when its maker has died, or makes it just now."""
        start = number * BLOCK
        return bytes(self._whole[start + KEY * CELL : start + (KEY + KEY_CELLS) * CELL]) if self._whole[start] else b""

    def _make(self, key: bytes) -> int:
        number = int(self.cells[USED]) + 1
        if number > MAX_SLABS:
            number = self._unused()
            if not number:
                return 0
            self.cells[REUSED] += 1
        start = number * BLOCK
        self._whole[start : start + CELLS * CELL] = bytes(CELLS * CELL)
        self.make_lock(number)
        self._whole[start + KEY * CELL : start + (KEY + KEY_CELLS) * CELL] = key
        self._slab(number).cells[IN_USE] = 1
        self.cells[USED] = max(int(self.cells[USED]), number)
        return number

    def _unused(self) -> int:
        for number in range(1, MAX_SLABS + 1):
            cells = self._slab(number).cells
            if not any(cells[USERS : USERS + SLOTS]) and not cells[TOTAL] and not cells[WAITING]:
                return number
        return 0

    def _slab(self, number: int) -> Slab:
        start = number * BLOCK
        block = self._whole[start : start + CELLS * CELL]
        cells = block.cast("q")
        ring = self._whole[start + CELLS * CELL : start + BLOCK]
        return Slab(cells, block.cast("d"), ring, self._lock(number, cells), self.slot, self._ring, self._section)

    def _lock(self, number: int, cells: memoryview) -> Lock:
        if self.cells[FILE_LOCKS]:
            return FileLock(self._descriptor, number * BLOCK, cells)
        return RobustMutex(self._address + number * BLOCK + MUTEX * CELL)

    def make_lock(self, number: int) -> None:
        """Make the lock of a slab that no process uses yet. Raises OSError."""
        lock = self._lock(number, self.cells)
        if isinstance(lock, RobustMutex):
            lock.make()

    def _ring(self, slot: int) -> None:
        if slot < len(self._bells):
            os.eventfd_write(self._bells[slot], 1)


def _key(kind: str, name: str) -> bytes:
    """Of a fixed length, however long the name is."""
    from hashlib import sha256  # workers have it; it would cost the supervisor, which needs no key, a megabyte

    return sha256(f"{kind} {name}".encode()).digest()
