"""Breaker and timeouts, against an upstream that dies, that fails now and then, and that hangs now and then."""

from __future__ import annotations

import asyncio
from typing import Any

from experiments.backend import Backend, Behaviour
from experiments.callers import Arrivals
from experiments.overload import CAPACITY, WORK, evenly, good, refused, tried
from experiments.trial import Column, Experiment, Figures, percentile
from stage import GatewayProcess

RATE = 100.0
WAITS = 0.5
"""Seconds that the gateway waits for the head of an answer."""
DIES, LIVES, ENDS = 1.0, 3.0, 6.0


def guarded(threshold: int, recovery: float) -> dict[str, Any]:
    breaker = {"enabled": True, "failure_threshold": threshold, "recovery_timeout": recovery}
    return {"circuit_breaker": breaker, "timeout_config": {"response_header": WAITS}}


async def dying(backend: Backend, gateway: GatewayProcess, scale: float) -> Figures:
    """Between `DIES` and `LIVES` nothing is answered."""
    arrivals = Arrivals(gateway.port)

    async def kill() -> None:
        await asyncio.sleep(DIES * scale)
        backend.behaviour.dead, before = True, backend.began
        await asyncio.sleep((LIVES - DIES) * scale)
        backend.behaviour.dead, told["asked"] = False, backend.began - before

    told: dict[str, int] = {}
    killing = asyncio.create_task(kill())
    await arrivals.come(evenly(RATE, ENDS * scale), wait=2)
    await killing
    dead = [answer for answer in arrivals.answers if DIES * scale <= answer.at < LIVES * scale]
    after = [a.at + a.seconds for a in good(arrivals.answers, 3600) if a.at + a.seconds >= LIVES * scale]
    return {
        "median wait ms": percentile([answer.seconds for answer in dead], 0.5) * 1e3,
        "sent to it while dead": told["asked"],
        "well again after s": min(after, default=(ENDS * scale)) - LIVES * scale,
    }


async def failing(_: Backend, gateway: GatewayProcess, scale: float) -> Figures:
    arrivals = Arrivals(gateway.port)
    await arrivals.come(evenly(RATE, 4 * scale), wait=2)
    count = len(arrivals.answers)
    stopped = sum(answer.status == 503 for answer in arrivals.answers)
    return {
        "good %": 100 * len(good(arrivals.answers, 3600)) / count,
        "refused by the breaker %": 100 * stopped / count,
    }


async def hanging(backend: Backend, gateway: GatewayProcess, scale: float) -> Figures:
    arrivals = Arrivals(gateway.port)
    await arrivals.come(evenly(RATE, 5 * scale), wait=0.2)
    last = [answer for answer in arrivals.answers if answer.at >= 2.5 * scale and answer.status]
    return {
        "good %": 100 * len(good(last, 3600)) / max(1, len(last)),
        "refused %": 100 * refused(last) / max(1, len(last)),
        "most inside": backend.most,
    }


HANGS = 0.04
FAILS = 0.1

EXPERIMENTS = (
    Experiment(
        "dead-upstream",
        "A breaker in front of a dead upstream",
        f"{RATE:.0f} requests a second. From second {DIES:g} to second {LIVES:g} the upstream takes requests and "
        f"answers none; `response_header` is {WAITS:g} s.",
        (Column("median wait ms"), Column("sent to it while dead"), Column("well again after s", 2)),
        tried(
            {
                "no breaker": {"timeout_config": {"response_header": WAITS}},
                "`{failure_threshold: 5, recovery_timeout: 0.5}`": guarded(5, 0.5),
                "`{failure_threshold: 5, recovery_timeout: 2}`": guarded(5, 2),
                "`{failure_threshold: 50, recovery_timeout: 0.5}`": guarded(50, 0.5),
            },
            dying,
            lambda: Behaviour(work=WORK, capacity=1000),
        ),
    ),
    Experiment(
        "failure-threshold",
        "How many failures in a row",
        f"{RATE:.0f} requests a second to an upstream that fails {100 * FAILS:.0f} % of them, each by chance; "
        "`recovery_timeout` is 1 s.",
        (Column("good %", 1), Column("refused by the breaker %", 1)),
        tried(
            {"no breaker": {}} | {f"`failure_threshold: {n}`": guarded(n, 1) for n in (1, 2, 3, 5)},
            failing,
            lambda: Behaviour(work=WORK, capacity=1000, fails=FAILS),
        ),
    ),
    Experiment(
        "response-header",
        "Waiting for an answer that does not come",
        f"{RATE:.0f} requests a second, `max_concurrent: {CAPACITY}`, an upstream of {WORK * 1e3:.0f} ms that never "
        f"answers {100 * HANGS:.0f} % of them. Figures of the last two and a half of five seconds.",
        (Column("good %", 1), Column("refused %", 1), Column("most inside")),
        tried(
            {
                f"`response_header: {seconds:g}`": {
                    "max_concurrent": CAPACITY,
                    "timeout_config": {"response_header": seconds},
                }
                for seconds in (30, 2, 0.5)
            },
            hanging,
            lambda: Behaviour(work=WORK, capacity=1000, hangs=HANGS),
        ),
    ),
)
