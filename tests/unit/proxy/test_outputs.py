"""The access log that stays, the one that comes, and the one that was opened in vain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.observe.counters import CounterMap
from gateway.observe.metrics import Metrics
from gateway.observe.recent_requests import Recent
from gateway.observe.recorder import ExchangeRecorder
from gateway.proxy.outputs import Outputs


@pytest.fixture
async def recorder() -> ExchangeRecorder:
    return ExchangeRecorder(Metrics(CounterMap()), Recent())


@pytest.fixture
async def outputs(recorder: ExchangeRecorder) -> AsyncIterator[Outputs]:
    made = Outputs(recorder)
    yield made
    await made.aclose()


async def test_the_log_of_the_same_path_stays_open(
    outputs: Outputs, recorder: ExchangeRecorder, tmp_path: Path
) -> None:
    first = outputs.open(str(tmp_path / "a"))
    outputs.use(first, None)
    assert recorder.writer is first
    assert outputs.open(str(tmp_path / "a")) is first
    outputs.drop(first)
    assert first is not None
    assert not first.done, "it is in use"
    assert outputs.open(None) is None


async def test_what_was_opened_in_vain_is_closed(outputs: Outputs, tmp_path: Path) -> None:
    outputs.use(outputs.open(str(tmp_path / "a")), None)
    second = outputs.open(str(tmp_path / "b"))
    outputs.drop(second)
    assert second is not None
    assert second.done


async def test_a_log_that_cannot_be_opened_is_a_sentence(outputs: Outputs, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"access_log\.path: "):
        outputs.open(str(tmp_path / "no folder" / "a"))


async def test_a_rotated_file_is_opened_again(outputs: Outputs, tmp_path: Path) -> None:
    outputs.reopen()  # without a log there is nothing to do
    file = tmp_path / "a"
    outputs.use(outputs.open(str(file)), None)
    file.rename(tmp_path / "a.1")
    outputs.reopen()
    assert file.exists()
    (tmp_path / "a").unlink()
    file.mkdir()
    outputs.reopen()  # logged, and the old one stays
