"""Limit and queue, against an upstream that bears 8 requests of 20 ms at once and gets slower above that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from experiments.backend import Backend, Behaviour
from experiments.callers import Answer, Arrivals
from experiments.trial import Column, Experiment, Figures, in_rounds, percentile
from stage import GatewayProcess

ROUNDS = 2
CAPACITY = 8
WORK = 0.02
BEARS = CAPACITY / WORK
"""Requests a second."""
BACKEND = (
    f"The upstream works on {CAPACITY} requests at a time for {WORK * 1e3:.0f} ms each: it bears {BEARS:.0f} requests "
    "a second. With n > 8 inside, a request takes (n / 8)^1.5 times as long. "
)

Run = Callable[[float], Awaitable[list[dict[str, Figures]]]]
Measure = Callable[[Backend, GatewayProcess, float], Awaitable[Figures]]


def behaving() -> Behaviour:
    return Behaviour(work=WORK, capacity=CAPACITY)


def tried(settings: Mapping[str, Mapping[str, Any]], measure: Measure, behaviour: Callable[[], Behaviour]) -> Run:
    """A fresh gateway and a fresh upstream for each turn: what one overload leaves behind must not meet the next."""

    async def run(scale: float) -> list[dict[str, Figures]]:
        async def turn(name: str) -> Figures:
            async with Backend(behaviour()) as backend, GatewayProcess(backend.port, **settings[name]) as gateway:
                return await measure(backend, gateway, scale)

        return await in_rounds(list(settings), ROUNDS, turn)

    return run


def evenly(rate: float, seconds: float) -> list[float]:
    return [number / rate for number in range(int(rate * seconds))]


def good(answers: list[Answer], within: float) -> list[Answer]:
    return [answer for answer in answers if answer.status == 200 and answer.seconds <= within]


def refused(answers: list[Answer]) -> int:
    return sum(answer.status >= 400 for answer in answers)


def settled(answers: list[Answer], seconds: float) -> list[Answer]:
    """Those who came when two fifths of the time were over: the queue is as long then as it will be."""
    return [answer for answer in answers if answer.at >= seconds * 0.4]


PATIENCE = 1.0


async def overloaded(backend: Backend, gateway: GatewayProcess, scale: float) -> Figures:
    """Twice what the upstream bears; callers hang up after `PATIENCE`."""
    seconds = 2.5 * scale
    arrivals = Arrivals(gateway.port, PATIENCE)
    await arrivals.come(evenly(2 * BEARS, seconds), wait=2)
    answers = settled(arrivals.answers, seconds)
    useful = good(answers, PATIENCE)
    return {
        "good answers/s": len(useful) / (seconds * 0.6),
        "% of capacity": 100 * len(useful) / (seconds * 0.6) / BEARS,
        "p99 ms": percentile([answer.seconds for answer in useful], 0.99) * 1e3,
        "refused %": 100 * refused(answers) / len(answers),
        "most inside": backend.most,
    }


WORTH = 0.5


async def queued(_: Backend, gateway: GatewayProcess, scale: float) -> Figures:
    """One and a half times what it bears; callers stay, and what comes after `WORTH` is worth nothing to them."""
    seconds = 4 * scale
    arrivals = Arrivals(gateway.port)
    await arrivals.come(evenly(1.5 * BEARS, seconds), wait=4)
    answers = settled(arrivals.answers, seconds)
    came = good(answers, 3600)
    useful = good(answers, WORTH)
    return {
        "in time/s": len(useful) / (seconds * 0.6),
        "too late/s": (len(came) - len(useful)) / (seconds * 0.6),
        "refused %": 100 * refused(answers) / len(answers),
        "p99 ms": percentile([answer.seconds for answer in came], 0.99) * 1e3,
    }


BURST = 30
EVERY = 0.12


async def bursts(_: Backend, gateway: GatewayProcess, scale: float) -> Figures:
    """`BURST` callers at once, again and again, each time when the last burst could be over."""
    arrivals = Arrivals(gateway.port)
    times = [number * EVERY for number in range(int(2.5 * scale / EVERY) + 1) for _ in range(BURST)]
    await arrivals.come(times, wait=2)
    useful = good(arrivals.answers, 3600)
    return {
        "served %": 100 * len(useful) / len(arrivals.answers),
        "refused %": 100 * refused(arrivals.answers) / len(arrivals.answers),
        "p99 ms": percentile([answer.seconds for answer in useful], 0.99) * 1e3,
    }


def queue(waiting: int, timeout: float) -> dict[str, Any]:
    return {"max_concurrent": CAPACITY, "queue": {"max_waiting": waiting, "timeout": timeout}}


EXPERIMENTS = (
    Experiment(
        "max-concurrent",
        "How high the limit",
        BACKEND + f"Callers come twice as fast as that and hang up after {PATIENCE:g} s; there is no queue.",
        (
            Column("good answers/s"),
            Column("% of capacity"),
            Column("p99 ms"),
            Column("refused %"),
            Column("most inside"),
        ),
        tried({f"`max_concurrent: {n}`": {"max_concurrent": n} for n in (0, 4, 8, 16, 64)}, overloaded, behaving),
    ),
    Experiment(
        "queue-depth",
        "How long the queue",
        BACKEND + f"Callers come 1.5 times as fast as that and stay; an answer after {WORTH:g} s is worth nothing.",
        (Column("in time/s"), Column("too late/s"), Column("refused %"), Column("p99 ms")),
        tried(
            {
                "no queue": {"max_concurrent": CAPACITY},
                "`{max_waiting: 40, timeout: 10}`": queue(40, 10),
                "`{max_waiting: 120, timeout: 10}`": queue(120, 10),
                "`{max_waiting: 500, timeout: 10}`": queue(500, 10),
                "`{max_waiting: 500, timeout: 0.4}`": queue(500, 0.4),
            },
            queued,
            behaving,
        ),
    ),
    Experiment(
        "bursts",
        "Bursts",
        BACKEND + f"{BURST} callers come at once, each {EVERY * 1e3:.0f} ms: on average "
        f"{100 * BURST / EVERY / BEARS:.0f} % of what it bears.",
        (Column("served %"), Column("refused %"), Column("p99 ms")),
        tried(
            {
                "no queue": {"max_concurrent": CAPACITY},
                "`{max_waiting: 8, timeout: 5}`": queue(8, 5),
                "`{max_waiting: 32, timeout: 5}`": queue(32, 5),
            },
            bursts,
            behaving,
        ),
    ),
)
