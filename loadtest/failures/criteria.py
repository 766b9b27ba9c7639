"""What the gateway promises of its behaviour under failures, held against what was measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from failures import endpoints, overload, stall
from failures.proxies import GATEWAY
from load.scenario import Criterion

Report = Mapping[str, Any]
"""As it stands in report.json."""
NEVER = math.inf


def of_endpoint(fault: str, figure: str) -> Callable[[Report], float]:
    """A figure of the gateway; infinite when what it counts has not happened."""

    def measure(report: Report) -> float:
        value = report["endpoints"][fault][GATEWAY]["figures"][figure]
        return NEVER if value is None else float(value)

    return measure


def of_overload(variant: str, figure: str) -> Callable[[Report], float]:
    def measure(report: Report) -> float:
        value = report["overload"][variant]["figures"][figure]
        return NEVER if value is None else float(value)

    return measure


def of_stall(kind: str, figure: str) -> Callable[[Report], float]:
    def measure(report: Report) -> float:
        value = report["stall"][kind][GATEWAY]["figures"][figure]
        return NEVER if value is None else float(value)

    return measure


COUNTED = ("hangs", "rejects", "lies", "hides")
"""Faults in which attempts fail where an endpoint sees them."""
LONG = endpoints.BEFORE + endpoints.DURING + endpoints.AFTER
"""Shorter runs end before what takes its time has happened."""


def _endpoints() -> tuple[Criterion, ...]:
    failed = tuple(
        Criterion(
            f"Failed requests, one endpoint {told}",
            "",
            of_endpoint(fault, "failed %"),
            "all but 200 within the callers' patience, of all requests of the run",
            "%",
            at_most=most,
            needs=LONG,
        )
        for fault, told, most in (
            ("dies", "dies", 0.5),
            ("hangs", "hangs", 0.5),
            ("slow", "is slow", 0.0),
            ("rejects", "answers 503", 0.5),
            ("flaps", "flaps", 1.0),
            ("lies", "lies on its health check", 1.0),
            ("hides", "hangs behind a good health check", 1.0),
        )
    )
    alone = tuple(
        Criterion(
            f"Requests to the endpoint that {told}, after it is known",
            "",
            of_endpoint(fault, "after it is known"),
            f"from {endpoints.KNOWN:g} s of the fault to its end, counted by the endpoint; {why}",
            at_most=most,
            needs=LONG,
        )
        for fault, told, most, why in (
            ("hangs", "hangs", 0, "its health check fails"),
            ("rejects", "answers 503", 0, "its health check fails"),
            ("lies", "lies", 2, "its health check is good, so that one request at a time finds out"),
            ("hides", "hangs behind a good health check", 2, "likewise"),
        )
    )
    share = Criterion(
        "Share of the requests at the endpoint that is slow",
        "",
        of_endpoint("slow", "share %"),
        "during the fault; 25 % would be its part",
        "%",
        at_most=8,
        needs=LONG,
    )
    sent = Criterion(
        "Most requests at endpoints for one of a caller",
        "",
        lambda report: max(
            of_endpoint(fault, "requests sent for one")(report) for fault in ("hangs", "rejects", "lies")
        ),
        "during the fault, where endpoints see all attempts; the budget is 0.2",
        at_most=1.2,
        needs=LONG,
    )
    back = tuple(
        Criterion(
            f"An endpoint that {told} is in use again",
            "",
            of_endpoint(fault, "back s"),
            f"from the end of the fault until it has {endpoints.BACK:.0%} of its part of the requests",
            "s",
            at_most=most,
            needs=LONG,
        )
        for fault, told, most in (
            ("dies", "died", 4.0),
            ("hangs", "hung", 4.0),
            ("slow", "was slow", 4.0),
            ("rejects", "answered 503", 4.0),
        )
    )
    return (*failed, *alone, share, sent, *back)


def _overload() -> tuple[Criterion, ...]:
    fixed, adaptive, *_ = overload.VARIANTS
    return tuple(
        criterion
        for variant, least in ((fixed, 90.0), (adaptive, 70.0))
        for criterion in (
            Criterion(
                f"Goodput in the overload ({variant})",
                "",
                of_overload(variant, "% of capacity"),
                f"served within {overload.PATIENCE:g} s, from second {overload.SETTLED:g} of the overload on",
                "% of the capacity",
                at_least=least,
                needs=LONG,
            ),
            Criterion(
                f"All is well again ({variant})",
                "",
                of_overload(variant, "well again s"),
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
                of_stall(kind, "after s, longest"),
                f"the longest time from the last event; {told}, and the bound is {stall.GAP:g} s",
                "s",
                at_most=stall.GAP + 0.5,
            ),
            Criterion(
                f"Callers who know that a stream has stalled ({kind})",
                "",
                of_stall(kind, "learn %"),
                f"of {stall.STREAMS} streams, within {stall.PATIENCE:g} s",
                "%",
                at_least=100,
            ),
            Criterion(
                f"Places that stalled streams hold in the end ({kind})",
                "",
                of_stall(kind, "places held"),
                "streams open at the upstream",
                at_most=0,
            ),
        )
    )


def criteria() -> tuple[Criterion, ...]:
    return (*_endpoints(), *_overload(), *_stall())
