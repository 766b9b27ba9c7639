"""Four times what a back end bears, then less than that: how much is served in time, and when all is well again.

The back end slows down above its capacity, and goes on with work whose caller has left. So what is admitted beyond its
capacity stays inside and slows down what follows, also when the demand is low again: a metastable failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from experiments.backend import Backend, Behaviour
from experiments.callers import Answer, Arrivals
from experiments.trial import percentile
from failures.proxies import GATEWAY, chosen, started, together

CAPACITY, WORK = 8, 0.2
BEARS = CAPACITY / WORK
"""Requests a second."""
LOW, HIGH = 0.8, 4.0
"""The demand, in what it bears."""
BEFORE, DURING, AFTER = 4.0, 10.0, 10.0
PATIENCE = 2.0
QUEUE = "40"
"""Requests that wait: as many as half of the callers' patience allows."""
WELL = 0.9
"""Share of the demand that is served in each second when all is well again."""
SETTLED = 3.0
"""Seconds of the overload that are not counted: what a limit needs to adapt, and a queue to fill."""

FIXED = f"max_concurrent: {CAPACITY}"
ADAPTIVE = "limiter: {adaptive: {initial: 10, min: 1, max: 100}}"
VARIANTS = {
    "gateway, fixed": (GATEWAY, {"LIMIT": FIXED, "QUEUE": QUEUE}),
    "gateway, adaptive": (GATEWAY, {"LIMIT": ADAPTIVE, "QUEUE": QUEUE}),
    "haproxy": ("haproxy", {"CAPACITY": str(CAPACITY), "QUEUE": QUEUE}),
    "envoy, fixed": ("envoy", {"ADAPTIVE": "false", "CONNECTIONS": str(CAPACITY), "QUEUE": QUEUE}),
    "envoy, adaptive": ("envoy", {"ADAPTIVE": "true", "CONNECTIONS": "4096", "QUEUE": "1024"}),
    "none": ("", {}),
}
"""By what stands in the report: the proxy, and what is chosen in its template."""


def times(scale: float) -> list[float]:
    """When callers come."""
    found, at = [], 0.0
    for load, seconds in ((LOW, BEFORE), (HIGH, DURING), (LOW, AFTER)):
        rate = load * BEARS
        found += [at + number / rate for number in range(int(rate * seconds * scale))]
        at += seconds * scale
    return found


def goodput(answers: Sequence[Answer], last: float) -> list[tuple[float, float]]:
    """Answers a second that were served within the callers' patience, by when they came."""
    good = [answer.at for answer in answers if answer.status == 200 and answer.seconds <= PATIENCE]
    return [(float(second), float(sum(second <= at < second + 1 for at in good))) for second in range(int(last))]


def well_again(answers: Sequence[Answer], ends: float, last: float) -> float | None:
    """Seconds from the end of the overload to that from which each has `WELL` of its demand served; None: never."""
    found = None
    for number in reversed(range(int(last - ends))):
        of_it = [answer for answer in answers if ends + number <= answer.at < ends + number + 1]
        good = sum(answer.status == 200 and answer.seconds <= PATIENCE for answer in of_it)
        if not of_it or good < WELL * len(of_it):
            break
        found = float(number)
    return found


def figures(answers: Sequence[Answer], most: int, scale: float) -> dict[str, float | None]:
    begins, ends = BEFORE * scale, (BEFORE + DURING) * scale
    during = [answer for answer in answers if begins + SETTLED * scale <= answer.at < ends]
    good = [answer for answer in during if answer.status == 200 and answer.seconds <= PATIENCE]
    rejected = sum(answer.status >= 400 for answer in during)
    per_second = len(good) / ((DURING - SETTLED) * scale)
    return {
        "good a second": per_second,
        "% of capacity": 100 * per_second / BEARS,
        "rejected %": 100 * rejected / max(1, len(during)),
        "too late or gone %": 100 * (len(during) - len(good) - rejected) / max(1, len(during)),
        "p99 ms": percentile([answer.seconds for answer in good], 0.99) * 1e3 if good else None,
        "most inside": float(most),
        "well again s": well_again(answers, ends, (BEFORE + DURING + AFTER) * scale),
    }


async def trial(name: str, scale: float, ready: asyncio.Barrier) -> dict[str, Any]:
    proxy, choices = VARIANTS[name]
    async with AsyncExitStack() as stack:
        behaviour = Behaviour(work=WORK, capacity=CAPACITY, stubborn=True)
        backend = await stack.enter_async_context(Backend(behaviour))
        port = backend.port
        if proxy:
            port = (await stack.enter_async_context(started(proxy, "overload", ORIGIN=str(port), **choices))).port
        await ready.wait()
        backend.most = 0
        arrivals = Arrivals(port, PATIENCE)
        await arrivals.come(times(scale), wait=PATIENCE)
        last = (BEFORE + DURING + AFTER) * scale
        points = goodput(arrivals.answers, last)
        return {"figures": figures(arrivals.answers, backend.most, scale), "goodput": points}


async def measured(names: Sequence[str], scale: float) -> dict[str, dict[str, Any]]:
    """By variant; all of them at the same time, each with a back end of its own."""
    variants = chosen(VARIANTS, (*names, ""))
    print("overload: " + ", ".join(variants), flush=True)
    ready = asyncio.Barrier(len(variants))
    return await together({variant: trial(variant, scale, ready) for variant in variants})
