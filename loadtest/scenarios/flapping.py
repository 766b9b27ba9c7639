"""A sidecar that fails, is well, and fails again: what the breaker makes of it."""

from __future__ import annotations

import asyncio
import math

from load import pictures
from load.findings import Findings, Run
from load.scenario import Criterion, Scenario, Size
from load.users import Arrivals
from load.variant import Disturbed, Variant
from work import Behaviour

__all__ = ["Arrivals"]

ILL = ((0.15, 0.3), (0.55, 0.6))
"""Shares of the time between which every answer of the sidecar is 500."""
RECOVERY = 30.0
"""Seconds: the default of `recovery_timeout`. Shorter runs have a fifth of their time."""
THRESHOLD = 5
FAILING, WELL = "failing: true", "failing: false"


def recovery(size: Size) -> float:
    return min(RECOVERY, size.seconds / 5)


async def flap(stand: Disturbed) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    for ill, well in ILL:
        for share, failing in ((ill, True), (well, False)):
            await asyncio.sleep(max(0.0, began + share * stand.variant.seconds - loop.time()))
            await stand.behave(failing=failing)


def variants(size: Size) -> tuple[Variant, ...]:
    breaker = {"enabled": True, "failure_threshold": THRESHOLD, "recovery_timeout": recovery(size)}
    users = max(1, int(size.rate / 5))
    proxy = {"circuit_breaker": breaker}
    sidecar = Behaviour(capacity=100, median=0.02)
    return (Variant("flapping", "Arrivals", users, size.seconds, size.rate, proxy, sidecar, disturb=flap),)


def until_good(run: Run, what: str) -> float:
    """Seconds from each mark to the end of the second with the first good answer after it; the longest of them.

    What was asked in the very second of a mark may be from before it.
    """
    good = [number for number, second in run.whole() if second.good]
    waits = []
    for mark in run.marked(what):
        at = mark.at - run.began
        waits.append(next((number + 1 - at for number in good if number > at), math.inf))
    return max(waits, default=math.nan)


def reached(findings: Findings) -> float:
    return findings["flapping"].most("sidecar_failed")


def wanted(size: Size) -> float:
    """Requests that may meet an ill sidecar: each time the threshold, and those that were on their way by then."""
    return len(ILL) * (THRESHOLD + 1 + max(5.0, size.rate * 0.05))


def criteria(size: Size) -> tuple[Criterion, ...]:
    seconds = recovery(size)
    return (
        Criterion(
            "From the first failure to good answers again",
            "SC-004",
            lambda f: until_good(f["flapping"], FAILING),
            "the sidecar being well by then; to the end of the second with the first good answer: the breaker's "
            "recovery_timeout, and up to two seconds of this way to measure",
            "s",
            at_most=seconds + 2,
        ),
        Criterion(
            "From the sidecar's recovery to good answers",
            "SC-004",
            lambda f: until_good(f["flapping"], WELL),
            "likewise, the longest of all times it became well",
            "s",
            at_most=seconds,
        ),
        Criterion(
            "Failures that an ill sidecar had to give",
            "T059",
            reached,
            "its own count of answers with 500: the threshold each time, and requests that were on their way",
            at_most=wanted(size),
        ),
        Criterion(
            "Times that the breaker opened",
            "T059",
            lambda f: f["flapping"].last().value("gateway_circuit_breaker_transitions_total") / 3,
            "a third of its changes: closed to open, to half-open, to closed",
            at_least=len(ILL),
            at_most=len(ILL),
        ),
    )


SCENARIO = Scenario(
    name="flapping",
    sentence="an upstream that falls ill twice; the breaker opens, and closes when it is well",
    story=(
        "Twice every answer of the sidecar is 500 for a while. The breaker has its default times, or in runs of less "
        "than 150 s a fifth of their time."
    ),
    seconds=150,
    rate=200,
    variants=variants,
    criteria=criteria,
    charts=(
        pictures.outcomes("flapping", "500", "503"),
        pictures.figures("flapping", "State of the breaker: 0 closed, 1 open, 2 half-open", "", state="breaker"),
        pictures.latency("flapping"),
    ),
)
