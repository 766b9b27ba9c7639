from __future__ import annotations

from gateway.core.clock import Clock, monotonic


def test_the_real_clock_never_goes_back() -> None:
    clock: Clock = monotonic
    readings = [clock() for _ in range(1000)]
    assert readings == sorted(readings)
