"""A scrape is answered whether the worker answers or not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics_families
from prometheus_client.parser import text_string_to_metric_families

from gateway.control.memory_watch import MemoryWatch
from gateway.control.metrics import telemetry as module
from gateway.control.metrics.telemetry import Telemetry
from gateway.ipc.channel import ChannelError
from gateway.ipc.client import Worker, WorkerClient
from gateway.ipc.fleet import Fleet
from gateway.ipc.messages import InForce, Report
from gateway.observe import families
from gateway.observe.counters import CounterMap
from gateway.observe.metrics import Metrics
from gateway.workers.roster import Roster


class FakePlane:
    """A fleet of one worker, and that worker's client."""

    in_force = InForce(4, ())

    def __init__(self) -> None:
        self.workers = [Worker(0, 0, cast(WorkerClient, self))]
        self.samples = 0
        self.away = False
        self.hanging: asyncio.Event | None = None

    def asked(self) -> list[Worker]:
        return self.workers

    def follows(self, worker: Worker) -> bool:
        return not self.away

    async def report(self) -> Report:
        return Report(
            version="1", generation=4, draining=False, connections=3, in_flight=2, loop_lag=0.001, shedding=0.25
        )

    async def sample(self) -> int:
        self.samples += 1
        if self.hanging is not None:
            await self.hanging.wait()
        if self.away:
            raise ChannelError("away")
        return os.getpid()

    async def usage(self) -> Mapping[str, int]:
        return {"proportional_memory_bytes": 7 << 20, "open_fds": 9, "max_fds": 1024}

    async def breakers(self) -> Mapping[str, Any]:
        moves = [{"at": 5.0, "from": "closed", "to": "open", "reason": "x"}]
        told = {"breaker": "open", "since": 5.0, "history": moves}
        return {"p": told, "unknown to the map": told}

    async def refusals(self, since: int, most: int) -> Mapping[str, object]:
        if self.away:
            raise ChannelError("away")
        return {"next": since + 1, "items": [{"most": most}]}


@pytest.fixture
def plane() -> FakePlane:
    return FakePlane()


@pytest.fixture
async def telemetry(plane: FakePlane, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Telemetry]:
    counters = CounterMap()
    Metrics(counters).retain(["p"])
    monkeypatch.setattr(WorkerClient, "sample", FakePlane.sample)
    monkeypatch.setattr(WorkerClient, "usage", FakePlane.usage)
    monkeypatch.setattr(WorkerClient, "report", FakePlane.report)
    roster = Roster(1, clock=lambda: 50.0)
    roster.take(0, os.getpid())
    roster.ask_to_recycle(0, os.getpid())
    roster.note_recycled(0)
    memory = MemoryWatch(cast(Fleet, plane), roster, lambda: 9 << 20, size=lambda _: 8 << 20)
    made = Telemetry([counters, CounterMap()], cast(Fleet, plane), roster, memory)
    yield made
    await made.aclose()


