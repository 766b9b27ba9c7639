"""Criteria that several scenarios make of one of their runs."""

from __future__ import annotations

from load.findings import Findings
from load.scenario import Criterion


def all_good(run: str, kind: str = "answer", shows: str = "") -> Criterion:
    return Criterion(
        f"Requests without a good answer ({run}, {kind})",
        shows,
        lambda findings: findings[run].bad(kind),
        "everything but 200 within the clients' patience, of all in the judged seconds",
        at_least=0,
        at_most=0,
    )


def p99(run: str, most: float, kind: str = "answer", shows: str = "") -> Criterion:
    """``most`` in milliseconds."""
    return Criterion(
        f"P99 of the latency ({run}, {kind})",
        shows,
        lambda findings: findings[run].latency(kind).percentile(99) * 1e3,
        "of good answers, from the intended start to the last byte",
        "ms",
        at_most=most,
    )


def share_good(run: str, least: float, kind: str = "answer", shows: str = "") -> Criterion:
    """``least`` in per cent."""
    return Criterion(
        f"Requests with a good answer ({run}, {kind})",
        shows,
        lambda findings: findings[run].share("200", kind) * 100,
        "of all in the judged seconds",
        "%",
        at_least=least,
    )


def goodput(run: str, least: float, shows: str = "") -> Criterion:
    """``least`` in per cent of what the sidecar can bear."""

    def measure(findings: Findings) -> float:
        made = findings[run]
        return sum(made.good(kind) for kind in made.record.kinds) / made.variant.sidecar.throughput * 100

    return Criterion(
        f"Goodput inside the deadline ({run})",
        shows,
        measure,
        "good answers within the clients' patience, of the capacity: requests at once by the mean time of one",
        "% of the capacity",
        at_least=least,
    )


def inside(run: str, most: int, shows: str = "") -> Criterion:
    return Criterion(
        f"Most requests at once in the sidecar ({run})",
        shows,
        lambda findings: findings[run].most("sidecar_most"),
        "by the sidecar's own count, over the whole run",
        at_most=most,
    )


def memory(run: str, most: float, shows: str = "T062") -> Criterion:
    """``most`` in MiB."""
    return Criterion(
        f"Growth of the memory ({run})",
        shows,
        lambda findings: findings[run].growth("rss"),
        "resident set of the worker, the mean of the last tenth of the judged time less that of the first",
        "MiB",
        at_most=most,
    )
