"""Four times what the sidecar bears: by arrivals that do not care, and by users who obey Retry-After."""

from __future__ import annotations

import time

import gevent
from locust import task
from work import Behaviour

from load import pictures, promises
from load.findings import Findings
from load.scenario import Chart, Criterion, Size
from load.users import Client
from load.variant import Variant
from load.wire import Answer

FACTOR = 4
MEDIAN, SIGMA = 0.1, 0.3
PATIENCE = 2.0
THINKS = 1.0
"""Seconds between an answer and the next request of a user who obeys."""
JITTER = 0.1
BURST = 30.0
"""Seconds after which an overload is no burst any more."""
AGAIN = "next try"
"""Kind of a request made when the Retry-After of the refusal before it was over."""


class Obedient(Client):
    """Asks, thinks, asks. After a refusal the next try comes when Retry-After is over, up to `JITTER` of it later."""

    def on_start(self) -> None:
        gevent.sleep(self.random.random() * THINKS)

    @task
    def turn(self) -> None:
        answer = self._ask("answer")
        while answer is not None and answer.status == 429:
            pause = answer.number(b"retry-after", 1)
            gevent.sleep(pause * (1 + self.random.random() * JITTER))
            answer = self._ask(AGAIN)
        gevent.sleep(THINKS)

    def _ask(self, kind: str) -> Answer | None:
        return self.timed(kind, time.monotonic(), lambda: self.wire.ask("/answer"))


def sidecar(size: Size) -> Behaviour:
    """It bears a quarter of the rate, and dies of four times as many requests at once as it is made for."""
    normal = Behaviour(median=MEDIAN, sigma=SIGMA)
    places = max(1, round(size.rate / FACTOR * normal.mean))
    return Behaviour(capacity=places, median=MEDIAN, sigma=SIGMA, breaks=places * 4)


def pair(size: Size, queue: dict[str, float]) -> tuple[Variant, ...]:
    """Both kinds of users behind a limiter as large as the capacity. Undisturbed, both would make the same demand."""
    fragile = sidecar(size)
    demand = FACTOR * fragile.throughput
    proxy = {"max_concurrent": fragile.capacity, "queue": queue}
    return (
        Variant(
            "arrivals",
            "Arrivals",
            users=max(1, round(demand * PATIENCE * 1.25)),
            seconds=size.seconds,
            rate=demand,
            proxy=proxy,
            sidecar=fragile,
            patience=PATIENCE,
        ),
        Variant(
            "obedient",
            "Obedient",
            users=max(1, round(demand * (THINKS + fragile.mean))),
            seconds=size.seconds,
            rate=demand,
            proxy=proxy,
            sidecar=fragile,
            patience=PATIENCE,
        ),
    )


def obeyed(findings: Findings) -> float:
    return findings["obedient"].share("200", AGAIN) * 100


def settled(findings: Findings) -> float:
    """As `obeyed`, without the first `BURST` seconds, in which nobody knows that this is no burst."""
    good, refused = (
        sum(count for at, count in findings["obedient"].per_second(outcome, AGAIN) if at >= BURST)
        for outcome in ("200", "429")
    )
    return good / (good + refused) * 100 if good else 0.0


def criteria(size: Size, *, good: float = 90, again: float = 90, from_the_start: float = 80) -> tuple[Criterion, ...]:
    """The least goodput, and the least share of next tries that succeed, in per cent."""
    places = sidecar(size).capacity
    return (
        promises.goodput("arrivals", good),
        promises.goodput("obedient", good),
        Criterion(
            "Next tries that succeed after Retry-After, once the overload has lasted for half a minute",
            "",
            settled,
            "of all requests made when the Retry-After of a refusal was over, with up to 10 % of added jitter, by "
            "users whose undisturbed demand is four times the capacity; a refused one has a next try of its own",
            "%",
            at_least=again,
            needs=90,
        ),
        Criterion(
            "Next tries that succeed after Retry-After, its beginning included",
            "",
            obeyed,
            "likewise, of the whole judged time",
            "%",
            at_least=from_the_start,
            needs=90,
        ),
        promises.inside("arrivals", places + 1, "SC-005"),
        promises.inside("obedient", places + 1, "SC-005"),
    )


CHARTS: tuple[Chart, ...] = (
    pictures.outcomes("arrivals", "429", "timeout"),
    pictures.latency("arrivals"),
    pictures.crowd("arrivals"),
    pictures.outcomes("obedient", "429"),
    Chart(
        "next-tries",
        "Next tries after Retry-After (obedient)",
        "a second",
        lambda findings: {name: findings["obedient"].per_second(name, AGAIN) for name in ("200", "429")},
    ),
    pictures.crowd("obedient"),
)
