"""The comparison under failures: figures are right, endpoints fail as they say, proxies accept their templates."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import aiohttp
import pytest
import yaml
from experiments.callers import Answer
from failures import hedges, overload, stall
from failures.criteria import NEVER, of_endpoint
from failures.endpoint import FAULTS, LATE, WORK, Endpoint
from failures.endpoints import PORTS, VARIANTS, Seen, trial
from failures.proxies import FOLDER, chosen, each_kind, installed, together
from failures.report import markdown, pictures, table
from harness.patience import eventually

from loadtest.peers.target import TARGETS, fill, found

RESULTS = Path(__file__).resolve().parents[2] / "loadtest/results/failures"
SHORT, OVERLOADED, HEDGED = 0.15, 0.25, 0.5
"""Factors on the durations of a trial."""


def seen(bad: list[float], others: list[float], answers: list[Answer] | None = None) -> Seen:
    """A fault from second 2 to second 10 of 15, with 10 requests a second and two endpoints."""
    made = answers or [Answer(number / 10, 0.02, 200) for number in range(150)]
    return Seen(made, [bad, others], 2.0, 10.0, 15.0, rate=10.0)


def every(step: float, begin: float, end: float) -> list[float]:
    return [begin + number * step for number in range(round((end - begin) / step))]


def test_figures_of_an_endpoint_that_is_left_alone_and_comes_back() -> None:
    figures = seen([*every(0.2, 0.0, 3.0), *every(0.2, 11.0, 15.0)], every(0.1, 0.0, 15.0)).figures()
    assert figures["at the bad one"] == 5
    assert figures["after it is known"] == 0
    assert figures["left alone s"] == pytest.approx(0.8)
    assert figures["share %"] == pytest.approx(100 * 5 / 85)
    assert figures["back s"] == pytest.approx(1.0)
    assert figures["requests sent for one"] == pytest.approx(85 / 80)


def test_figures_of_an_endpoint_that_is_never_left_alone_and_never_back() -> None:
    figures = seen(every(0.5, 0.0, 10.0), every(0.1, 0.0, 15.0)).figures()
    assert figures["left alone s"] is None
    assert figures["back s"] is None
    assert figures["after it is known"] == 8
    report = {"endpoints": {"hangs": {"gateway": {"figures": figures}}}}
    assert of_endpoint("hangs", "back s")(report) == NEVER


def test_what_the_kernel_refuses_is_not_counted() -> None:
    made = seen(every(0.2, 0.0, 2.0), every(0.1, 0.0, 15.0))
    made.seen = False
    figures = made.figures()
    assert figures["share %"] is figures["at the bad one"] is figures["requests sent for one"] is None
    assert figures["failed"] == 0


def test_failed_requests_are_those_of_the_whole_run_and_times_those_of_the_fault() -> None:
    answers = [
        Answer(1.0, 9.0, 0),
        *(Answer(2.0 + n / 100, 0.01 * (n + 1), 200) for n in range(100)),
        Answer(12, 1, 503),
    ]
    figures = seen([], [], answers).figures()
    assert (figures["failed"], figures["requests"]) == (2, 102)
    assert figures["p50 ms"] == pytest.approx(510)


@pytest.mark.parametrize(
    ("late", "expected"),
    [([], 0.0), ([14.5], 1.0), ([15.5, 17.2], 4.0), ([23.9], None)],
    ids=["at once", "the first second", "twice", "never"],
)
def test_all_is_well_again_when_no_later_second_is_bad(late: list[float], expected: float | None) -> None:
    answers = [
        Answer(14.0 + n / 10, 5.0 if any(int(at) == 14 + n // 10 for at in late) else 0.1, 200) for n in range(100)
    ]
    assert overload.well_again(answers, 14.0, 24.0) == expected


def test_goodput_counts_what_is_served_in_time() -> None:
    late = overload.PATIENCE + 0.1
    answers = [Answer(0.1, 0.2, 200), Answer(0.2, late, 200), Answer(0.3, 0.1, 429), Answer(1.0, 0.9, 200)]
    assert overload.goodput(answers, 2.0) == [(0.0, 1.0), (1.0, 1.0)]


def test_a_stream_that_ends_without_a_word_looks_complete() -> None:
    told, cut, whole = stall.Listener(), stall.Listener(), stall.Listener()
    for each in (told, cut, whole):
        each.data_received(stall.HEAD + stall.EVENT * 3)
    told.data_received(b"13\r\nevent: error\n\n\r\n")
    told.data_received(stall.http1.LAST)
    cut.connection_lost(None)
    whole.data_received(stall.http1.LAST)
    assert [each.looks_whole for each in (told, cut, whole)] == [False, False, True]
    figures = stall.figures([told, cut, whole, stall.Listener()], held=1, another=503)
    assert (figures["learn %"], figures["look complete"], figures["places held"]) == (75, 1, 1)


async def status(session: aiohttp.ClientSession, endpoint: Endpoint, path: str = "/") -> int:
    """0 when there is no response."""
    try:
        async with session.get(f"http://127.0.0.1:{endpoint.port}{path}") as response:
            return response.status
    except (aiohttp.ClientError, TimeoutError):
        return 0


@pytest.mark.parametrize(
    ("fault", "expected", "health"),
    [
        ("dies", 0, 0),
        ("hangs", 0, 0),
        ("slow", 200, 200),
        ("rejects", 503, 503),
        ("flaps", 0, 0),
        ("lies", 503, 200),
        ("hides", 0, 200),
    ],
)
async def test_an_endpoint_fails_as_it_says_and_is_well_again(fault: str, expected: int, health: int) -> None:
    patience = aiohttp.ClientTimeout(total=0.5)
    async with aiohttp.ClientSession(timeout=patience) as session, Endpoint() as endpoint:
        assert await status(session, endpoint) == 200
        failing = asyncio.create_task(FAULTS[fault].run(endpoint, 2.0))
        await asyncio.sleep(0)
        assert (await status(session, endpoint), await status(session, endpoint, "/health")) == (expected, health)
        assert endpoint.work > WORK or fault != "slow"
        await failing
        assert await status(session, endpoint) == 200
        came = 3 if fault not in ("dies", "flaps") else 2
        await eventually(lambda: len(endpoint.came) == came, "requests are counted, and health checks are not")


async def test_trials_end_together_with_the_one_that_fails() -> None:
    async def fails() -> None:
        raise OSError("not there")

    with pytest.raises(OSError, match="not there"):
        await together({"a": asyncio.Event().wait(), "b": fails()})  # type: ignore[dict-item]


async def test_kinds_run_one_after_the_other_and_their_variants_together(capsys: pytest.CaptureFixture[str]) -> None:
    running: list[tuple[str, str]] = []

    async def record(kind: str, variant: str, ready: asyncio.Barrier) -> str:
        running.append((kind, variant))
        await ready.wait()  # it would wait for ever if the others were not there
        return f"{kind} of {variant}"

    variants = chosen(VARIANTS, ["haproxy", "envoy"])
    assert variants == ["haproxy", "haproxy, no 503 retry", "envoy"]
    made = await each_kind({"dies": "one dies", "hangs": "one hangs"}, variants, record)
    assert made == {kind: {name: f"{kind} of {name}" for name in variants} for kind in ("dies", "hangs")}
    assert [kind for kind, _ in running] == ["dies"] * 3 + ["hangs"] * 3
    assert capsys.readouterr().out == "one dies\none hangs\n"


@pytest.mark.timeout(120)
async def test_a_gateway_leaves_an_endpoint_alone_that_lies_and_no_request_fails() -> None:
    made = await trial("gateway", FAULTS["lies"], SHORT, asyncio.Barrier(1))
    figures = made.figures()
    assert figures["requests"] == 360
    assert figures["failed"] == 0
    assert 1 <= figures["at the bad one"] <= 10


@pytest.mark.timeout(120)
async def test_an_overload_ends_with_its_demand_behind_a_limit_and_never_without() -> None:
    names, ready = ("gateway, fixed", "none"), asyncio.Barrier(2)
    made = await together({name: overload.trial(name, OVERLOADED, ready) for name in names})
    fixed, none = (made[name]["figures"] for name in names)
    assert fixed["most inside"] <= overload.CAPACITY
    assert fixed["% of capacity"] > 60
    assert none["% of capacity"] < 30
    assert fixed["well again s"] is not None
    assert none["well again s"] is None


@pytest.mark.timeout(120)
async def test_a_caller_knows_that_a_stream_has_only_comments_and_its_place_is_free() -> None:
    made = await stall.trial("gateway", "comments", 1.0, asyncio.Barrier(1))
    figures = made["figures"]
    assert figures["learn %"] == 100
    assert (figures["places held"], figures["another caller gets"]) == (0, 200)
    assert stall.GAP / 2 <= figures["after s, median"] < stall.PATIENCE


def test_figures_of_hedges_are_of_the_time_in_which_something_is_slow() -> None:
    answers = [Answer(1.0, 9.0, 503), *(Answer(2.0 + n / 10, 0.01 * (n + 1), 200 if n else 504) for n in range(100))]
    figures = hedges.figures(answers, [[1.0, 1.9], [2.0, 3.0] * 50, [4.0] * 20], 2.0)
    assert (figures["requests"], figures["failed"]) == (100, 1)
    assert figures["requests sent for one"] == pytest.approx(1.2)
    assert figures["p50 ms"] == pytest.approx(510)


async def test_of_an_endpoint_some_requests_are_late() -> None:
    async with Endpoint() as endpoint:
        endpoint.late_every = 3
        times = []
        for _ in range(6):
            endpoint.came.append(0.0)
            times.append(endpoint.seconds)
    assert times == [WORK, WORK, LATE] * 2


@pytest.mark.timeout(120)
async def test_hedges_hide_slow_requests_within_their_budget() -> None:
    """Where all are slow they are only load, which the budget bounds."""
    (first, _, none, *_), ready = hedges.VARIANTS, asyncio.Barrier(4)
    few, all_ = hedges.KINDS["few"], hedges.KINDS["all"]
    trials = {
        "few": hedges.trial(first, few, HEDGED, ready),
        "few, none": hedges.trial(none, few, HEDGED, ready),
        "all": hedges.trial(first, all_, HEDGED, ready),
        "all, none": hedges.trial(none, all_, HEDGED, ready),
    }
    found = {name: made["figures"] for name, made in (await together(trials)).items()}
    assert all(each["failed"] == 0 for each in found.values())
    assert found["few"]["p99 ms"] < found["few, none"]["p99 ms"]
    assert found["few, none"]["p99 ms"] >= LATE * 1e3
    least = found["all, none"]["requests sent for one"]  # above 1 where requests come late, on a machine that is busy
    assert 1.02 < found["few"]["requests sent for one"] < least + 0.25
    assert 1.1 < found["all"]["requests sent for one"] < least + 0.25


VALUES = {name: str(20000 + number) for number, name in enumerate(("PORT", "ADMIN", "ORIGIN", *PORTS))}
VALUES |= {"LIMIT": overload.FIXED, "QUEUE": "40", "CAPACITY": "8", "STREAMS": "20", "STATUSES": "503", "WORKERS": "1"}
VALUES |= {"ADAPTIVE": "true", "CONNECTIONS": "8", "AFTER": "p95", "HEDGES": "true", "TRY": "0.05s"}
CHECKS = {
    "haproxy.cfg": ("haproxy", "-c", "-f"),
    "nginx.conf": ("nginx", "-t", "-c"),
    "envoy.yaml": ("envoy", "--mode", "validate", "-c"),
}


@pytest.mark.parametrize("template", sorted(FOLDER.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_each_template_is_a_configuration(template: Path, tmp_path: Path) -> None:
    text = fill(template.read_text(), VALUES | {"WORK": str(tmp_path)})
    (tmp_path / template.name).write_text(text)
    if template.suffix == ".yaml":
        assert yaml.safe_load(text)
    if template.name not in CHECKS:
        return  # that of the gateway: the trials run with it
    program, *options = CHECKS[template.name]
    path = found(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run([path, *options, str(tmp_path / template.name)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_is_not_installed_is_left_out_with_a_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtest.peers.target.found", lambda program: None if program == "envoy" else program)
    monkeypatch.setattr(type(TARGETS["envoy"]), "installed_version", lambda _: "1.0")
    there, missing = installed()
    assert list(there) == ["gateway", "haproxy", "nginx"]
    assert "make peers installs it" in missing["envoy"]
    assert set(VARIANTS) >= set(there)


def test_the_best_of_a_column_stands_out() -> None:
    trials = {name: {"figures": {"failed": value}} for name, value in (("a", 3.0), ("b", 0.0), ("c", None))}
    assert list(table("proxy", {"failed": "failed"}, trials))[2:] == ["| a | 3 |", "| b | **0** |", "| c | - |"]


def test_the_report_and_its_pictures_are_made_from_the_figures() -> None:
    report = json.loads((RESULTS / "report.json").read_text())
    assert (RESULTS / "report.md").read_text() == markdown(report)
    assert {path.name: path.read_text() for path in RESULTS.glob("*.svg")} == pictures(report)
