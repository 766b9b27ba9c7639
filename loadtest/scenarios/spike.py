"""Ten times the load for a while: does everybody get an answer, and is all as before afterwards?"""

from __future__ import annotations

import math

from load import pictures, promises
from load.findings import Findings, Run
from load.histogram import Histogram
from load.plan import given
from load.scenario import Criterion, Scenario, Size
from load.users import Arrivals
from load.variant import Variant
from locust import LoadTestShape
from work import Behaviour

__all__ = ["Arrivals", "Spike"]

BEGINS, ENDS = 0.4, 0.6
"""Shares of the time between which the spike is."""
QUIET = 0.1
"""Share of the users outside of it."""
MEDIAN = 0.05


class Spike(LoadTestShape):
    """A tenth of the users; all of them; a tenth again."""

    def tick(self) -> tuple[int, float] | None:
        plan = given()
        share = self.get_run_time() / plan.seconds
        if share >= 1.0:
            return None
        users = plan.users if BEGINS <= share < ENDS else math.ceil(plan.users * QUIET)
        return users, plan.users


def variants(size: Size) -> tuple[Variant, ...]:
    """The rate is that of the spike; the sidecar bears half of it."""
    places = max(1, round(size.rate / 2 * MEDIAN))
    proxy = {"max_concurrent": places, "queue": {"max_waiting": places * 20, "timeout": 2}}
    return (
        Variant(
            "spike",
            "Arrivals",
            users=max(10, int(size.rate)),
            seconds=size.seconds,
            rate=max(10, int(size.rate)),
            proxy=proxy,
            sidecar=Behaviour(capacity=places, median=MEDIAN, breaks=places * 4),
            patience=3.0,
        ),
    )


def after(run: Run) -> Histogram:
    """Latencies from a tenth of the time after the spike on."""
    from_second = run.variant.seconds * (ENDS + 0.1)
    return Histogram.sum(second.latency for number, second in run.seconds() if number >= from_second)


def recovered(findings: Findings) -> float:
    return after(findings["spike"]).percentile(99) * 1e3


def honest(findings: Findings) -> float:
    """Per cent of all that were answered with 200 or 429."""
    return (findings["spike"].share("200") + findings["spike"].share("429")) * 100


def criteria(size: Size) -> tuple[Criterion, ...]:
    (variant,) = variants(size)
    return (
        Criterion(
            "Requests with a good answer or an honest refusal",
            "",
            honest,
            "200 within the patience, or 429, of all; nobody is left to wait in vain",
            "%",
            at_least=99,
        ),
        Criterion(
            "P99 after the spike",
            "",
            recovered,
            "from a tenth of the time after its end on; the sidecar's 50 ms are in it",
            "ms",
            at_most=MEDIAN * 1e3 + 50,
            needs=20,
        ),
        promises.inside("spike", variant.sidecar.capacity + 1, "SC-005"),
    )


SCENARIO = Scenario(
    name="spike",
    sentence="ten times the load for a fifth of the time, twice of what the upstream bears",
    story=(
        "Arrivals grow tenfold at once, to twice the capacity of the sidecar, and fall back. The gateway has a limiter "
        "as large as the capacity, and a queue."
    ),
    seconds=100,
    rate=400,
    variants=variants,
    criteria=criteria,
    charts=(pictures.outcomes("spike", "429", "timeout"), pictures.latency("spike"), pictures.crowd("spike")),
)
