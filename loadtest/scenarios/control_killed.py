"""The control process is killed again and again; the traffic must not notice."""

from __future__ import annotations

import asyncio
import os
import signal
import time

from load import pictures, promises
from load.findings import Findings
from load.scenario import Criterion, Scenario, Size
from load.users import Arrivals
from load.variant import Disturbed, Variant
from work import Behaviour

__all__ = ["Arrivals"]

TIMES = 3
KILLED, BACK = "killed", "back"
RESTART = 10.0
"""Seconds for a control process to be ready again."""


async def kill(stand: Disturbed) -> None:
    """`TIMES` times, evenly spread, and not before the one before it is back."""
    start = time.monotonic()
    for number in range(1, TIMES + 1):
        at = start + number * stand.variant.seconds / (TIMES + 1)
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        os.kill(stand.gateway.control, signal.SIGKILL)
        stand.note(KILLED)
        began = time.monotonic()
        await stand.gateway.ready(stand.session)
        stand.note(BACK, time.monotonic() - began)


def variants(size: Size) -> tuple[Variant, ...]:
    proxy = {"max_concurrent": 200, "circuit_breaker": {"enabled": True}}
    users = max(1, int(size.rate / 10))
    sidecar = Behaviour(capacity=1000, median=0.02)
    return (Variant("killed", "Arrivals", users, size.seconds, size.rate, proxy, sidecar, disturb=kill),)


def longest(findings: Findings) -> float:
    return max((mark.took or 0.0 for mark in findings["killed"].marked(BACK)), default=float("nan"))


def criteria(size: Size) -> tuple[Criterion, ...]:
    return (
        promises.all_good("killed"),
        promises.p99("killed", 50),
        Criterion(
            "Times that the control process came back",
            "",
            lambda f: len(f["killed"].marked(BACK)),
            f"after each of {TIMES} times kill -9",
            at_least=TIMES,
            needs=30,
        ),
        Criterion(
            "Longest time without a control process",
            "",
            longest,
            "from the kill to `readyz`",
            "s",
            at_most=RESTART,
        ),
    )


SCENARIO = Scenario(
    name="control-killed",
    sentence="the control process is killed three times under 500 requests a second",
    story=(
        "kill -9 of the control process, with file, database and API, under a constant stream of requests. The "
        "supervisor starts another; gaps in what the gateway tells of itself are the times without one."
    ),
    seconds=60,
    rate=500,
    variants=variants,
    criteria=criteria,
    charts=(
        pictures.latency("killed", bound=50),
        pictures.outcomes("killed", "reset", "503"),
        pictures.figures("killed", "A scrape of the metrics", "ms", scrape="scrape_ms"),
    ),
)
