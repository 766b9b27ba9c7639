"""A constant 1000 requests a second for five minutes, and the same load on the sidecar itself, turn about."""

from __future__ import annotations

from load.exposition import beyond, percentile
from load.findings import Findings
from load.scenario import Chart, Criterion, Scenario, Size
from load.users import Arrivals, Scheduled
from load.variant import Variant
from load.wire import Wire
from locust.env import Environment
from work import Behaviour

__all__ = ["Arrivals", "Paired"]

SIDECAR = Behaviour(capacity=1000, median=0.02)
FENCE = {
    "max_concurrent": 500,
    "queue": {"max_waiting": 500, "timeout": 5},
    "circuit_breaker": {"enabled": True},
}


class Paired(Scheduled):
    """Asks the gateway and the sidecar in turns, so that what the machine does besides falls on both."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.ways = {"through": self.wire, "direct": Wire(self.plan.direct)}
        self.turns = self.number

    def act(self, intended: float) -> None:
        self.turns += 1
        kind = ("through", "direct")[self.turns % 2]
        wire = self.ways[kind]
        self.timed(kind, intended, lambda: wire.ask("/answer"), wire)


def variants(size: Size) -> tuple[Variant, ...]:
    users = max(1, int(size.rate / 10))
    return (
        Variant("through", "Arrivals", users, size.seconds, size.rate, FENCE, SIDECAR),
        Variant("paired", "Paired", users, min(size.seconds, 60.0), size.rate, FENCE, SIDECAR),
    )


def apart(percent: float, findings: Findings) -> float:
    """Milliseconds that a percentile through the gateway is above the one without it."""
    run = findings["paired"]
    return (run.service("through").percentile(percent) - run.service("direct").percentile(percent)) * 1e3


def own(percent: float, findings: Findings) -> float:
    """Milliseconds, by the gateway's own account."""
    return percentile(findings["through"].buckets("gateway_overhead_seconds"), percent) * 1e3


def reuse(findings: Findings) -> float:
    run = findings["through"]
    reused, dialled = run.gain("reuses"), run.gain("dials")
    return reused / (reused + dialled) * 100


def scrape(findings: Findings) -> float:
    times = sorted(findings["through"].steady("scrape_ms"))
    return times[int(len(times) * 0.99)]


def criteria(size: Size) -> tuple[Criterion, ...]:
    return (
        Criterion(
            "Requests a second that came through",
            "T061",
            lambda f: f["through"].good() / size.rate * 100,
            "good answers in the judged seconds, of those that the schedule has",
            "%",
            at_least=99,
        ),
        Criterion(
            "Requests without a good answer",
            "T061",
            lambda f: f["through"].bad(),
            "of all in the judged seconds",
            at_most=0,
            at_least=0,
        ),
        Criterion(
            "P99 of the latency",
            "SC-002",
            lambda f: f["through"].latency().percentile(99) * 1e3,
            "from the intended start to the last byte, of all requests; the sidecar's 20 ms are in it",
            "ms",
            at_most=50,
        ),
        Criterion(
            "Jitter of the P99",
            "NFR-005",
            lambda f: f["through"].jitter(),
            "the coefficient of variation (standard deviation by mean) of the P99 of each window of ten seconds",
            "%",
            at_most=20,
            needs=60,
        ),
        *(
            Criterion(
                f"Added latency, p{percent:g}, beside the sidecar itself",
                "NFR-001",
                lambda f, percent=percent: apart(percent, f),
                "service times through the gateway less those without it, asked in turns in one run at the same rate",
                "ms",
                at_most=5,
            )
            for percent in (50.0, 99.0)
        ),
        *(
            Criterion(
                f"Overhead by the gateway's own account, p{percent:g}",
                "NFR-001",
                lambda f, percent=percent: own(percent, f),
                "the upper bound of the bucket of `gateway_overhead_seconds` in which the percentile falls",
                "ms",
                at_most=5,
            )
            for percent in (50.0, 99.0)
        ),
        Criterion(
            "Requests over a pooled connection",
            "NFR-002, SC-001",
            reuse,
            "`gateway_pool_reuses_total` of it and `gateway_pool_dials_total`, after the warm-up",
            "%",
            at_least=90,
        ),
        Criterion(
            "Collections of garbage above 10 ms",
            "NFR-004, SC-003",
            lambda f: beyond(f["through"].buckets("gateway_gc_pause_seconds"), 0.01),
            "the worker's own `gateway_gc_pause_seconds`",
            at_most=0,
        ),
        Criterion(
            "P99 of a scrape of the metrics",
            "SC-006",
            scrape,
            "once a second under this load, from the request to the last byte",
            "ms",
            at_most=50,
        ),
        Criterion(
            "Growth of the memory",
            "T062",
            lambda f: f["through"].growth("rss"),
            "resident set of the worker, the mean of the last tenth of the time less that of the first",
            "MiB",
            at_most=4,
        ),
        Criterion(
            "Growth of the connections to the sidecar",
            "T063",
            lambda f: f["through"].growth("pool_open"),
            "`gateway_pool_open`, likewise",
            at_most=5,
        ),
    )


SCENARIO = Scenario(
    name="steady",
    sentence="1000 requests a second for five minutes on an upstream of 20 ms; what the gateway adds",
    story=(
        "A sidecar that answers in 20 ms gets a constant stream of small requests through a gateway with limiter, "
        "queue, breaker and metrics on. A second run asks the gateway and the sidecar itself in turns."
    ),
    seconds=300,
    rate=1000,
    variants=variants,
    criteria=criteria,
    charts=(
        Chart(
            "latency",
            "Latency from the intended start",
            "ms",
            lambda f: {f"p{p:g}": f["through"].line(p) for p in (50.0, 99.0, 99.9)},
            bound=50,
        ),
        Chart("windows", "P99 of each window of ten seconds", "ms", lambda f: {"p99": f["through"].windows(99)}),
        Chart(
            "collections",
            "Longest collection of garbage since the last look: its bucket",
            "ms",
            lambda f: {"at most": f["through"].worst("gateway_gc_pause_seconds")},
            bound=10,
        ),
        Chart("memory", "Memory of the worker", "MiB", lambda f: {"resident": f["through"].figure("rss")}),
        Chart(
            "connections",
            "Connections",
            "",
            lambda f: {name: f["through"].figure(name) for name in ("connections", "pool_open", "in_flight")},
        ),
        Chart(
            "processor",
            "Processor time",
            "share of a core",
            lambda f: {name: f["through"].figure(f"cpu_{name}") for name in ("worker", "sidecar", "locust")},
        ),
        Chart("scrapes", "A scrape of the metrics", "ms", lambda f: {"scrape": f["through"].figure("scrape_ms")}, 50),
    ),
)