async def value(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    for family in text_string_to_metric_families(await telemetry.metrics(open_metrics=False)):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return None


async def test_everything_stands_in_both_formats(telemetry: Telemetry) -> None:
    telemetry.reloaded(ok=True)
    telemetry.reloaded(ok=False)
    telemetry.reloaded(ok=False)
    assert await value(telemetry, "gateway_worker_up", worker="0") == 1
    assert await value(telemetry, "gateway_reloads_total", result="failed") == 2
    assert await value(telemetry, "gateway_reloads_total", result="ok") == 1
    assert await value(telemetry, "gateway_in_flight", proxy="p") == 0
    assert (await value(telemetry, "process_resident_memory_bytes") or 0) > 1e6
    assert (await value(telemetry, "gateway_worker_process_resident_memory_bytes", worker="0") or 0) > 1e6
    assert await value(telemetry, "gateway_worker_process_proportional_memory_bytes", worker="0") == 7 << 20
    assert await value(telemetry, "gateway_worker_process_open_fds", worker="0") == 9
    assert (await value(telemetry, "process_proportional_memory_bytes") or 0) > 1e6
    text = await telemetry.metrics(open_metrics=True)
    assert text.endswith("# EOF\n")
    assert text.count("# EOF") == 1
    names = {family.name for family in open_metrics_families(text)}
    assert {"gateway_build_info", "gateway_reloads", "gateway_in_flight", "process_cpu_seconds"} <= names


async def test_others_have_their_turn_while_one_sum_is_written(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers count on, and the live view reads all the time. No text has figures of two sums."""
    monkeypatch.setattr(module, "_TURN", 0.0)
    first, second = telemetry._maps
    Metrics(second).retain(["p"])
    places = [(each.ints, dict(each.live())["p"]) for each in (first, second)]
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            for ints, base in places:
                ints[base + families.BYTES_IN] = ints[base + families.REUSES] = turns
            await asyncio.sleep(0)

    async def view() -> None:
        while True:
            await telemetry.snapshot()

    others = [asyncio.create_task(other()) for other in (count, view)]
    for _ in range(3):
        began = turns
        text = await telemetry.metrics(open_metrics=False)
        found = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        early, late = (int(found[f'gateway_{what}_total{{proxy="p"}}']) for what in ("request_bytes", "pool_reuses"))
        assert early == late > 0
        assert early % 2 == 0, "it is the sum of both"
        assert turns - began > len(families.PROXY.families) / 2
    for other in others:
        other.cancel()


async def test_a_worker_that_is_away_has_old_figures(plane: FakePlane, telemetry: Telemetry) -> None:
    plane.away = True
    assert await value(telemetry, "gateway_worker_up", worker="0") == 0
    assert await value(telemetry, "gateway_in_flight", proxy="p") == 0
    snapshot = await telemetry.snapshot()
    assert (snapshot["reachable"], snapshot["generation"], snapshot["proxies"]) == (False, 4, {})
    assert await telemetry.refusals(3) == {"next": 3, "items": []}


async def test_a_worker_that_hangs_is_asked_once_and_delays_nobody_for_long(
    plane: FakePlane, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.02)
    plane.hanging = asyncio.Event()
    for _ in range(3):
        assert await value(telemetry, "gateway_worker_up", worker="0") == 0
    assert plane.samples == 1
    plane.hanging.set()
    assert await value(telemetry, "gateway_worker_up", worker="0") == 1
    assert await value(telemetry, "gateway_worker_up", worker="0") == 1
    assert plane.samples == 2


async def test_a_snapshot_joins_the_map_and_the_breakers(telemetry: Telemetry) -> None:
    snapshot = await telemetry.snapshot()
    assert snapshot["reachable"]
    assert snapshot["proxies"].keys() == {"p"}
    found = snapshot["proxies"]["p"]
    assert (found["breaker"], found["breaker_since"], found["requests"]) == ("open", 5.0, 0)
    assert found["breaker_history"][0]["to"] == "open"
    assert len(found["latency"]["counts"]) == len(found["latency"]["bounds"]) + 1
    assert await telemetry.refusals(3) == {"next": 4, "items": [{"most": 50}]}


async def states(telemetry: Telemetry) -> list[object]:
    return [each["state"] for each in cast(list[Mapping[str, object]], (await telemetry.workers())["items"])]


async def test_each_process_is_shown(telemetry: Telemetry, plane: FakePlane) -> None:
    found = await telemetry.workers()
    assert found["max_memory_bytes"] == 9 << 20
    (shown,) = cast(list[Mapping[str, object]], found["items"])
    assert shown == {
        "worker": 0,
        "pid": os.getpid(),
        "state": "serving",
        "since": 50.0,
        "starts": 1,
        "crash_loop": False,
        "recycled": 1,
        "memory_bound_too_small": False,
        "version": "1",
        "generation": 4,
        "requests": 0,
        "connections": 3,
        "in_flight": 2,
        "memory_bytes": 7 << 20,
        "resident_bytes": 8 << 20,
        "fresh_bytes": 0,
        "loop_lag": 0.001,
        "shedding": 0.25,
    }
    plane.away = True
    assert await states(telemetry) == ["starting"]
    plane.workers[0].pid = os.getpid()
    assert await states(telemetry) == ["silent"]
    assert await value(telemetry, "gateway_worker_recycled_total", worker="0") == 1
    assert await value(telemetry, "gateway_worker_starts_total", worker="0") == 1
    assert await value(telemetry, "gateway_worker_crash_loop", worker="0") == 0
