"""The gate on the hot path: what callgrind writes is read, and what became dearer is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from meta.sources import ROOT

from loadtest.micro import gate, hot_path
from loadtest.micro.counted import ROUNDS
from loadtest.micro.instructions import account, accounts, per_unit


def test_accounts_are_read_in_order(tmp_path: Path) -> None:
    for number in range(1, 12):
        (tmp_path / f"out.{number}").write_text(f"events: Ir\nfn=(1) f\n1 5\n\ntotals: {number}\n")
    assert accounts(tmp_path) == list(range(1, 12))
    with pytest.raises(ValueError, match="without totals"):
        account("version: 1\n")


def test_what_a_run_costs_once_and_what_happens_now_and_then_drops_out() -> None:
    """A run costs 1,000 once and 7 a unit; a timer fires in the first of five rounds."""
    calm, hiccup = [9, 1_000 + 7 * 10, 9, 1_000 + 7 * 20], [9, 1_000 + 7 * 10, 9, 1_000 + 7 * 20 + 500]
    assert per_unit(hiccup + calm * (ROUNDS - 1), {"work": 10}) == {"work": 7}
    with pytest.raises(ValueError, match="accounts instead of"):
        per_unit(calm, {"work": 10})


def test_dearer_is_more_than_the_tolerance() -> None:
    recorded = {"a": 100.0, "b": 100.0, "c": 100.0}
    assert gate.dearer({"a": 102.9, "b": 103.1, "c": 50.0}, recorded) == ["b"]
    assert gate.dearer({"new": 1.0}, recorded) == ["new"]
    words = {name: word for name, *_, word in gate.rows({"a": 100.0, "b": 103.1, "c": 50.0}, recorded)[1:]}
    assert words == {"a": "ok", "b": "DEARER", "c": "cheaper: record it"}


def test_a_record_has_each_workload() -> None:
    for version, entry in json.loads(gate.RECORD.read_text()).items():
        assert entry["python"].startswith(f"{version}.")
        assert entry["ratios"].keys() == hot_path.WORKLOADS.keys()
        assert gate.ratios(entry["instructions"]) == pytest.approx(entry["ratios"], rel=1e-3)


def test_without_valgrind_the_check_says_how_to_get_it() -> None:
    command = [sys.executable, "-m", "loadtest.micro.gate", "record"]
    done = subprocess.run(command, cwd=ROOT, env={"PATH": ""}, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "apt-get install valgrind" in done.stderr


async def test_every_dialogue_goes_through_the_real_path() -> None:
    """Each exchange comes to its end; one more is done than none."""
    async with hot_path.rehearsal() as stage:
        for dialogue in hot_path.DIALOGUES.values():
            await stage.run(dialogue, 3)
        assert stage.downstream is not None


def test_the_head_of_a_stream_is_not_its_end() -> None:
    """Else an exchange counts twice, and others run on beside those that are measured."""
    assert hot_path.STREAM.ends_with(b"0\r\n\r\n")
    assert not hot_path.STREAM.ends_with(b"HTTP/1.1 200 OK\r\nX-Request-ID: ab0\r\n\r\n")
    assert hot_path.GET.ends_with(b"HTTP/1.1 200 OK\r\n\r\nxxxxx")


async def test_a_shared_limit_is_taken_and_given_back() -> None:
    page = hot_path.shared()
    async with hot_path.rehearsal(stores=page) as stage:
        await stage.run(hot_path.GET, 3)
        limit = page.permits("p")
        assert (limit.arrived, limit.in_flight, limit.taken) == (3, 0, 1)
