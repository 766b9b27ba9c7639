"""An operator reads each problem once, and of each reload how it ended."""

from __future__ import annotations

import logging

import pytest

from gateway.config.records import Document
from gateway.control.composer import Composition
from gateway.control.memory_watch import MemoryWatch
from gateway.control.metrics.telemetry import Telemetry
from gateway.control.report import DATABASE_CHANGE, Report
from gateway.ipc.fleet import Fleet
from gateway.observe.counters import CounterMap
from gateway.workers.roster import Roster


@pytest.fixture
def telemetry() -> Telemetry:
    plane, roster = Fleet([], dict), Roster(1)
    return Telemetry([CounterMap()], plane, roster, MemoryWatch(plane, roster, lambda: 0))


@pytest.fixture
def report(telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> Report:
    caplog.set_level(logging.INFO, "gateway")
    return Report(telemetry)


def composition(unusable: dict[str, str], *warnings: str) -> Composition:
    return Composition(Document(), unusable, frozenset(warnings))


def test_a_problem_is_logged_once_until_it_was_fixed(report: Report, caplog: pytest.LogCaptureFixture) -> None:
    for made in (composition({"a": "a is bad"}, "w"), composition({"a": "a is bad"}, "w", "v"), composition({})):
        report.composed(made)
    assert caplog.messages == ["left out, the others are served: a is bad", "w", "v"]
    report.composed(composition({"a": "a is bad"}, "w"))
    assert caplog.messages[3:] == ["left out, the others are served: a is bad", "w"]


def test_a_reload_has_one_line(report: Report, caplog: pytest.LogCaptureFixture) -> None:
    report.reloaded("file change", "", 2)
    report.reloaded("SIGHUP", "no such key", 2)
    assert report.error == "no such key"
    report.reloaded("file change", "", 2)
    assert report.error == ""
    assert caplog.messages == [
        "configuration 2 applied (file change)",
        "SIGHUP rejected, configuration 2 stays active:\nno such key",
        "configuration 2 stays active (file change, nothing has changed)",
    ]


def test_a_change_of_the_database_that_changes_nothing_served_is_not_logged(
    report: Report, caplog: pytest.LogCaptureFixture
) -> None:
    report.reloaded(DATABASE_CHANGE, "", 1)
    assert not caplog.messages


async def test_what_was_applied_or_refused_is_counted(report: Report, telemetry: Telemetry) -> None:
    report.reloaded("file change", "", 2)
    report.reloaded("file change", "bad", 2)
    report.reloaded("SIGHUP", "bad", 2)
    report.reloaded("file change", "", 2)
    text = await telemetry.metrics(open_metrics=False)
    assert 'gateway_reloads_total{result="ok"} 1\n' in text
    assert 'gateway_reloads_total{result="failed"} 2\n' in text
