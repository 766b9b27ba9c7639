"""What the clients saw, by the second of the intended start, and through a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from load.record import Record


def test_latency_counts_from_the_intended_start_and_service_from_the_real_one(tmp_path: Path) -> None:
    record = Record()
    record.add("answer", "200", intended=10.9, began=11.4, ended=11.9)
    (second,) = record.kinds["answer"].values()
    assert list(record.kinds["answer"]) == [10]
    assert second.latency.longest == pytest.approx(1.0, rel=0.011)
    assert second.service.longest == pytest.approx(0.5, rel=0.011)
    assert second.late.longest == pytest.approx(0.5, rel=0.011)


def test_only_good_answers_have_a_latency_and_all_are_counted() -> None:
    record = Record()
    for outcome in ("200", "429", "timeout", "200"):
        record.add("answer", outcome, 1.0, 1.0, 1.5)
    second = record.kinds["answer"][1]
    assert second.outcomes == {"200": 2, "429": 1, "timeout": 1}
    assert (second.good, second.total, len(second.latency), len(second.late)) == (2, 4, 2, 4)


def test_a_file_keeps_everything(tmp_path: Path) -> None:
    record = Record()
    record.add("answer", "200", 1.0, 1.1, 1.5)
    record.add("answer", "reset", 2.0, 2.0, 2.0)
    record.add("stream", "left", 2.0, 2.0, 9.0)
    record.save(tmp_path / "record.jsonl")
    again = Record.load(tmp_path / "record.jsonl")
    assert again.kinds["answer"][1].latency.counts == record.kinds["answer"][1].latency.counts
    assert {kind: {n: s.outcomes for n, s in seconds.items()} for kind, seconds in again.kinds.items()} == {
        "answer": {1: {"200": 1}, 2: {"reset": 1}},
        "stream": {2: {"left": 1}},
    }
