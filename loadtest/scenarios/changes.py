"""The configuration changes all the time, that of the proxy with the traffic too."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from load import pictures, promises
from load.findings import Findings
from load.histogram import Histogram
from load.scenario import Criterion, Scenario, Size
from load.users import Arrivals
from load.variant import Disturbed, Variant
from work import Behaviour

__all__ = ["Arrivals"]

EVERY = 0.25
"""Seconds between two changes."""
CHANGE = "change"


async def change(stand: Disturbed) -> None:
    """In turns: another limit for the proxy with the traffic, a new proxy, and its end."""
    number = 0
    while True:
        number += 1
        await timed(stand, "PATCH", "/proxies/p", {"max_concurrent": 200 + number % 100})
        await timed(stand, "POST", "/proxies", stand.gateway.proxy | {"name": "other", "path": f"/other/{number}"})
        await timed(stand, "DELETE", "/proxies/other", None)


async def timed(stand: Disturbed, method: str, path: str, body: dict[str, Any] | None) -> None:
    began = time.monotonic()
    headers = {} if method == "POST" else {"If-Match": f'"{(await stand.api("GET", path))["version"]}"'}
    asked = time.monotonic()
    await stand.api(method, path, body, **headers)
    stand.note(CHANGE, time.monotonic() - asked)
    await asyncio.sleep(max(0.0, began + EVERY - time.monotonic()))


def variants(size: Size) -> tuple[Variant, ...]:
    proxy = {"max_concurrent": 200, "circuit_breaker": {"enabled": True}}
    users = max(1, int(size.rate / 10))
    sidecar = Behaviour(capacity=1000, median=0.02)
    return (
        Variant("changes", "Arrivals", users, size.seconds, size.rate, proxy, sidecar, stored=True, disturb=change),
    )


def took(findings: Findings) -> float:
    """Milliseconds, P99."""
    marks = findings["changes"].marked(CHANGE)
    return Histogram.of(mark.took for mark in marks if mark.took is not None).percentile(99) * 1e3


def criteria(size: Size) -> tuple[Criterion, ...]:
    return (
        promises.all_good("changes"),
        promises.p99("changes", 50),
        Criterion(
            "Changes",
            "",
            lambda f: len(f["changes"].marked(CHANGE)),
            "by the admin API: the limit of the busy proxy, a new proxy, its end, and so on",
            at_least=size.seconds,
        ),
        Criterion(
            "P99 of a change, until it is in force",
            "",
            took,
            "the admin API answers when the worker has taken the new configuration",
            "ms",
            at_most=100,
        ),
        promises.memory("changes", 6),
    )


SCENARIO = Scenario(
    name="changes",
    sentence="three or four changes of the configuration a second under 500 requests a second",
    story=(
        "While a constant stream of requests runs through a proxy that is stored in the database, its limit is "
        "changed, and another proxy comes and goes, all the time. No request may notice."
    ),
    seconds=60,
    rate=500,
    variants=variants,
    criteria=criteria,
    charts=(pictures.latency("changes", bound=50), pictures.outcomes("changes", "reset"), pictures.memory("changes")),
)
