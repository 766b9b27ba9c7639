"""Processes that share a limiter are killed with SIGKILL, one after the other, while an observer counts who is inside.

Each process runs clients that take a permit, wait for one, lose patience, are cancelled, and give it back. Each
entry and each exit is a record to one pipe, whose order is that of the kernel. There is no gateway and no endpoint
here: what is held is the promise of the shared page alone, "never more than the limit, and nothing lost".
"""

from __future__ import annotations

import asyncio
import os
import random
import select
import signal
import struct
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from gateway.page.page import Page, create, doorbells
from gateway.policy.limiter import Limiter
from gateway.policy.machine import REFUSED

_RECORD: Final = struct.Struct("=ii")
"""A slot, and what happened: `_ENTERED`, `_LEFT`, `_REFUSED` or `_DEAD`."""
_ENTERED, _LEFT, _REFUSED, _DEAD = range(4)
_CLIENTS: Final = 12
"""In each process."""
_LOOK_SECONDS: Final = 0.001
_FULL_SECONDS: Final = 1.0
"""After a death all permits have to be in use again within this time."""


@dataclass
class Result:
    """``most``: inside at once. ``recovered``: seconds from each death until all permits were in use again."""

    limit: int
    entered: int = 0
    refused: int = 0
    deaths: int = 0
    most: int = 0
    recovered: list[float] = field(default_factory=list)
    left_over: tuple[int, int] = (0, 0)
    """Permits in use and places taken when all processes have ended: two zeros unless something was lost."""

    def faults(self) -> list[str]:
        """What does not hold; empty when all does."""
        found = []
        if self.most > self.limit:
            found.append(f"{self.most} were inside, of {self.limit}")
        if self.left_over != (0, 0):
            found.append(f"left over: {self.left_over[0]} permits and {self.left_over[1]} places")
        if self.recovered and max(self.recovered) > _FULL_SECONDS:
            found.append(f"all permits were in use again only after {max(self.recovered):.2f} s")
        return found


def kills(entries: int, processes: int, limit: int, every: float, seed: int, patience: float = 120.0) -> Result:
    """Run until ``entries`` clients have been inside, with a death each ``every`` seconds; at most ``patience``
    seconds.
    """
    return _Observer(processes, limit, seed).run(entries, every, patience)


class _Observer:
    """The parent of the processes: it kills, buries and counts."""

    def __init__(self, processes: int, limit: int, seed: int) -> None:
        self._dice = random.Random(seed)  # noqa: S311
        self._descriptor = create()
        self._bells = doorbells(processes)
        self._page = Page(self._descriptor, processes, self._bells)
        self._store = self._page.permits("endpoint")
        self._store.max_waiting = processes * _CLIENTS
        self._store.resize(limit)
        self._here, self._there = os.pipe()
        self._inside: Counter[int] = Counter()
        self._children: dict[int, int] = {}
        self._result = Result(limit)
        self._full_since_death = 0.0

    def run(self, entries: int, every: float, patience: float) -> Result:
        end = time.monotonic() + patience
        for slot in range(len(self._bells)):
            self._start(slot)
        next_death = time.monotonic() + every
        try:
            while self._result.entered < entries and time.monotonic() < end:
                self._read()
                if time.monotonic() >= next_death:
                    self._kill(self._dice.choice(list(self._children)))
                    next_death = time.monotonic() + every
        finally:
            for slot in list(self._children):
                self._end(slot)
        self._read()
        self._result.left_over = self._store.in_flight, self._store.waiting
        for descriptor in (self._here, self._there, self._descriptor, *self._bells):
            os.close(descriptor)
        return self._result

    def _start(self, slot: int) -> None:
        seed = self._dice.random()
        child = os.fork()
        if not child:
            try:
                asyncio.run(_clients(self._descriptor, slot, self._bells, self._there, seed))
            finally:
                os._exit(1)
        self._children[slot] = child

    def _end(self, slot: int) -> None:
        child = self._children.pop(slot)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.write(self._there, _RECORD.pack(slot, _DEAD))  # behind all that it wrote
        exhume = self._page.bury(slot)
        self._read()
        exhume()

    def _kill(self, slot: int) -> None:
        self._result.deaths += 1
        self._end(slot)
        self._full_since_death = time.monotonic()
        self._start(slot)

    def _read(self) -> None:
        if not select.select([self._here], [], [], _LOOK_SECONDS)[0]:
            return
        data = os.read(self._here, 1 << 16)
        for slot, event in _RECORD.iter_unpack(data):
            self._note(slot, event)

    def _note(self, slot: int, event: int) -> None:
        result, inside = self._result, self._inside
        if event == _DEAD:
            inside[slot] = 0
        elif event == _REFUSED:
            result.refused += 1
        elif event == _LEFT:
            inside[slot] -= 1
        else:
            inside[slot] += 1
            result.entered += 1
            number = inside.total()
            result.most = max(result.most, number)
            if number >= result.limit and self._full_since_death:
                result.recovered.append(time.monotonic() - self._full_since_death)
                self._full_since_death = 0.0


async def _clients(descriptor: int, slot: int, bells: list[int], pipe: int, seed: float) -> None:
    page = Page(descriptor, slot, bells)
    page.listen(asyncio.get_running_loop())
    store = page.permits("endpoint")
    limiter = Limiter(store.limit, store.max_waiting, store=store)
    async with asyncio.TaskGroup() as group:
        for number in range(_CLIENTS):
            group.create_task(_client(limiter, slot, pipe, random.Random(f"{seed} {number}")))  # noqa: S311


async def _client(limiter: Limiter, slot: int, pipe: int, dice: random.Random) -> None:
    while True:
        waiting = asyncio.ensure_future(limiter.acquire(dice.uniform(0.002, 1.0)))
        if dice.random() < 0.1:
            await asyncio.sleep(dice.uniform(0.0, 0.004))
            waiting.cancel()
        await asyncio.wait({waiting})
        if waiting.cancelled():
            continue
        permit = waiting.result()
        if permit == REFUSED:
            os.write(pipe, _RECORD.pack(slot, _REFUSED))
            continue
        os.write(pipe, _RECORD.pack(slot, _ENTERED))
        if dice.random() < 0.7:
            await asyncio.sleep(dice.uniform(0.0, 0.002))
        os.write(pipe, _RECORD.pack(slot, _LEFT))
        limiter.release(permit, seconds=0.001)
