"""A thousand clients with a request each, all the time."""

from __future__ import annotations

from load import pictures, promises
from load.findings import Findings
from load.scenario import Criterion, Scenario, Size
from load.users import Waiting
from load.variant import Variant
from work import Behaviour

__all__ = ["Clients"]

WORK = 2.0
"""Seconds of one answer."""


class Clients(Waiting):
    """Asks for a slow answer, and again."""


def variants(size: Size) -> tuple[Variant, ...]:
    """The rate is the number of clients."""
    users = int(size.rate)
    sidecar = Behaviour(capacity=users * 2, median=WORK)
    return (Variant("connections", "Clients", users, size.seconds, users / WORK, {}, sidecar, patience=WORK + 5),)


def added(findings: Findings) -> float:
    return (findings["connections"].service().percentile(99) - WORK) * 1e3


def criteria(size: Size) -> tuple[Criterion, ...]:
    return (
        Criterion(
            "Connections of clients at once",
            "NFR-003",
            lambda f: f["connections"].most("connections"),
            "`gateway_connections`, the largest of all looks",
            at_least=int(size.rate),
        ),
        Criterion(
            "Requests in flight at once",
            "NFR-003",
            lambda f: f["connections"].most("in_flight"),
            "`gateway_in_flight`, the largest of all looks",
            at_least=int(size.rate) * 0.95,
        ),
        promises.all_good("connections", shows="NFR-003"),
        Criterion(
            "P99 of what is added to the sidecar's two seconds",
            "",
            added,
            "service time less the work of the sidecar",
            "ms",
            at_most=100,
        ),
        promises.memory("connections", 4),
    )


SCENARIO = Scenario(
    name="connections",
    sentence="a thousand clients at once, each with a request that takes two seconds",
    story="A thousand clients, each on a connection of its own, ask for answers of two seconds, one after the other.",
    seconds=60,
    rate=1000,
    variants=variants,
    criteria=criteria,
    charts=(
        pictures.figures("connections", "Connections", "", clients="connections", sidecar="pool_open"),
        pictures.latency("connections"),
        pictures.memory("connections"),
    ),
)
