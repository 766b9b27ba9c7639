"""What the API is told of the gateway is what the parts know."""

from __future__ import annotations

from pathlib import Path

from harness.patience import eventually
from unit.control.scene import ANN, line, scene

from gateway.admin.live import Applied
from gateway.config import single
from gateway.control.live import LiveGateway
from gateway.core.tasks import Tasks
from gateway.ipc.messages import Health


async def test_a_change_is_applied_before_its_response(tmp_path: Path) -> None:
    async with scene(tmp_path, line("a")) as now:
        await now.sync.start(cold=False)
        live = LiveGateway(now.sync, now.report, now.plane, now.telemetry, lambda: 1)
        await now.store.proxies.create(single.stored({"name": "b", "path": "/b", "upstream": "http://h"}), ANN)
        assert await live.apply() == Applied(2)
        assert now.worker.names == ["a", "b"]
        assert live.greeting().endswith("serves 2 proxies on http://127.0.0.1:80")
        assert (await live.snapshot())["generation"] == 2
        assert (await live.refusals(3))["items"] == []
        assert 'gateway_worker_up{worker="0"} 1' in await live.metrics(open_metrics=False)


async def test_why_the_newest_configuration_is_not_applied(tmp_path: Path) -> None:
    async with scene(tmp_path, line("a")) as now:
        await now.sync.start(cold=False)
        live = LiveGateway(now.sync, now.report, now.plane, now.telemetry, lambda: 1)
        now.write("{name: b}")
        await now.sync.reload("file change")
        assert live.applied() == Applied(1, now.report.error)
        assert live.ready()[1]["error"] == now.report.error != ""


async def test_it_is_ready_while_a_worker_serves(tmp_path: Path) -> None:
    async with scene(tmp_path, line("a")) as now:
        live = LiveGateway(now.sync, now.report, now.plane, now.telemetry, lambda: 1)
        assert live.live()["status"] == "healthy"
        assert not live.ready()[0]
        await now.sync.start(cold=False)
        assert not live.ready()[0], "no worker was seen yet"
        tasks = Tasks()
        tasks.start(now.plane.keep_synced(), "watch the worker")
        await eventually(lambda: live.ready()[0], "a worker", 20)
        (worker,) = now.plane.responding
        for share, ready in ((0.5, True), (1.0, False)):
            worker.health = Health(draining=False, wanted=(), shedding=share)
            assert live.ready()[0] is ready
            assert live.ready()[1]["shedding"] == share
        await tasks.aclose()
