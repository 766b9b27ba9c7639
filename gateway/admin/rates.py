"""Counters since the start become what a person reads: so many a second, half of them faster than so long."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, TypedDict

from gateway.admin.live import ProxyPulse, Pulse, Standing

WINDOW: Final = 5
"""Pulses that one figure looks back over: a single second says little where little is asked."""

_COUNTERS: Final = ("requests", "errors", "refused", "shadowed", "bytes_in", "bytes_out")


class ProxyFigures(Standing):
    """Rates are per second, latencies in seconds; null where nothing is known yet."""

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


class Figures(TypedDict):
    at: float
    reachable: bool
    generation: int
    proxies: dict[str, ProxyFigures]


class Rates:
    """Remembers the last few pulses."""

    def __init__(self) -> None:
        self._pulses: deque[Pulse] = deque(maxlen=WINDOW + 1)

    def of(self, pulse: Pulse) -> Figures:
        """``pulse`` as figures, against the oldest that is remembered."""
        if self._pulses and _anew(self._pulses[-1], pulse):
            self._pulses.clear()
        before = self._pulses[0] if self._pulses else None
        if pulse["reachable"]:
            self._pulses.append(pulse)
        proxies = {name: _figures(now, *_since(before, pulse, name)) for name, now in pulse["proxies"].items()}
        return {
            "at": pulse["at"],
            "reachable": pulse["reachable"],
            "generation": pulse["generation"],
            "proxies": proxies,
        }


def _anew(before: Pulse, pulse: Pulse) -> bool:
    """Whether another worker counts from nothing, or may do so soon."""
    was, now = before["proxies"], pulse["proxies"]
    return not pulse["reachable"] or any(now[n]["requests"] < was[n]["requests"] for n in was.keys() & now.keys())


def _since(before: Pulse | None, pulse: Pulse, name: str) -> tuple[ProxyPulse | None, float]:
    """The proxy as it was, and the seconds since; None where there is nothing to compare with."""
    was = before["proxies"].get(name) if before is not None else None
    seconds = pulse["at"] - before["at"] if before is not None else 0.0
    if was is None or seconds <= 0:
        return None, 0.0
    return was, seconds


def _figures(now: ProxyPulse, was: ProxyPulse | None, seconds: float) -> ProxyFigures:
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


def _latencies(now: ProxyPulse, was: ProxyPulse | None) -> tuple[float | None, float | None]:
    bounds, counts = now["latency"]["bounds"], now["latency"]["counts"]
    if was is None or was["latency"]["bounds"] != bounds:
        return None, None
    new = [max(0, count - before) for count, before in zip(counts, was["latency"]["counts"], strict=True)]
    return quantile(bounds, new, 0.5), quantile(bounds, new, 0.95)


def quantile(bounds: Sequence[float], counts: Sequence[int], part: float) -> float | None:
    """The value below which ``part`` of the observations lie, as if they lay evenly in their bucket.

    What is slower than the last bound is told as the last bound. None without any observation.
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
