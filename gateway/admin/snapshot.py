"""What all proxies do at a moment, as the live view and the metrics of each proxy are made from."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TypedDict

from gateway.ipc.messages import Transition


class Latency(TypedDict):
    """A histogram: ``counts`` has one more than ``bounds``, for what was slower than the last of them."""

    bounds: list[float]
    counts: list[int]


class ProxyGauges(TypedDict):
    """How a proxy stands at a moment."""

    in_flight: int
    limit: int
    """0: none."""
    waiting: int
    queue_limit: int
    streams: int
    breaker: str
    """closed, open, half_open or off"""
    breaker_since: float
    """Seconds of the epoch; 0 when it has been so from the start."""
    breaker_history: list[Transition]
    """Oldest first."""
    pool_open: int
    pool_idle: int


class ProxySnapshot(ProxyGauges):
    """How a proxy stands, and counters of what it did since the gateway's start."""

    requests: int
    errors: int
    """What failed at the upstream or in the gateway, answers of the upstream's own of 500 and above included."""
    refused: int
    """What the gateway turned away."""
    shadowed: int
    """What would have been refused, were the protection enforced."""
    latency: Latency
    bytes_in: int
    bytes_out: int


class LiveSnapshot(TypedDict):
    at: float
    """Seconds of the epoch."""
    reachable: bool
    """False while the worker can not be asked; there are no proxies then."""
    generation: int
    proxies: Mapping[str, ProxySnapshot]


def unreachable(generation: int = 0) -> LiveSnapshot:
    """What is told while nobody can be asked."""
    return {"at": time.time(), "reachable": False, "generation": generation, "proxies": {}}
