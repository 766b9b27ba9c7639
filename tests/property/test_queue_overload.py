"""A queue after an overload, on a clock that the test turns: does it go on serving callers who are gone?

Four times the load that the upstream bears for ten seconds fill the queue; then comes four fifths of it. First come,
first served, every request then waits for as long as the whole queue takes, which is longer than its caller waits: the
upstream works at its limit, and for no one (Bronson et al., Metastable failures in distributed systems, HotOS 2021).
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass

import pytest

from gateway.core.outcome import Outcome
from gateway.policy.codel import Codel
from gateway.policy.limiter import WHY, Limiter, Waiter

PERMITS, HOLD = 10, 0.1
CAPACITY = PERMITS / HOLD
PATIENCE = 1.0
"""Seconds after which a response is of no use to a caller. He does not hang up: something else is in between."""
OVERLOAD, END = 10.0, 40.0


@dataclass(eq=False)
class Request:
    at: float
    permit: int = 0
    ended: float = 0.0


class Scene:
    def __init__(self, codel: Codel, seed: int) -> None:
        self.dice = random.Random(seed)
        self.now = 0.0
        self.limiter = Limiter(PERMITS, 1000, clock=lambda: self.now)
        self.limiter.configure(codel)
        self.requests: list[Request] = []
        self.waiting: dict[Waiter, Request] = {}
        self.ends: list[tuple[float, int, Request]] = []

    def run(self) -> None:
        arrives = 0.0
        while arrives < END:
            while self.ends and self.ends[0][0] <= arrives:
                self.now, _, request = heapq.heappop(self.ends)
                request.ended = self.now
                self.limiter.release(request.permit, Outcome.IGNORED, HOLD)
                self.serve_who_was_admitted()
            self.now = arrives
            self.arrive()
            load = 4.0 if arrives < OVERLOAD else 0.8
            arrives += self.dice.uniform(0.5, 1.5) / (load * CAPACITY)

    def arrive(self) -> None:
        request = Request(self.now)
        self.requests.append(request)
        permit = self.limiter.try_acquire()
        if permit > 0:
            self.begin(request, permit)
            return
        waiter = self.limiter.join()
        if waiter is not None:
            self.waiting[waiter] = request

    def serve_who_was_admitted(self) -> None:
        for waiter in [waiter for waiter in self.waiting if waiter.done()]:
            request = self.waiting.pop(waiter)
            if waiter.result() not in WHY:
                self.begin(request, waiter.result())

    def begin(self, request: Request, permit: int) -> None:
        request.permit = permit
        heapq.heappush(self.ends, (self.now + HOLD, len(self.requests), request))

    def useful(self, first: float, last: float) -> float:
        """Of the requests that came then, the share whose response came in time."""
        came = [request for request in self.requests if first <= request.at < last]
        return sum(0.0 < request.ended <= request.at + PATIENCE for request in came) / len(came)

    def recovered(self) -> float:
        """Seconds from the end of the overload until each second is a good one."""
        bad = [second for second in range(int(OVERLOAD), int(END) - 2) if self.useful(second, second + 1) < 0.99]
        return bad[-1] + 1 - OVERLOAD if bad else 0.0


@pytest.mark.parametrize("seed", range(3))
async def test_newest_first_recovers_and_the_order_of_arrival_does_not(seed: int) -> None:
    newest, oldest = Scene(Codel(0.1, 0.5), seed), Scene(Codel(), seed)
    newest.run()
    oldest.run()
    assert newest.recovered() <= 1.0
    assert oldest.recovered() > 25.0
    assert oldest.useful(OVERLOAD, OVERLOAD + 5.0) < 0.01
    # In the overload itself all that the upstream can do, a quarter, is done for callers who are there.
    assert newest.useful(2.0, OVERLOAD - 1.0) > 0.22
    assert oldest.useful(4.0, OVERLOAD - 1.0) < 0.01
    assert not newest.limiter.line.newest_first
    assert (newest.limiter.waiting, newest.limiter.extra_releases) == (len(newest.waiting), 0)
