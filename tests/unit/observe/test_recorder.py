from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from harness.patience import eventually
from unit.scene import exchange

from gateway.control.metrics.exposition import Exposition
from gateway.core.exchange import Exchange
from gateway.observe import families
from gateway.observe.counters import CounterMap
from gateway.observe.line_writer import LineWriter
from gateway.observe.metrics import Metrics
from gateway.observe.recent_requests import Recent
from gateway.observe.recorder import ExchangeRecorder


@pytest.fixture
def counters() -> CounterMap:
    return CounterMap()


@pytest.fixture
def recorder(counters: CounterMap) -> ExchangeRecorder:
    metrics = Metrics(counters)
    metrics.retain(["p", "q"])
    return ExchangeRecorder(metrics, Recent())


def text(counters: CounterMap) -> str:
    return "".join(Exposition(counters).render(open_metrics=False))


async def leave(ex: Exchange) -> None:
    ex.reason = "client_gone"
    raise asyncio.CancelledError


async def fine(ex: Exchange) -> None:
    ex.status = 204


async def test_it_tells_of_everything_whatever_happens(
    tmp_path: Path, counters: CounterMap, recorder: ExchangeRecorder
) -> None:
    recorder.replace_writer(LineWriter(str(tmp_path / "log")))
    with pytest.raises(asyncio.CancelledError):
        await recorder.observe("p")(leave)(exchange())
    await recorder.observe("q")(fine)(exchange())
    await eventually(lambda: (tmp_path / "log").read_bytes().count(b"\n") == 2, "by itself, a moment later")
    records = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [(r["proxy_name"], r["status_code"], r["reason"]) for r in records] == [
        ("p", 499, "client_gone"),
        ("q", 204, ""),
    ]
    shown = text(counters)
    assert 'gateway_requests_total{proxy="p",method="GET",status="499"} 1' in shown
    assert 'gateway_errors_total{proxy="p",reason="client_gone",source="downstream"} 1' in shown
    assert 'gateway_requests_total{proxy="q",method="GET",status="204"} 1' in shown
    recorder.close()


async def test_no_body_waits_with_the_batch(recorder: ExchangeRecorder) -> None:
    ex = exchange()
    ex.body = b"x" * 1000
    await recorder.observe("q")(fine)(ex)
    assert ex.body is None
    recorder.close()


async def full_batch(recorder: ExchangeRecorder, target: bytes = b"/") -> None:
    for _ in range(256):
        ex = exchange()
        ex.request.target = target
        await recorder.observe("q")(fine)(ex)


async def turns_until_counted(counters: CounterMap) -> int:
    """Turns of the event loop."""
    for turn in range(256):
        if 'status="204"} 256' in text(counters):
            return turn
        await asyncio.sleep(0)
    raise AssertionError("nothing was counted")


async def test_a_full_batch_is_described_a_slice_a_turn(counters: CounterMap, recorder: ExchangeRecorder) -> None:
    """A whole one takes milliseconds when the paths are long, and everybody would wait for it."""
    await full_batch(recorder)
    assert 4 <= await turns_until_counted(counters) <= 16
    recorder.close()


async def test_a_batch_that_is_described_in_part_can_be_finished_at_once(
    counters: CounterMap, recorder: ExchangeRecorder
) -> None:
    await full_batch(recorder)
    await asyncio.sleep(0)
    await recorder.observe("q")(fine)(exchange())
    recorder.flush()
    assert 'status="204"} 257' in text(counters)
    for _ in range(16):  # what was planned for the next turns finds nothing
        await asyncio.sleep(0)
    assert 'status="204"} 257' in text(counters)
    recorder.close()


async def test_a_second_full_batch_finishes_the_first(counters: CounterMap, recorder: ExchangeRecorder) -> None:
    await full_batch(recorder)
    await full_batch(recorder)
    assert 'status="204"} 256' in text(counters)
    recorder.flush()
    assert 'status="204"} 512' in text(counters)
    recorder.close()


class Portions(LineWriter):
    """Notes how many lines it is given at a time."""

    def __init__(self) -> None:
        super().__init__("/dev/null")
        self.sizes: list[int] = []

    def write(self, lines: Sequence[bytes]) -> None:
        self.sizes.append(len(lines))


@pytest.mark.interpreted
@pytest.mark.parametrize(("target", "portions"), [(b"/", 4), (b"/" + b"p" * 2000, 8)], ids=["short", "long"])
async def test_long_lines_are_handed_over_in_portions(recorder: ExchangeRecorder, target: bytes, portions: int) -> None:
    """The thread that writes takes the processor, and Python, for as long as it has lines."""
    writer = Portions()
    recorder.replace_writer(writer)
    await full_batch(recorder, target)
    recorder.flush()
    assert sum(writer.sizes) == 256
    assert len(writer.sizes) <= portions
    assert (max(writer.sizes) == 32) == (portions == 8)
    recorder.close()


async def test_without_a_log_only_what_failed_is_kept(counters: CounterMap) -> None:
    metrics, recent = Metrics(counters), Recent()
    recorder = ExchangeRecorder(metrics, recent)
    good, bad = exchange(), exchange()
    good.request_id, bad.request_id = b"good", b"bad"
    await recorder.observe("q")(fine)(good)
    with pytest.raises(asyncio.CancelledError):
        await recorder.observe("q")(leave)(bad)
    recorder.flush()
    assert recent.find("good") is None
    found = recent.find("bad")
    assert found is not None
    assert found["reason"] == "client_gone"
    recorder.close()


async def test_lines_that_each_writer_lost_add_up(tmp_path: Path, recorder: ExchangeRecorder) -> None:
    for _ in range(2):
        recorder.replace_writer(LineWriter("/dev/full"))
        await recorder.observe("q")(fine)(exchange())
    recorder.replace_writer(LineWriter(str(tmp_path / "log")))
    await recorder.aclose()
    assert recorder.dropped == 2


async def test_only_sampled_exchanges_are_exported(recorder: ExchangeRecorder) -> None:
    told: list[bytes] = []
    recorder.export = lambda ex, phases: told.append(ex.request_id)
    for trace in (b"", b"00-x-y-01"):
        ex = exchange()
        ex.request_id, ex.trace = b"id" + trace, trace
        await recorder.observe("q")(fine)(ex)
    recorder.flush()
    assert told == [b"id00-x-y-01"]
    recorder.close()


def test_the_unrouted_have_a_name_of_their_own(counters: CounterMap) -> None:
    Metrics(counters)
    assert [name for name, _ in counters.live()] == [families.UNROUTED]
