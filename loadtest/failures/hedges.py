"""Requests that are slow, at one of four endpoints, by chance, or at all of them: what a second attempt beside the
first one is good for, and what load it adds. All proxies run at the same time, each with endpoints and callers of its
own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.callers import Answer, Arrivals
from experiments.overload import evenly
from experiments.trial import percentile
from failures.endpoint import LATE, SLOWER, WORK
from failures.endpoints import RATE, over_four
from failures.proxies import chosen, each_kind

VARIANTS = {
    "gateway, after 0.05": ("gateway", {"AFTER": "0.05"}),
    "gateway, after p95": ("gateway", {"AFTER": "p95"}),
    "gateway, no hedge": ("gateway", {"AFTER": "0"}),
    "envoy, after 0.05": ("envoy", {"HEDGES": "true", "TRY": "0.05s"}),
    "envoy, no hedge": ("envoy", {"HEDGES": "false", "TRY": "3s"}),
    "haproxy": ("haproxy", {}),
}
"""By what stands in the report: the proxy, and what is chosen in its template. HAProxy and nginx have no hedges."""
FIRST = next(iter(VARIANTS))
WARM, MEASURED = 2.0, 6.0
"""Seconds in which nothing is slow, so that what measures knows the usual times, and those that follow."""
PATIENCE = 5.0
ONE_IN = 20


@dataclass(frozen=True, slots=True)
class Slowness:
    title: str
    story: str
    slow: int
    """How many of the endpoints are slow as a whole."""
    late_every: int = 0


KINDS = {
    "one": Slowness(f"One of four endpoints is {SLOWER} times slower", f"{WORK * SLOWER * 1e3:.0f} ms", 1),
    "few": Slowness(f"One request in {ONE_IN} is slow", f"at each endpoint, {LATE * 1e3:.0f} ms", 0, ONE_IN),
    "all": Slowness(
        f"All endpoints are {SLOWER} times slower", f"{WORK * SLOWER * 1e3:.0f} ms: a hedge is only load", 4
    ),
}


def figures(answers: Sequence[Answer], came: Sequence[Sequence[float]], begins: float) -> dict[str, float]:
    """``came``: of each endpoint the moments of its requests; ``begins``: when the slowness does. In seconds."""
    during = [answer for answer in answers if answer.at >= begins]
    times = [answer.seconds for answer in during]
    sent = sum(at >= begins for each in came for at in each)
    return {
        "requests": float(len(during)),
        "failed": float(sum(answer.status != 200 for answer in during)),
        "p50 ms": percentile(times, 0.5) * 1e3,
        "p99 ms": percentile(times, 0.99) * 1e3,
        "requests sent for one": sent / max(1, len(during)),
    }


async def trial(name: str, kind: Slowness, scale: float, ready: asyncio.Barrier) -> dict[str, Any]:
    """One variant; it begins when all proxies are ready. `PeerError`."""
    target, choices = VARIANTS[name]
    async with over_four(target, "hedges", ready, **choices) as (proxy, endpoints):
        begins = WARM * scale
        arrivals, start = Arrivals(proxy.port, PATIENCE), time.monotonic()

        async def slow_down() -> None:
            await asyncio.sleep(begins)
            for number, endpoint in enumerate(endpoints):
                endpoint.late_every = kind.late_every
                if number < kind.slow:
                    endpoint.work = WORK * SLOWER

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(slow_down())
            await arrivals.come(evenly(RATE, begins + MEASURED * scale), wait=PATIENCE)
        came = [[at - start for at in endpoint.came] for endpoint in endpoints]
        return {"figures": figures(arrivals.answers, came, begins)}


async def measured(names: Sequence[str], scale: float) -> dict[str, dict[str, dict[str, Any]]]:
    """By kind of slowness and variant."""
    titles = {key: f"hedges: {kind.title}" for key, kind in KINDS.items()}
    variants = chosen(VARIANTS, names)
    return await each_kind(titles, variants, lambda key, name, ready: trial(name, KINDS[key], scale, ready))
