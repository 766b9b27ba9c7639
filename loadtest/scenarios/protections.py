"""Before and after: the same overload on the same sidecar with no protection, with each alone, and with all."""

from __future__ import annotations

import math
from typing import Any

from load import promises
from load.findings import Findings, Points, Run
from load.overload import PATIENCE, sidecar
from load.report import number
from load.scenario import Chart, Criterion, Scenario, Size
from load.users import Arrivals
from load.variant import Variant

__all__ = ["Arrivals"]

FACTOR = 4


def settings(places: int) -> dict[str, dict[str, Any]]:
    """The proxy of each variant, by its name. The queue needs the limiter."""
    limiter: dict[str, Any] = {"max_concurrent": places}
    queue = {"queue": {"max_waiting": places * 8, "timeout": 1}}
    breaker = {"circuit_breaker": {"enabled": True, "recovery_timeout": 2}}
    timeouts = {"timeout_config": {"dial": 0.5, "response_header": 1}}
    return {
        "none": {},
        "limiter": limiter,
        "limiter and queue": limiter | queue,
        "breaker": breaker,
        "timeouts": timeouts,
        "all": limiter | queue | breaker | timeouts,
    }


def variants(size: Size) -> tuple[Variant, ...]:
    fragile = sidecar(size)
    demand = FACTOR * fragile.throughput
    users = max(1, round(demand * PATIENCE * 1.25))
    return tuple(
        Variant(name, "Arrivals", users, size.seconds, demand, proxy, fragile, patience=PATIENCE)
        for name, proxy in settings(fragile.capacity).items()
    )


def without(findings: Findings) -> float:
    """Per cent."""
    return findings["none"].good() / findings["all"].good() * 100 if findings["all"].good() else math.nan


def criteria(size: Size) -> tuple[Criterion, ...]:
    return (
        promises.goodput("all", 90, "T064"),
        promises.goodput("limiter", 90, "T064"),
        promises.inside("all", sidecar(size).capacity + 1, "SC-005"),
        Criterion(
            "Goodput without protection, of that with all",
            "T064",
            without,
            "good answers a second within the clients' patience",
            "%",
            at_most=50,
        ),
        Criterion(
            "Deaths of the sidecar behind all protections",
            "T064",
            lambda f: f["all"].most("sidecar_crashes"),
            "its own count",
            at_most=0,
        ),
    )


def row(name: str, run: Run) -> tuple[str, ...]:
    outcomes = run.outcomes()
    hidden = run.bad() - outcomes["429"] - outcomes["503"]
    return (
        name,
        number(run.good()),
        f"{run.good() / run.variant.sidecar.throughput:.0%}",
        f"{(outcomes['429'] + outcomes['503']) / run.span:.0f}",
        f"{hidden / run.span:.0f}",
        number(run.latency().percentile(99) * 1e3),
        number(run.most("sidecar_most")),
        number(run.most("sidecar_crashes")),
    )


def table(findings: Findings) -> list[tuple[str, ...]]:
    return [
        (
            "protection",
            "good answers a second",
            "of the capacity",
            "refused at once or after the queue (429, 503) a second",
            "failed or too late a second",
            "P99 of good answers, ms",
            "most at once in the sidecar",
            "deaths of the sidecar",
        ),
        *(row(name, run) for name, run in findings.items()),
    ]


def each(figure: str, findings: Findings) -> dict[str, Points]:
    return {name: run.figure(figure) for name, run in findings.items()}


SCENARIO = Scenario(
    name="protections",
    sentence="before and after: the same overload with no protection, each alone, and all",
    story=(
        "Four times the demand that the sidecar bears, always the same arrivals. It shares its machine among all who "
        "are inside, loses work by that above its capacity, and dies for three seconds at four times the capacity. A "
        "client gives up two seconds after it meant to ask: what comes later is not good. "
        "Against overload it is the limiter that helps, and the queue; what the breaker is for is seen in `flapping`."
    ),
    seconds=40,
    rate=400,
    variants=variants,
    criteria=criteria,
    charts=(
        Chart(
            "goodput",
            "Good answers",
            "a second",
            lambda f: {name: run.per_second("200") for name, run in f.items()},
        ),
        Chart("inside", "Requests in the sidecar", "", lambda f: each("sidecar_inside", f)),
        Chart("deaths", "Deaths of the sidecar so far", "", lambda f: each("sidecar_crashes", f)),
        Chart(
            "tail",
            "P99 of good answers, from the intended start",
            "ms",
            lambda f: {name: run.line(99) for name, run in f.items()},
        ),
    ),
    table=table,
)
