from __future__ import annotations

import pytest

from gateway.policy.overload import FALL_SECONDS, MOST_AT_ONCE, Overload

LIMIT, MEMORY = 0.5, 1000
TICK = 0.1


class Scene:
    """A machine that is measured every `TICK` seconds."""

    def __init__(self, lag_limit: float = LIMIT, memory_limit: int = 0, *, shadow: bool = False) -> None:
        self.now = 100.0
        self.machine = Overload()
        self.machine.configure(lag_limit, memory_limit, shadow=shadow)
        self.machine.measure(self.now, 0.0, 0)

    def after(self, seconds: float, lag: float = 0.0, memory: int = 0) -> float:
        """The share when it has been so for so long."""
        for _ in range(round(seconds / TICK)):
            self.now += TICK
            self.machine.measure(self.now, lag, memory)
        return self.machine.share

    def jump(self, seconds: float, lag: float) -> float:
        self.now += seconds
        self.machine.measure(self.now, lag, 0)
        return self.machine.share


def test_without_a_limit_nothing_is_refused() -> None:
    scene = Scene(0.0)
    assert scene.after(10.0, 60.0, 1 << 40) == 0.0
    assert scene.machine.cause == ""
    assert not any(scene.machine.refuses() for _ in range(100))


def test_the_share_rises_while_the_loop_is_late_and_falls_when_it_is_calm() -> None:
    scene = Scene()
    assert scene.after(1.0, LIMIT) == 0.0, "at the limit it is not above it"
    assert scene.after(1.0, 2 * LIMIT) == pytest.approx(0.5)
    assert scene.machine.cause == "shed_loop_lag"
    assert scene.after(5.0, LIMIT) == pytest.approx(0.5), "it stays, so that it does not swing"
    assert scene.after(5.0, LIMIT / 2) == pytest.approx(0.5)
    assert scene.after(9.0, 2 * LIMIT) == 1.0
    assert scene.after(FALL_SECONDS / 2, LIMIT / 4) == pytest.approx(0.5)
    assert scene.after(FALL_SECONDS, 0.0) == 0.0
    assert scene.machine.cause == ""


def test_one_long_pause_is_one_step() -> None:
    scene = Scene()
    assert scene.jump(3600.0, 3599.9) == MOST_AT_ONCE
    assert scene.after(2.0) == 0.0


def test_the_first_measurement_has_no_past() -> None:
    machine = Overload()
    machine.configure(LIMIT, 0, shadow=False)
    machine.measure(1e6, 60.0, 0)
    assert machine.share == 0.0


@pytest.mark.parametrize(("memory", "share"), [(0, 0.0), (1000, 0.0), (1050, 0.5), (1100, 1.0), (5000, 1.0)])
def test_the_share_is_how_far_the_memory_is_above_its_limit(memory: int, share: float) -> None:
    scene = Scene(0.0, MEMORY)
    assert scene.after(TICK, 60.0, memory) == pytest.approx(share)
    assert scene.machine.cause == ("shed_memory" if share else "")
    assert scene.after(TICK, 60.0, 0) == 0.0


def test_the_larger_share_counts() -> None:
    scene = Scene(LIMIT, MEMORY)
    assert scene.after(1.0, 2 * LIMIT, 1020) == pytest.approx(0.5)
    assert scene.machine.cause == "shed_loop_lag"
    assert scene.after(TICK, LIMIT, 1080) == pytest.approx(0.8)
    assert scene.machine.cause == "shed_memory"


def test_limits_change_in_place() -> None:
    scene = Scene(LIMIT, MEMORY)
    scene.after(1.0, 2 * LIMIT, 1020)
    scene.machine.configure(2 * LIMIT, MEMORY, shadow=True)
    assert (scene.machine.share, scene.machine.shadow) == (pytest.approx(0.5), True)
    scene.machine.configure(0.0, MEMORY, shadow=False)
    assert scene.after(TICK, 9.0, 1020) == pytest.approx(0.2)
    scene.machine.configure(0.0, 0, shadow=False)
    assert (scene.machine.share, scene.machine.cause) == (0.0, "")


@pytest.mark.parametrize(("seconds", "retry_after"), [(0.4, 1), (1.0, 3), (5.0, 5)])
def test_retry_after_is_the_time_until_the_share_is_gone(seconds: float, retry_after: int) -> None:
    scene = Scene()
    scene.after(seconds, 2 * LIMIT)
    assert scene.machine.retry_after() == retry_after


def test_refusals_are_spread_evenly() -> None:
    scene = Scene()
    assert scene.jump(1.0, 2 * LIMIT) == 0.25
    assert [scene.machine.refuses() for _ in range(8)] == [False, False, False, True] * 2


class Server:
    """Serves ``capacity`` a second, and a refusal costs a tenth of a request. It is late by what is left to do."""

    def __init__(self, capacity: float) -> None:
        self.capacity = capacity
        self.left = 0.0
        self.served = 0.0

    def during(self, seconds: float, offered: float, share: float) -> float:
        self.left += seconds * offered * (1 - share + 0.1 * share)
        done = min(self.left, seconds * self.capacity)
        self.served += done - min(done, seconds * offered * 0.1 * share)
        self.left -= done
        return self.left / self.capacity


@pytest.mark.parametrize("load", [1.5, 3.0, 6.0])
def test_under_a_lasting_overload_the_loop_stays_near_its_limit_and_is_busy(load: float) -> None:
    scene, server = Scene(), Server(1000.0)
    lags = []
    for tick in range(600):
        lags.append(server.during(TICK, load * server.capacity, scene.machine.share))
        scene.after(TICK, lags[-1])
        if tick == 300:
            begin = server.served
    settled = lags[300:]
    assert max(settled) < 3 * LIMIT
    assert server.served - begin > 30.0 * server.capacity * (1 - 0.1 * load) * 0.75, "it is not idle"
    for _ in range(100):
        scene.after(TICK, server.during(TICK, 0.5 * server.capacity, scene.machine.share))
    assert scene.machine.share == 0.0, "the load is gone"
