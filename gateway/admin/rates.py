"""Converts counters since the start into rates per second and latency percentiles."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, TypedDict

from gateway.admin.snapshot import LiveSnapshot, ProxyGauges, ProxySnapshot

WINDOW: Final = 5
"""Snapshots that one rate spans: a single second says little at a low request rate."""

_COUNTERS: Final = ("requests", "errors", "refused", "shadowed", "bytes_in", "bytes_out")


class ProxyRates(ProxyGauges):
    """Rates are per second, latencies in seconds; null where no value is known yet."""

    requests: float | None
    errors: float | None
    refused: float | None
    shadowed: float | None
    bytes_in: float | None
    bytes_out: float | None
    p50: float | None
    p95: float | None
    total: int
    """Requests since the gateway's start."""


class LiveRates(TypedDict):
    at: float
    reachable: bool
    generation: int
    proxies: dict[str, ProxyRates]


class Rates:
    """Remembers the last few snapshots."""

    def __init__(self) -> None:
        self._snapshots: deque[LiveSnapshot] = deque(maxlen=WINDOW + 1)

    def of(self, snapshot: LiveSnapshot) -> LiveRates:
        """``snapshot`` as rates, against the oldest that is remembered."""
        if self._snapshots and _restarted(self._snapshots[-1], snapshot):
            self._snapshots.clear()
        before = self._snapshots[0] if self._snapshots else None
        if snapshot["reachable"]:
            self._snapshots.append(snapshot)
        proxies = {name: _rates(now, *_since(before, snapshot, name)) for name, now in snapshot["proxies"].items()}
        return {
            "at": snapshot["at"],
            "reachable": snapshot["reachable"],
            "generation": snapshot["generation"],
            "proxies": proxies,
        }


def _restarted(before: LiveSnapshot, snapshot: LiveSnapshot) -> bool:
    """Whether a new worker counts from zero, or may do so soon."""
    was, now = before["proxies"], snapshot["proxies"]
    return not snapshot["reachable"] or any(now[n]["requests"] < was[n]["requests"] for n in was.keys() & now.keys())


def _since(before: LiveSnapshot | None, snapshot: LiveSnapshot, name: str) -> tuple[ProxySnapshot | None, float]:
    """The earlier snapshot of the proxy, and the seconds since; None without one to compare with."""
    was = before["proxies"].get(name) if before is not None else None
    seconds = snapshot["at"] - before["at"] if before is not None else 0.0
    if was is None or seconds <= 0:
        return None, 0.0
    return was, seconds


def _rates(now: ProxySnapshot, was: ProxySnapshot | None, seconds: float) -> ProxyRates:
    rates = {key: _rate(now, was, key, seconds) for key in _COUNTERS}
    p50, p95 = _latencies(now, was)
    return {
        "requests": rates["requests"],
        "errors": rates["errors"],
        "refused": rates["refused"],
        "shadowed": rates["shadowed"],
        "bytes_in": rates["bytes_in"],
        "bytes_out": rates["bytes_out"],
        "p50": p50,
        "p95": p95,
        "total": now["requests"],
        "in_flight": now["in_flight"],
        "limit": now["limit"],
        "waiting": now["waiting"],
        "queue_limit": now["queue_limit"],
        "streams": now["streams"],
        "breaker": now["breaker"],
        "breaker_since": now["breaker_since"],
        "breaker_history": now["breaker_history"],
        "pool_open": now["pool_open"],
        "pool_idle": now["pool_idle"],
    }


def _rate(now: Mapping[str, object], was: Mapping[str, object] | None, key: str, seconds: float) -> float | None:
    if was is None:
        return None
    new, old = now[key], was[key]
    assert isinstance(new, int)
    assert isinstance(old, int)
    return max(0.0, round((new - old) / seconds, 3))


def _latencies(now: ProxySnapshot, was: ProxySnapshot | None) -> tuple[float | None, float | None]:
    bounds, counts = now["latency"]["bounds"], now["latency"]["counts"]
    if was is None or was["latency"]["bounds"] != bounds:
        return None, None
    new = [max(0, count - before) for count, before in zip(counts, was["latency"]["counts"], strict=True)]
    return quantile(bounds, new, 0.5), quantile(bounds, new, 0.95)


def quantile(bounds: Sequence[float], counts: Sequence[int], part: float) -> float | None:
    """The value below which ``part`` of the observations lie, interpolated evenly in their bucket.

    A value above the last bound is reported as the last bound. None without any observation.
    """
    wanted = part * sum(counts)
    if not wanted:
        return None
    below = 0.0
    for index, bound in enumerate(bounds):
        if below + counts[index] >= wanted:
            lower = bounds[index - 1] if index else 0.0
            return round(lower + (bound - lower) * (wanted - below) / counts[index], 6)
        below += counts[index]
    return bounds[-1] if bounds else None
