"""Processes that share a breaker ask it in the same moment, when its time of refusal is over: one of them probes."""

from __future__ import annotations

import mmap
import os
from collections import Counter

from gateway.core.outcome import Outcome
from gateway.page.page import Page, create, doorbells
from gateway.policy.breaker import Breaker
from gateway.policy.breaker_store import State
from gateway.policy.machine import REFUSED

PROCESSES, TRIALS, ATTEMPTS = 4, 1000, 3
RECOVERY = 30.0


class Trials:
    """What the processes share besides the page: the time, and the number of the trial that has begun."""

    def __init__(self) -> None:
        cells = memoryview(mmap.mmap(-1, mmap.PAGESIZE))
        self._times, self._numbers = cells.cast("d"), cells.cast("q")
        self.page, self.bells = create(), doorbells(PROCESSES)

    def clock(self) -> float:
        return self._times[0]

    def breaker(self, slot: int) -> Breaker:
        store = Page(self.page, slot, self.bells).breaker("ai", "http://h")
        return Breaker(1, RECOVERY, 1, clock=self.clock, store=store)

    def begin(self, number: int) -> None:
        self._times[0] += RECOVERY
        self._numbers[1] = number

    def await_begin(self, number: int) -> None:
        while self._numbers[1] < number:
            os.sched_yield()

    def run(self, slot: int, orders: int, results: int) -> None:
        """In a process of its own: ask at the beginning of each trial, and report a failure at its end."""
        breaker = self.breaker(slot)
        for number in range(1, TRIALS + 1):
            self.await_begin(number)
            permits = [permit for _ in range(ATTEMPTS) if (permit := breaker.try_acquire()) != REFUSED]
            os.write(results, bytes((len(permits),)))
            os.read(orders, 1)
            for permit in permits:
                breaker.release(permit, Outcome.FAILURE)
            os.write(results, b"\0")


def test_exactly_one_probe_is_admitted_in_each_of_many_trials() -> None:
    trials = Trials()
    here, results = os.pipe()
    orders = [os.pipe() for _ in range(PROCESSES)]
    breaker = trials.breaker(PROCESSES)
    breaker.release(breaker.try_acquire(), Outcome.FAILURE)
    assert breaker.state is State.OPEN
    children = []
    for slot, (order, _) in enumerate(orders):
        child = os.fork()
        if not child:
            failed = 1
            try:
                trials.run(slot, order, results)
                failed = 0
            finally:
                os._exit(failed)
        children.append(child)
    os.close(results)  # so that the end of the children, should they fail, is the end of their reports
    admitted = Counter[int]()

    def reports() -> bytes:
        found = b""
        while len(found) < PROCESSES:
            report = os.read(here, PROCESSES)
            assert report, "a process has failed"
            found += report
        return found

    for number in range(1, TRIALS + 1):
        trials.begin(number)
        admitted[sum(reports())] += 1
        for _, order in orders:
            os.write(order, b"x")
        reports()
        assert breaker.state is State.OPEN
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    for descriptor in (here, trials.page, *trials.bells, *(end for pair in orders for end in pair)):
        os.close(descriptor)
    assert admitted == {1: TRIALS}
