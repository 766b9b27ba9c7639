"""One of four endpoints fails for some seconds, under requests that come at their times, whatever happens to others.

All proxies run at the same time, each with four endpoints and callers of its own, so that what the machine does besides
falls on all alike.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from experiments.callers import Answer, Arrivals
from experiments.overload import evenly
from experiments.trial import percentile
from failures.endpoint import FAULTS, Endpoint, Fault
from failures.proxies import chosen, each_kind, started

from loadtest.peers.server import Server

VARIANTS = {
    "gateway": ("gateway", {"WORKERS": "1"}),
    "gateway, 2 workers": ("gateway", {"WORKERS": "2"}),
    "haproxy": ("haproxy", {"STATUSES": "503"}),
    "haproxy, no 503 retry": ("haproxy", {"STATUSES": ""}),
    "nginx": ("nginx", {}),
    "envoy": ("envoy", {}),
}
"""By what stands in the report: the proxy, and what is chosen in its template."""
PORTS = ("FIRST", "SECOND", "THIRD", "FOURTH")
BAD = 0
"""The number of the endpoint that fails."""
RATE = 160.0
"""Requests a second to each proxy."""
BEFORE, DURING, AFTER = 2.0, 8.0, 5.0
PATIENCE = 5.0
"""Seconds after which a caller hangs up."""
KNOWN = 4.0
"""Seconds after which each proxy must know: three checks of half a second that each take as long, and one more."""
BIN = 0.25
"""Seconds of one point in a picture."""
BACK = 0.5
"""Share of its part, at which an endpoint counts as back in use."""
LEFT_ALONE = 1.0
"""Seconds without a request after which an endpoint counts as left alone."""

Figures = dict[str, Any]
"""Numbers; None: there is no such figure, as for what has not happened."""


@dataclass(slots=True)
class Seen:
    """What callers and endpoints saw of one fault; times in seconds since the first request."""

    answers: list[Answer]
    came: list[list[float]]
    """Of each endpoint the moments of its requests."""
    begins: float
    ends: float
    last: float
    rate: float = RATE
    known: float = KNOWN
    seen: bool = True
    """Whether endpoints see requests that fail."""

    def figures(self) -> Figures:
        during = [answer for answer in self.answers if self.begins <= answer.at < self.ends]
        times = [answer.seconds for answer in during]
        failed = [answer for answer in self.answers if answer.status != 200]
        bad = [at for at in self.came[BAD] if self.begins <= at < self.ends]
        all_of_them = sum(self.begins <= at < self.ends for each in self.came for at in each)
        known = sum(at >= self.begins + self.known for at in bad)
        return {
            "requests": float(len(self.answers)),
            "failed": float(len(failed)),
            "failed %": 100 * len(failed) / max(1, len(self.answers)),
            "share %": 100 * len(bad) / max(1, all_of_them) if self.seen else None,
            "at the bad one": float(len(bad)) if self.seen else None,
            "after it is known": float(known) if self.seen else None,
            "left alone s": self.left_alone() if self.seen else None,
            "p50 ms": percentile(times, 0.5) * 1e3,
            "p99 ms": percentile(times, 0.99) * 1e3,
            "back s": self.back(),
            "requests sent for one": all_of_them / max(1, len(during)) if self.seen else None,
        }

    def left_alone(self) -> float | None:
        """Seconds from the fault to the last request before the first pause of `LEFT_ALONE`; None without one."""
        bad = [self.begins, *(at for at in self.came[BAD] if self.begins <= at < self.ends), self.ends]
        for at, following in pairwise(bad):
            if following - at >= LEFT_ALONE:
                return at - self.begins
        return None

    def back(self) -> float | None:
        """Seconds from the end of the fault until the endpoint has at least `BACK` of its part; None: not in time."""
        enough = self.rate / len(self.came) * LEFT_ALONE / 2 * BACK
        after = [at for at in self.came[BAD] if at >= self.ends]
        for number, at in enumerate(after):
            if sum(at <= other < at + LEFT_ALONE / 2 for other in after[number:]) >= enough:
                return at - self.ends
        return None

    def share(self) -> list[tuple[float, float]]:
        """Per cent of the requests that came to the bad endpoint, for a picture."""
        points = []
        for number in range(int(self.last / BIN)):
            begin = number * BIN
            counts = [sum(begin <= at < begin + BIN for at in each) for each in self.came]
            points.append((begin, 100 * counts[BAD] / max(1, sum(counts))))
        return points


@asynccontextmanager
async def over_four(
    target: str, case: str, ready: asyncio.Barrier, **choices: str
) -> AsyncIterator[tuple[Server, list[Endpoint]]]:
    """A fresh proxy, and the four endpoints behind it, when all proxies are ready. `NotInstalledError`, `PeerError`."""
    async with AsyncExitStack() as stack:
        endpoints = [await stack.enter_async_context(Endpoint()) for _ in PORTS]
        ports = {key: str(endpoint.port) for key, endpoint in zip(PORTS, endpoints, strict=True)}
        proxy = await stack.enter_async_context(started(target, case, **choices, **ports))
        await ready.wait()
        yield proxy, endpoints


async def trial(name: str, fault: Fault, scale: float, ready: asyncio.Barrier) -> Seen:
    """One variant, one fault; it begins when all proxies are ready. `PeerError`."""
    target, choices = VARIANTS[name]
    async with over_four(target, "endpoints", ready, **choices) as (proxy, endpoints):
        begins, ends, last = BEFORE * scale, (BEFORE + DURING) * scale, (BEFORE + DURING + AFTER) * scale
        arrivals, start = Arrivals(proxy.port, PATIENCE), time.monotonic()

        async def fail() -> None:
            await asyncio.sleep(begins)
            await fault.run(endpoints[BAD], DURING * scale)

        failing = asyncio.create_task(fail())
        await arrivals.come(evenly(RATE, last), wait=PATIENCE)
        await failing
        came = [[at - start for at in endpoint.came if at >= start] for endpoint in endpoints]
        return Seen(arrivals.answers, came, begins, ends, last, known=KNOWN * scale, seen=fault.seen)


async def measured(names: Sequence[str], scale: float) -> dict[str, dict[str, dict[str, Any]]]:
    """By fault and variant: its figures, and the points of its pictures."""
    titles = {key: f"endpoints: one {fault.title}" for key, fault in FAULTS.items()}
    variants = chosen(VARIANTS, names)
    found = await each_kind(titles, variants, lambda key, name, ready: trial(name, FAULTS[key], scale, ready))
    return {
        key: {
            name: {"figures": one.figures(), "share": one.share(), "failures": failures(one)}
            for name, one in seen.items()
        }
        for key, seen in found.items()
    }


def failures(seen: Seen) -> list[tuple[float, float]]:
    """Requests a second that failed, by when they were meant."""
    return [
        (n * BIN, sum(n * BIN <= a.at < (n + 1) * BIN and a.status != 200 for a in seen.answers) / BIN)
        for n in range(int(seen.last / BIN))
    ]
