from __future__ import annotations

import logging

import pytest
from unit.scene import Clock

from gateway.core.limits import Limits
from gateway.proxy import shedding
from gateway.proxy.shedding import Shedding, resident

MIB = 1 << 20


class Scene:
    def __init__(self, **limits: object) -> None:
        self.clock = Clock()
        self.size = 0
        self.looks = 0
        self.made = Shedding(self._look, self.clock)
        self.made.configure(Limits(**limits))  # type: ignore[arg-type]

    def _look(self) -> int:
        self.looks += 1
        return self.size

    def lags(self, lag: float, times: int = 10) -> None:
        for _ in range(times):
            self.clock.now += 0.1
            self.made.on_lag(lag)


def test_the_memory_of_this_process_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    assert resident() > MIB
    monkeypatch.setattr(shedding, "_STATM", shedding._STATM.with_name("gone"))
    assert resident() == 0


def test_without_limits_nothing_is_measured() -> None:
    scene = Scene()
    scene.lags(60.0)
    assert (scene.made.share, scene.looks) == (0.0, 0)


def test_the_memory_is_looked_at_once_a_second_and_only_where_it_is_limited() -> None:
    scene = Scene(shed_loop_lag=0.5)
    scene.lags(0.0, 30)
    assert scene.looks == 0
    scene.made.configure(Limits(shed_memory=100 * MIB))
    scene.size = 105 * MIB
    scene.lags(0.0, 30)
    assert scene.looks in (3, 4)
    assert scene.made.share == pytest.approx(0.5)


def test_the_log_says_when_it_begins_and_ends(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway")
    scene = Scene(shed_loop_lag=0.5)
    scene.lags(0.7)
    assert scene.made.share > 0.3
    scene.lags(0.0, 100)
    assert scene.made.share == 0.0
    begin, end = caplog.messages
    assert begin == (
        "overloaded: a share of the new requests is refused (503 overloaded), because of limits.shed_loop_lag; "
        "the event loop is 0.70 s late, the memory is 0 MiB"
    )
    assert end == "overloaded no longer: no new request is refused for it"


def test_shadow_mode_says_so_and_has_no_share(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway")
    scene = Scene(shed_loop_lag=0.5, shed_mode="shadow")
    scene.lags(0.7)
    assert (scene.made.share, scene.made.overload.share > 0.3) == (0.0, True)
    assert "would be refused, were it not in shadow mode" in caplog.text
    scene.made.configure(Limits())
    assert scene.made.overload.share == 0.0
    assert "no longer" in caplog.messages[-1]
