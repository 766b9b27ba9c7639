"""What becomes of what was measured: medians, ratios, tables, verdicts; and docs/peers.md says what the file says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from meta.sources import ROOT

from loadtest.peers import report
from loadtest.peers.record import Record, Sample

MACHINE = {"processor": "a processor", "cores": "2", "memory": "4 GiB", "kernel": "Linux 6", "python": "3.11.7"}
PAGE = (ROOT / "docs/peers.md").read_text()
RAW = ROOT / "loadtest/results/peers/raw.json"


def record(*samples: Sample, **other: dict[str, str]) -> Record:
    fields = {"versions": {"gateway": "1", "haproxy": "2"}, "missing": {}, "differences": {}} | other
    return Record("2026-01-02", "abc", MACHINE, 0.1, 3, 4, samples=list(samples), **fields)


def costs(case: str, **by_target: list[float]) -> list[Sample]:
    """CPU of each target in each round."""
    return [
        Sample(case, target, number, {"cpu_us": value})
        for target, values in by_target.items()
        for number, value in enumerate(values, 1)
    ]


def test_a_ratio_is_the_median_of_those_within_rounds() -> None:
    """The machine was slow in the second round, for both; ratios of medians would say 1.5."""
    run = record(*costs("get", gateway=[40, 90, 30], haproxy=[20, 60, 10]))
    assert run.figure("get", "gateway", "cpu_us") == 40
    assert run.ratio("get", "gateway", "cpu_us") == 2
    assert run.spread("get", "gateway", "cpu_us") == (30, 90)


def test_a_round_that_failed_counts_for_nothing() -> None:
    failed = Sample("get", "haproxy", 2, error="PeerError: it did not listen")
    run = record(*costs("get", gateway=[40, 50], haproxy=[20]), failed)
    assert run.ratio("get", "gateway", "cpu_us") == 2
    assert run.ratio("get", "nginx", "cpu_us") is None
    assert "- haproxy, get, round 2: PeerError: it did not listen." in report.remarks(run)


def test_a_cell_tells_failed_from_not_tried() -> None:
    row = next(row for row in report.ROWS if row.case == "get")
    run = record(*costs("get", gateway=[46], haproxy=[20]), Sample("get", "envoy", 1, error="no"))
    cells = [report.cell(run, row, target) for target in ("gateway", "haproxy", "envoy", "caddy")]
    assert cells == ["46.0 (2.30 x)", "20.0 (1.00 x)", "failed", "-"]


@pytest.mark.parametrize(
    ("ours", "word"), [(50.0, "Each budget that was measured is held."), (50.1, "Missed: CPU of a small GET")]
)
def test_the_verdict_follows_the_figures(ours: float, word: str) -> None:
    run = record(*costs("get", gateway=[ours], haproxy=[20], envoy=[200], caddy=[101]))
    told = report.verdict(run)
    assert word in told
    assert re.search(r"less CPU than envoy \(\S+ x ours\), caddy .* more CPU than haproxy \(0\.40 x ours\)\.", told)


def test_who_did_not_answer_every_request_is_not_compared() -> None:
    failing = Sample("get", "litellm", 1, {"cpu_us": 9000, "errors": 7})
    run = record(*costs("get", gateway=[40], haproxy=[20], envoy=[100]), failing)
    assert "litellm" not in report.verdict(run)
    assert "- litellm, get: 7 requests failed (median of the rounds)." in report.remarks(run)


def test_budgets_that_ask_for_at_least_are_missed_below() -> None:
    run = record(*costs("get", gateway=[50], compiled=[40], haproxy=[20], envoy=[99], caddy=[100]))
    lines = [line for line in report.budgets(run) if "ours" in line]
    assert ["MISSED" in line for line in lines] == [True, False, False]
    assert "| not measured |" in report.budgets(run)[-1]


def test_budgets_of_http2_are_checked() -> None:
    run = record(*costs("h2x8", gateway=[22], haproxy=[10], envoy=[20]), *costs("h2up", gateway=[25.1]))
    run.samples.append(Sample("memoryh2", "gateway", 1, {"connection_kib": 40.0}))
    told = [line for line in report.budgets(run)[2:] if "not measured" not in line]
    assert [line.rsplit("|", 2)[1].strip() for line in told] == ["held", "MISSED", "MISSED", "held"]
    assert [line.split("|")[3].strip() for line in told] == ["2.20 x", "1.10 x", "3.10 us", "40.00 KiB"]


def test_a_busy_machine_is_told() -> None:
    run = record(*costs("get", gateway=[50], haproxy=[20]))
    assert "do not trust" not in report.page(run)
    run.load = 0.51
    assert "do not trust" in report.page(run)


def test_lost_log_lines_and_failed_requests_are_told() -> None:
    figures = {"cpu_us": 1.0, "errors": 7.0, "log_lines_per_request": 0.5}
    told = report.remarks(record(Sample("get", "caddy", 1, figures), missing={"kong": "it is not there"}))
    assert told == [
        "- kong was not measured: it is not there.",
        "- caddy, get: 7 requests failed (median of the rounds).",
        "- caddy, get: 0.50 log lines a request.",
    ]


def test_a_record_comes_back_from_its_file(tmp_path: Path) -> None:
    run = record(*costs("get", gateway=[1.5, 2.25]), Sample("memory", "gateway", 1, error='"no"\\'))
    run.save(tmp_path / "deep" / "raw.json")
    assert Record.load_from(tmp_path / "deep" / "raw.json") == run


def test_the_region_is_replaced_and_nothing_else() -> None:
    region = report.page(record(*costs("get", gateway=[1], haproxy=[1])))
    once = report.put_into(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", region)
    assert once == f"before\n{region}\nafter\n"
    assert report.put_into(once, region) == once
    for broken in ("no marks", report.BEGIN, report.END + report.BEGIN, (report.BEGIN + report.END) * 2):
        with pytest.raises(ValueError, match="are needed"):
            report.put_into(broken, region)


def test_the_page_says_what_was_measured() -> None:
    """Without figures there is no table; with them it is the one that follows from the file."""
    assert (report.BEGIN in PAGE) == RAW.is_file()
    if RAW.is_file():
        run = Record.load_from(RAW)
        assert report.put_into(PAGE, report.page(run)) == PAGE, "run: make peers-table"
        assert (RAW.with_name("report.md")).read_text() == report.report(run), "run: make peers-table"
