"""The state of all proxies at one moment: the source of the live view and of the metrics of each proxy."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TypedDict

from gateway.ipc.messages import Transition


class Latency(TypedDict):
    """A histogram: ``counts`` has one more than ``bounds``, for values above the last bound."""

    bounds: list[float]
    counts: list[int]


class ProxyGauges(TypedDict):
    """The state of a proxy at one moment."""

    in_flight: int
    limit: int
    """0: none."""
    waiting: int
    queue_limit: int
    streams: int
    breaker: str
    """closed, open, half_open or off"""
    breaker_since: float
    """Seconds of the epoch; 0 when unchanged since the start."""
    breaker_history: list[Transition]
    """Oldest first."""
    pool_open: int
    pool_idle: int


class ProxySnapshot(ProxyGauges):
    """The state of a proxy, and its counters since the gateway's start."""

    requests: int
    errors: int
    """Failures at the upstream or in the gateway, including the upstream's own responses of 500 and above."""
    refused: int
    """Requests that the gateway refused."""
    shadowed: int
    """Requests that an enforced protection would have refused."""
    latency: Latency
    bytes_in: int
    bytes_out: int


class LiveSnapshot(TypedDict):
    at: float
    """Seconds of the epoch."""
    reachable: bool
    """False while the worker cannot be reached; there are no proxies then."""
    generation: int
    proxies: Mapping[str, ProxySnapshot]


def unreachable(generation: int = 0) -> LiveSnapshot:
    """The snapshot while the worker cannot be reached."""
    return {"at": time.time(), "reachable": False, "generation": generation, "proxies": {}}
