"""A limit that adapts to its upstream, by the rules of `gateway.policy.lessons`: the part of it that a process has.

It follows the requests that this process has at the upstream. A few times a second, while there are any, `look` gathers
what they say, adds it to what all processes have learnt, and brings the limiter to the limit that comes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from gateway.core.clock import Clock, monotonic
from gateway.policy.learned import Change, Decision, Learned, LearnedStore, Load, MemoryLearnedStore
from gateway.policy.lessons import Bounds, Evidence, Sample, bound_of, confine, learn
from gateway.policy.limiter import Limiter

LOOK_SECONDS: Final = 0.25
"""Between two looks."""
VERY_LATE: Final = 3
"""Times the bound: a response that is as late as that counts twice, because it is no chance."""

_AWAITED, _LATE, _VERY_LATE, _TOLD, _STALLED = range(5)
"""What was said of a work so far; the last two: of one that has begun."""


class Work(Protocol):
    """A request, from before it is sent to the end of its response. Times are readings of the monotonic clock, 0.0 =
    not yet."""

    @property
    def sent_at(self) -> float:
        """The whole request was sent."""
        ...

    @property
    def begun_at(self) -> float:
        """The response began."""
        ...

    @property
    def served(self) -> bool:
        """The response is none that an upstream gives without work, such as an error."""
        ...

    def stalls(self, now: float) -> bool:
        """It has begun, and waits again inside the upstream."""
        ...

    @property
    def permits(self) -> int:
        """In use when it got its own, which counts."""
        ...


class Adaptive:
    """Adapts ``limiter``, which it resizes in place. ``store``: what was learnt; several of them may share one."""

    __slots__ = (
        "_bounds",
        "_clock",
        "_dropped",
        "_load",
        "_looks",
        "_retired",
        "_samples",
        "_works",
        "limiter",
        "on_decision",
        "store",
    )

    def __init__(
        self, limiter: Limiter, bounds: Bounds, store: LearnedStore | None = None, clock: Clock = monotonic
    ) -> None:
        self.limiter = limiter
        self.store: LearnedStore = MemoryLearnedStore() if store is None else store
        self.on_decision: Callable[[Decision], object] = lambda _: None
        """Called for each decision that this process makes."""
        self._clock = clock
        self._bounds = bounds
        self._works: dict[Work, int] = {}
        self._samples: list[Sample] = []
        self._dropped = 0
        self._load = Load()
        self._looks = False
        self._retired = False

    def configure(self, bounds: Bounds) -> None:
        """Apply ``bounds`` in place: what was learnt stays, and the limit moves no further than it has to."""
        self._bounds = bounds

        def change(learned: Learned, load: Load) -> float:
            del load
            confine(learned, bounds, self._clock())
            return bound_of(learned)

        self._update(change)

    def begin(self, work: Work) -> bool:
        """``work`` goes to the upstream. True: no one looks; call `look` in `LOOK_SECONDS`, as long as it says so."""
        self._works[work] = _AWAITED
        if self._looks:
            return False
        self._looks = True
        return True

    def end(self, work: Work, *, dropped: bool = False, ignored: bool = False) -> None:
        """``work`` is over. ``dropped``: the upstream refused it for its load, or did not respond in time.
        ``ignored``: its end is not the upstream's doing, and says nothing.
        """
        told = self._works.pop(work)
        if dropped:
            self._dropped += 1
        elif not ignored and work.served and told < _TOLD:
            self._take(work, told)

    def look(self) -> bool:
        """Learn from what happened. True: look again in `LOOK_SECONDS`."""
        if self._retired:
            return False
        now = self._clock()
        self._load, late = self._gather(now)
        evidence = Evidence(self._samples, late, self._dropped)
        self._samples, self._dropped = [], 0
        in_flight = self.limiter.in_flight

        def change(learned: Learned, all_load: Load) -> float:
            confine(learned, self._bounds, now)
            learn(learned, self._bounds, now, evidence, all_load, in_flight)
            return bound_of(learned)

        self._update(change)
        self._looks = bool(self._works)
        return self._looks

    def retire(self) -> None:
        """Change the limiter no more: it has another limit now, or is gone, and requests of before may still run."""
        self._retired = True

    def move(self, store: LearnedStore) -> None:
        """Go on with ``store``."""
        if store is not self.store:
            store.write(self.store.read(), self.store.bound)
            self.store = store

    def _gather(self, now: float) -> tuple[Load, int]:
        """What this process has at the upstream, and how many responses have become late."""
        bound = self.store.bound
        sent = begun = overdue = late = 0
        for work, told in self._works.items():
            sent_at = work.sent_at
            if not sent_at:
                continue
            sent += 1
            if work.begun_at:
                stalls = work.stalls(now)
                begun += not stalls
                overdue += stalls
                late += stalls and told != _STALLED
                self._works[work] = self._begun(work, told, stalls=stalls)
            elif now - sent_at > bound:
                overdue += 1
                said = _VERY_LATE if now - sent_at > VERY_LATE * bound else _LATE
                late += said - told
                self._works[work] = said
        return Load(sent, begun, overdue), late

    def _begun(self, work: Work, told: int, *, stalls: bool) -> int:
        """What is said of a work that has begun."""
        if not work.served:
            return told
        if told < _TOLD:
            self._take(work, told)
        return _STALLED if stalls else _TOLD

    def _take(self, work: Work, told: int) -> None:
        sent_at, begun_at = work.sent_at, work.begun_at
        if sent_at and begun_at:
            self._samples.append(Sample(sent_at, max(0.0, begun_at - sent_at), work.permits, told != _AWAITED))

    def _update(self, change: Change) -> None:
        """``change`` what all have learnt, and bring the limiter to the limit that holds now, also where another
        process has decided it."""
        limit = self.limiter.wanted
        decided: list[Decision] = []

        def noting(learned: Learned, all_load: Load) -> float:
            nonlocal limit
            before = learned.decisions[-1:]
            bound = change(learned, all_load)
            limit = learned.limit
            if learned.decisions[-1:] != before:
                decided.append(learned.decisions[-1])
            return bound

        self.store.update(self._load, noting)
        if limit != self.limiter.wanted:
            self.limiter.resize(limit)
        for decision in decided:
            self.on_decision(decision)
