"""This process as the admin room (`Live`) and the API (`Health`) see it."""

from __future__ import annotations

from gateway import __version__
from gateway.admin.live import Applied
from gateway.admin.snapshot import LiveSnapshot
from gateway.control.metrics.telemetry import Telemetry
from gateway.control.report import DATABASE_CHANGE, Report
from gateway.control.sync import Sync
from gateway.control.workforce import Workforce
from gateway.ipc.fleet import Fleet
from gateway.ipc.messages import Refusals
from gateway.workers.greeting import greeting


class LiveGateway:
    """Delegates each call to the responsible part."""

    def __init__(self, sync: Sync, report: Report, plane: Fleet, telemetry: Telemetry, workforce: Workforce) -> None:
        self._sync = sync
        self._report = report
        self._plane = plane
        self._telemetry = telemetry
        self._workforce = workforce

    async def apply(self) -> Applied:
        await self._sync.apply_current(DATABASE_CHANGE)
        return self.applied()

    def applied(self) -> Applied:
        return Applied(self._plane.in_force.generation, self._report.error)

    async def snapshot(self) -> LiveSnapshot:
        return await self._telemetry.snapshot()

    async def refusals(self, since: int) -> Refusals:
        return await self._telemetry.refusals(since)

    async def workers(self) -> dict[str, object]:
        return await self._telemetry.workers()

    async def restart_workers(self) -> int:
        return self._workforce.restart()

    async def upgrade(self) -> tuple[str, int]:
        return await self._workforce.upgrade()

    async def metrics(self, *, open_metrics: bool) -> str:
        return await self._telemetry.metrics(open_metrics=open_metrics)

    def greeting(self) -> str:
        """One line for the operator: the number of proxies and the addresses."""
        return greeting(self._plane.in_force, self._sync.served)

    def live(self) -> dict[str, object]:
        return {"status": "healthy", "version": __version__}

    def ready(self) -> tuple[bool, dict[str, object]]:
        plane = self._plane
        serving = plane.reachable and plane.in_force.generation > 0 and not plane.draining
        shares = [worker.health.shedding for worker in plane.responding if worker.health is not None]
        shedding = sum(shares) / len(shares) if shares else 0.0
        # While a part is admitted, a balancer that looked elsewhere would only give others the whole load.
        ready = serving and shedding < 1.0
        details = {"data_plane": plane.reachable, "generation": plane.in_force.generation, "draining": plane.draining}
        return ready, details | {"shedding": shedding, "error": self._report.error}
