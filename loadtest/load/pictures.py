"""Charts that several scenarios draw of one of their runs."""

from __future__ import annotations

from load.scenario import Chart


def latency(run: str, kind: str = "answer", bound: float | None = None) -> Chart:
    return Chart(
        f"latency-{run}-{kind}",
        f"Latency of good answers from the intended start ({run}, {kind})",
        "ms",
        lambda findings: {f"p{p:g}": findings[run].line(p, kind) for p in (50.0, 99.0, 99.9)},
        bound,
    )


def outcomes(run: str, *names: str, kind: str = "answer") -> Chart:
    """How many of each outcome a second; 200 always."""
    return Chart(
        f"outcomes-{run}",
        f"Answers by outcome ({run}, {kind})",
        "a second",
        lambda findings: {name: findings[run].per_second(name, kind) for name in ("200", *names)},
    )


def figures(run: str, title: str, unit: str, **columns: str) -> Chart:
    """Columns of the watch by their legends."""
    return Chart(
        f"{'-'.join(columns).replace('_', '-')}-{run}",
        f"{title} ({run})",
        unit,
        lambda findings: {legend: findings[run].figure(column) for legend, column in columns.items()},
    )


def crowd(run: str) -> Chart:
    return figures(run, "Requests inside", "", gateway="in_flight", queue="waiting", sidecar="sidecar_inside")


def memory(run: str) -> Chart:
    return figures(run, "Memory of the worker", "MiB", resident="rss")
