"""An upstream with a few workers and a queue of its own behind a limit that adapts, on a clock of its own: minutes take
milliseconds, and a seed gives the same trace each time.

A worker takes a request, gives the first byte after a moment, and is busy until the response ends. So the time to the
first byte holds the wait for a worker, as it does with a sidecar that has a pool of threads or a batch of fixed size.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Protocol

from gateway.policy.adaptive import LOOK_SECONDS, Adaptive
from gateway.policy.lessons import Bounds
from gateway.policy.limiter import Limiter


@dataclass(frozen=True, slots=True)
class Lengths:
    """Seconds: log-normal, between two bounds. ``spread``: sigma of the logarithm."""

    median: float
    spread: float
    least: float = 0.0
    most: float = math.inf

    def draw(self, random: Random) -> float:
        return max(self.least, min(self.most, random.lognormvariate(math.log(self.median), self.spread)))


@dataclass(slots=True, eq=False)
class Request:
    """A `gateway.policy.adaptive.Work`."""

    sent_at: float
    permits: int
    begun_at: float = 0.0
    ended_at: float = 0.0
    served: bool = True

    def stalls(self, now: float) -> bool:
        del now
        return False


class Rule(Protocol):
    """Decides how many requests the upstream gets at once."""

    @property
    def limit(self) -> int: ...

    def sent(self, request: Request) -> None: ...

    def ended(self, request: Request) -> None: ...

    def look(self, in_flight: int) -> None:
        """Called every `LOOK_SECONDS`."""
        ...


@dataclass(slots=True)
class Point:
    """What was so at a moment. ``queued``: requests that waited inside the upstream."""

    at: float
    limit: int
    workers: int
    queued: int


@dataclass(slots=True)
class Pool:
    """The upstream and its callers. ``arrivals`` a second; 0.0: there is always one more caller who waits."""

    workers: int
    seed: int = 0
    to_first_byte: Lengths = Lengths(0.3, 0.2)
    length: Lengths = Lengths(11.0, 1.0, 1.0, 120.0)
    arrivals: float = 0.0
    streams: bool = True
    """False: the first byte comes with the last one."""
    now: float = 0.0
    points: list[Point] = field(default_factory=list)
    _callers: float = 0.0
    _busy: int = 0
    _in_flight: int = 0
    _waiting: deque[Request] = field(default_factory=deque)
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: count[int] = field(default_factory=count)
    _random: Random = field(default_factory=Random)

    def run(self, rule: Rule, seconds: float, changes: dict[float, int] | None = None) -> list[Point]:
        """``changes``: the number of workers from a moment on; those that are busy end what they do."""
        self._random.seed(self.seed)
        for at, workers in (changes or {}).items():
            self._at(at, lambda workers=workers: self._resize(workers))
        self._callers = 0.0 if self.arrivals else math.inf
        if self.arrivals:
            self._at(self._random.expovariate(self.arrivals), self._arrive)
        self._at(LOOK_SECONDS, lambda: self._look(rule))
        self._admit(rule)
        while self._events and self._events[0][0] <= seconds:
            self.now, _, action = heapq.heappop(self._events)
            action()
            self._admit(rule)
        return self.points

    def _at(self, at: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (at, next(self._order), action))

    def _arrive(self) -> None:
        self._callers += 1
        self._at(self.now + self._random.expovariate(self.arrivals), self._arrive)

    def _look(self, rule: Rule) -> None:
        rule.look(self._in_flight)
        self.points.append(Point(self.now, rule.limit, self.workers, len(self._waiting)))
        self._at(self.now + LOOK_SECONDS, lambda: self._look(rule))

    def _admit(self, rule: Rule) -> None:
        while self._callers >= 1 and self._in_flight < rule.limit:
            self._callers -= 1
            self._in_flight += 1
            request = Request(self.now or 1e-9, self._in_flight)
            rule.sent(request)
            self._waiting.append(request)
            self._work(rule)

    def _work(self, rule: Rule) -> None:
        while self._waiting and self._busy < self.workers:
            request = self._waiting.popleft()
            self._busy += 1
            first, whole = self.to_first_byte.draw(self._random), self.length.draw(self._random)
            whole = max(first, whole)
            self._at(self.now + (first if self.streams else whole), lambda request=request: self._begin(request))
            self._at(self.now + whole, lambda request=request: self._end(rule, request))

    def _begin(self, request: Request) -> None:
        request.begun_at = self.now

    def _end(self, rule: Rule, request: Request) -> None:
        self._busy -= 1
        self._in_flight -= 1
        request.ended_at = self.now
        rule.ended(request)
        self._work(rule)

    def _resize(self, workers: int) -> None:
        self.workers = workers


class Adapting:
    """The rule of the gateway."""

    def __init__(self, pool: Pool, initial: int, most: int = 100) -> None:
        self.limiter = Limiter(initial, clock=lambda: pool.now)
        bounds = Bounds(initial, 1, most)
        self.adaptive = Adaptive(self.limiter, bounds, clock=lambda: pool.now)
        self.adaptive.configure(bounds)
        self._permits: dict[Request, int] = {}

    @property
    def limit(self) -> int:
        return self.limiter.max

    def sent(self, request: Request) -> None:
        self._permits[request] = self.limiter.try_acquire()
        self.adaptive.begin(request)

    def ended(self, request: Request) -> None:
        self.adaptive.end(request)
        self.limiter.release(self._permits.pop(request))

    def look(self, in_flight: int) -> None:
        del in_flight
        self.adaptive.look()


class Gradient:
    """Gradient2 of Netflix concurrency-limits, with its defaults, on the time of whole responses.

    After its source: the long time is an average over 600 responses, begun by the mean of 10; windows of a second with
    10 responses at least; tolerance 1.5; smoothing 0.2; 4 requests more in each window.
    """

    def __init__(self, initial: int, least: int = 1, most: int = 100) -> None:
        self._limit, self._least, self._most = float(initial), least, most
        self._long = 0.0
        self._count = 0
        self._window: list[float] = []
        self._window_until = 0.0
        self._most_in_flight = 0

    @property
    def limit(self) -> int:
        return int(self._limit)

    def sent(self, request: Request) -> None:
        self._most_in_flight = max(self._most_in_flight, request.permits)

    def ended(self, request: Request) -> None:
        self._window.append(request.ended_at - request.sent_at)
        if len(self._window) >= 10 and request.ended_at >= self._window_until:
            self._close(sum(self._window) / len(self._window))
            self._window_until = request.ended_at + 1.0
            self._window.clear()
            self._most_in_flight = 0

    def look(self, in_flight: int) -> None:
        del in_flight

    def _close(self, short: float) -> None:
        self._count += 1
        warming = self._count <= 10
        self._long = (
            (self._long * (self._count - 1) + short) / self._count
            if warming
            else self._long + (short - self._long) * 2 / 601
        )
        if self._long / short > 2:
            self._long *= 0.95
        if self._most_in_flight < self._limit / 2:
            return
        gradient = max(0.5, min(1.0, 1.5 * self._long / short))
        smoothed = self._limit * 0.8 + (self._limit * gradient + 4) * 0.2
        self._limit = max(self._least, min(self._most, smoothed))
