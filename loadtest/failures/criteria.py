"""What the gateway promises of its behaviour under failures, held against what was measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from failures import endpoints, hedges, overload, stall
from failures.proxies import GATEWAY
from load.scenario import Criterion

Report = Mapping[str, Any]
"""As it stands in report.json."""
NEVER = math.inf


def figure(*path: str) -> Callable[[Report], float]:
    """What stands there in the report; infinite when what it counts has not happened."""
    *way, name = path

    def measure(report: Report) -> float:
        found: Any = report
        for step in way:
            found = found[step]
        value = found["figures"][name]
        return NEVER if value is None else float(value)

    return measure


def of_endpoint(fault: str, name: str) -> Callable[[Report], float]:
    """Of the gateway with one worker."""
    return figure("endpoints", fault, GATEWAY, name)


LONG = endpoints.BEFORE + endpoints.DURING + endpoints.AFTER
"""Shorter runs end before what takes its time has happened."""
WORDS = {
    "dies": "dies",
    "hangs": "hangs",
    "slow": "is slow",
    "rejects": "answers 503",
    "flaps": "flaps",
    "lies": "lies on its health check",
    "hides": "hangs behind a good health check",
}
FAILED = {"dies": 0.5, "hangs": 0.5, "slow": 0.0, "rejects": 0.5, "flaps": 1.0, "lies": 1.0, "hides": 1.0}
"""Per cent of the requests of a run."""
CHECKED, PROBED = "its health check fails", "its health check is good, so that one request at a time finds out"
KNOWN = {"hangs": (0, CHECKED), "rejects": (0, CHECKED), "lies": (2, PROBED), "hides": (2, PROBED)}
"""Requests after a fault is known, and the reason. In these faults endpoints see the attempts that fail."""
BACK = {"dies": "died", "hangs": "hung", "slow": "was slow", "rejects": "answered 503"}
BACK_WITHIN = 4.0
"""Seconds."""


def _failed() -> Iterator[Criterion]:
    how = "all but 200 within the callers' patience, of all requests of the run"
    for fault, most in FAILED.items():
        name = f"Failed requests, one endpoint {WORDS[fault]}"
        yield Criterion(name, "", of_endpoint(fault, "failed %"), how, "%", at_most=most, needs=LONG)


def _left_alone() -> Iterator[Criterion]:
    for fault, (most, why) in KNOWN.items():
        name = f"Requests to the endpoint that {WORDS[fault]}, after it is known"
        how = f"from {endpoints.KNOWN:g} s of the fault to its end, counted by the endpoint; {why}"
        yield Criterion(name, "", of_endpoint(fault, "after it is known"), how, at_most=most, needs=LONG)
    name, how = "Share of the requests at the endpoint that is slow", "during the fault; 25 % would be its part"
    yield Criterion(name, "", of_endpoint("slow", "share %"), how, "%", at_most=8, needs=LONG)


def _amplification() -> Criterion:
    def measure(report: Report) -> float:
        return max(of_endpoint(fault, "requests sent for one")(report) for fault in KNOWN)

    how = "during the fault, where endpoints see all attempts; the budget is 0.2"
    return Criterion("Most requests at endpoints for one of a caller", "", measure, how, at_most=1.2, needs=LONG)


def _back() -> Iterator[Criterion]:
    how = f"from the end of the fault until it has {endpoints.BACK:.0%} of its part of the requests"
    for fault, past in BACK.items():
        name = f"An endpoint that {past} is in use again"
        yield Criterion(name, "", of_endpoint(fault, "back s"), how, "s", at_most=BACK_WITHIN, needs=LONG)


def _overload() -> tuple[Criterion, ...]:
    fixed, adaptive, *_ = overload.VARIANTS
    return tuple(
        criterion
        for variant, least in ((fixed, 90.0), (adaptive, 70.0))
        for criterion in (
            Criterion(
                f"Goodput in the overload ({variant})",
                "",
                figure("overload", variant, "% of capacity"),
                f"served within {overload.PATIENCE:g} s, from second {overload.SETTLED:g} of the overload on",
                "% of the capacity",
                at_least=least,
                needs=LONG,
            ),
            Criterion(
                f"All is well again ({variant})",
                "",
                figure("overload", variant, "well again s"),
                f"from the end of the overload to the second from which each has {overload.WELL:.0%} of its requests "
                "served in time",
                "s",
                at_most=5.0,
                needs=LONG,
            ),
        )
    )


def _stall() -> tuple[Criterion, ...]:
    return tuple(
        criterion
        for kind, told in stall.KINDS.items()
        for criterion in (
            Criterion(
                f"Callers know that a stream has stalled ({kind})",
                "",
                figure("stall", kind, GATEWAY, "after s, longest"),
                f"the longest time from the last event; {told}, and the bound is {stall.GAP:g} s",
                "s",
                at_most=stall.GAP + 0.5,
            ),
            Criterion(
                f"Callers who know that a stream has stalled ({kind})",
                "",
                figure("stall", kind, GATEWAY, "learn %"),
                f"of {stall.STREAMS} streams, within {stall.PATIENCE:g} s",
                "%",
                at_least=100,
            ),
            Criterion(
                f"Places that stalled streams hold in the end ({kind})",
                "",
                figure("stall", kind, GATEWAY, "places held"),
                "streams open at the upstream",
                at_most=0,
            ),
        )
    )


def _hedges() -> Iterator[Criterion]:
    """With ``after`` in seconds: what is measured by itself follows the slowness, so that it adds less."""
    for kind, slowness in hedges.KINDS.items():
        name = f"Requests sent for one, {slowness.title[0].lower()}{slowness.title[1:]}"
        how = "counted by the endpoints; the budget of hedges is 0.2, with a burst of 10"
        yield Criterion(
            name, "", figure("hedges", kind, hedges.FIRST, "requests sent for one"), how, at_most=1.25, needs=LONG
        )
        name = f"Failed requests, {slowness.title[0].lower()}{slowness.title[1:]}"
        yield Criterion(name, "", figure("hedges", kind, hedges.FIRST, "failed"), "all but 200", at_most=0, needs=LONG)


def criteria() -> tuple[Criterion, ...]:
    return (*_failed(), *_left_alone(), _amplification(), *_back(), *_overload(), *_stall(), *_hedges())
