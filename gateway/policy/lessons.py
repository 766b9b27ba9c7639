"""How an adaptive limit learns: rules over what is known (`gateway.policy.learned`), without a clock of their own.

The signal is the time from a request to the first byte of its response. How long the response then takes says nothing:
a stream of two minutes and one of two seconds teach the same. A response is *late* when its first byte takes longer
than a slow one usually does, and that is known while it is still awaited. Where responses are late, requests wait in
the upstream, and how many it works on is measured: those whose response has begun, and by Little's law those that are
between their start and their first byte. So the limit falls to what the upstream can do, and not below it.

Related: Netflix concurrency-limits (no change while less than half is used; outcomes that teach nothing), TCP Vegas (a
limit from a time without load), Envoy's adaptive concurrency filter. Those take the time of whole responses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from gateway.policy.learned import KEPT_DECISIONS, KEPT_SAMPLES, Decision, Learned, Load

SLOW_SHARE: Final = 0.9
"""Of responses in time, so many begin sooner than the one that counts as slow: a mixture of short and long work has
slow ones without any load."""
TOLERANCE: Final = 1.3
"""Times a slow one, from which on a response is late."""
DOUBT: Final = 2
"""The tolerance is (1 + so many / samples) times as large: the first responses of a crowd are the quickest of it."""
SETTLED: Final = 24
"""Samples from which on what is slow rises slowly, or else each response that waits a little would excuse the next."""
RISE_SECONDS: Final = 600.0
"""What is slow may grow by the factor e in this time."""
SAMPLE_SECONDS: Final = 1.0
"""Between two samples, when there are enough: so they cover a minute, however many requests come."""
MEMORY_SECONDS: Final = 5.0
"""An outcome has lost two thirds of its weight after so many seconds."""
LATE_SHARE: Final = 0.25
LEAST_LATE: Final = 1.5
"""Weight: one late response alone may be chance."""
DROPPED_SHARE: Final = 0.1
LEAST_DROPPED: Final = 0.5
FEW_SHARE: Final = 1 / 16
NO_LATE: Final = 0.5
"""There is no probe while more responses than this share are late or overdue, nor after a late one of this weight: of
very many some are late by chance."""
PERIOD_SECONDS: Final = 1.0
"""Between two changes at least; or the usual time to the first byte, when that is longer."""
LOWERED: Final = 0.7
"""A change for late responses leaves so much of the limit at least."""
BAND: Final = 0.75
"""What the upstream works on has to differ from the limit by more than this, because it is a measurement."""
BUSY_SECONDS: Final = 4.0
"""How far back the measurement looks; or `BUSY_TIMES` the usual time to the first byte."""
BUSY_TIMES: Final = 8
LEAST_BUSY_SECONDS: Final = 0.5
MOST_BUSY_SECONDS: Final = 5.0
"""It has to last for the usual time to the first byte before it counts; these are the bounds of that time."""
REST_SECONDS: Final = 10.0
"""From a fall to the next probe; doubled when the fall came soon after a probe."""
LONGEST_REST_SECONDS: Final = 60.0
STEP: Final = 16
"""A probe adds this part of the limit, 1 at least."""
MISJUDGED: Final = 10
MISJUDGED_SECONDS: Final = 30.0
"""So many late responses, for so long, while the upstream works on all that it has: they are not late, it has become
slower, or its requests larger."""


class Bounds(NamedTuple):
    """The limit to begin with, and the smallest and the largest."""

    initial: int
    min: int
    max: int

    def confined(self, limit: int) -> int:
        return max(self.min, min(self.max, limit))


class Sample(NamedTuple):
    """The first byte of a response came ``seconds`` after its request was sent. ``permits``: in use when it got its
    own, which counts. ``judged``: it was counted as late before.
    """

    sent_at: float
    seconds: float
    permits: int
    judged: bool = False


class Evidence(NamedTuple):
    """What came since the last look: first bytes, responses that have become late, and drops."""

    samples: Sequence[Sample] = ()
    late: int = 0
    dropped: int = 0


def bound_of(learned: Learned) -> float:
    """Seconds after which a response is late; inf: nothing is known yet."""
    count = len(learned.samples)
    return min(learned.slow, _slow(learned.samples)) * TOLERANCE * (1 + DOUBT / count) if count else math.inf


def usual_of(learned: Learned) -> float:
    """Seconds to the first byte, on average, of responses in time; 0.0: not known."""
    return sum(learned.samples) / len(learned.samples) if learned.samples else 0.0


def confine(learned: Learned, bounds: Bounds, now: float) -> None:
    """Bring the limit into ``bounds``, which may be new ones; begin with the initial one."""
    limit = bounds.confined(learned.limit or bounds.initial)
    if learned.limit and limit != learned.limit:
        _note(learned, now, limit, "bounds", Load())
    if limit != learned.limit:
        _set(learned, now, limit)
        learned.looked_at = now


def learn(learned: Learned, bounds: Bounds, now: float, evidence: Evidence, load: Load, in_flight: int) -> None:
    """Take ``evidence`` in, and change the limit where it says so.

    ``load``: what is at the upstream; ``in_flight``: permits in use. With fewer of them than half of the limit nothing
    changes, because then it is not the limit that decides how the upstream does.
    """
    past = max(0.0, min(PERIOD_SECONDS, now - learned.looked_at))
    learned.looked_at = now
    begins = _take_in(learned, now, past, evidence)
    _measure(learned, past, load, begins, evidence.late)
    if now - learned.changed_at < max(PERIOD_SECONDS, usual_of(learned)) or in_flight * 2 < learned.limit:
        return
    late, by_drops = _is_late(learned, load), _for_drops(learned)
    by_lateness = _for_lateness(learned, load) if late else learned.limit
    drops = by_drops < min(by_lateness, learned.limit)
    wanted = bounds.confined(by_drops if drops else by_lateness)
    if wanted != learned.limit:
        _change(learned, now, wanted, "dropped" if drops else "late", load)
    elif late:
        _doubt(learned, now, evidence.late, load)
    elif learned.proved and now >= learned.rest_until and _is_calm(learned, load):
        raised = bounds.confined(learned.limit + max(1, learned.limit // STEP))
        if raised != learned.limit:
            _change(learned, now, raised, "probe", load)


def _slow(samples: Sequence[float]) -> float:
    return sorted(samples)[min(len(samples) - 1, int(len(samples) * SLOW_SHARE))]


def _take_in(learned: Learned, now: float, past: float, evidence: Evidence) -> int:
    """How many responses began."""
    fade = math.exp(-past / MEMORY_SECONDS)
    learned.timely *= fade
    learned.late = learned.late * fade + evidence.late
    learned.dropped = learned.dropped * fade + evidence.dropped
    bound, samples = bound_of(learned), learned.samples
    for sample in evidence.samples:
        if sample.judged:
            continue
        if sample.seconds > bound:
            learned.late += 1.0
            continue
        learned.timely += 1.0
        if sample.sent_at >= learned.changed_at and sample.permits * 10 >= learned.limit * 9:
            learned.proved = True
        if len(samples) < KEPT_SAMPLES or now - learned.sampled_at >= SAMPLE_SECONDS:
            learned.sampled_at = now
            samples.append(sample.seconds)
            del samples[:-KEPT_SAMPLES]
            bound = bound_of(learned)
    if len(samples) >= SETTLED:
        learned.slow = min(_slow(samples), learned.slow * math.exp(past / RISE_SECONDS))
    return len(evidence.samples)


def _measure(learned: Learned, past: float, load: Load, begins: int, late: int) -> None:
    """What the upstream works on, while it has more than it works on; in other times it says nothing."""
    if not load.overdue and not late:
        learned.span = learned.area = learned.begins = 0.0
        return
    fade = math.exp(-past / max(BUSY_SECONDS, BUSY_TIMES * usual_of(learned)))
    learned.span = learned.span * fade + past
    learned.area = learned.area * fade + load.begun * past
    learned.begins = learned.begins * fade + begins


def busy_of(learned: Learned) -> float | None:
    """Requests that the upstream works on at a time; None: not known."""
    usual = usual_of(learned)
    if learned.span < max(LEAST_BUSY_SECONDS, min(MOST_BUSY_SECONDS, usual)):
        return None
    return (learned.area + learned.begins * usual) / learned.span


def _is_late(learned: Learned, load: Load) -> bool:
    if load.overdue and load.overdue >= LATE_SHARE * load.sent:
        return True
    return learned.late >= LEAST_LATE and learned.late >= LATE_SHARE * (learned.timely + learned.late)


def _is_calm(learned: Learned, load: Load) -> bool:
    few = max(NO_LATE, FEW_SHARE * (learned.timely + learned.late))
    return learned.late < few and load.overdue <= FEW_SHARE * load.sent


def _for_lateness(learned: Learned, load: Load) -> int:
    """The limit by what the upstream works on. In a limit that falls, more may be there than it admits."""
    measured = busy_of(learned)
    busy = learned.limit if measured is None else min(measured, load.sent)
    if abs(busy - learned.limit) <= BAND:
        return learned.limit
    return max(int(learned.limit * LOWERED), round(busy))


def _for_drops(learned: Learned) -> int:
    """The limit by the share of drops: half of it when all were dropped."""
    share = learned.dropped / max(1.0, learned.timely + learned.dropped)
    if learned.dropped < LEAST_DROPPED or share < DROPPED_SHARE:
        return learned.limit
    return math.ceil(learned.limit * (1 - share / 2)) - 1


def _doubt(learned: Learned, now: float, late: int, load: Load) -> None:
    """Responses are late, and there is nothing to take from the limit."""
    learned.misjudged += late
    if learned.misjudged < MISJUDGED or now - learned.changed_at < MISJUDGED_SECONDS:
        return
    _note(learned, now, learned.limit, "relearn", load)
    learned.samples.clear()
    learned.slow = math.inf
    _set(learned, now, learned.limit)


def _change(learned: Learned, now: float, limit: int, cause: str, load: Load) -> None:
    _note(learned, now, limit, cause, load)
    if limit < learned.limit:
        soon = learned.rest > 0.0 and now - learned.raised_at < REST_SECONDS
        learned.rest = min(LONGEST_REST_SECONDS, learned.rest * 2) if soon else REST_SECONDS
        learned.rest_until = now + learned.rest
    elif cause == "probe":
        learned.raised_at = now
    _set(learned, now, limit)


def _note(learned: Learned, now: float, limit: int, cause: str, load: Load) -> None:
    bound = bound_of(learned)
    figures = learned.timely, learned.late, learned.dropped, usual_of(learned), bound if bound < math.inf else 0.0
    learned.decisions.append(Decision(now, learned.limit, limit, cause, *load, *figures, busy_of(learned) or 0.0))
    del learned.decisions[:-KEPT_DECISIONS]


def _set(learned: Learned, now: float, limit: int) -> None:
    """All outcomes count from here on."""
    learned.limit = limit
    learned.changed_at = now
    learned.timely = learned.late = learned.dropped = 0.0
    learned.proved = False
    learned.misjudged = 0
