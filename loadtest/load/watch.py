"""Looks at gateway, sidecar and the load itself once a second while they run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from stage import HOST, GatewayProcess, cpu

from load.exposition import Scrape

EVERY = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """``figures`` by column of the raw data: MiB, shares of one core, counts since the start, milliseconds."""

    at: float
    """By the monotonic clock."""
    figures: dict[str, float]
    scrape: Scrape


GAUGES = {
    "in_flight": "gateway_in_flight",
    "waiting": "gateway_waiting",
    "breaker": "gateway_circuit_breaker_state",
    "connections": "gateway_connections",
    "pool_open": "gateway_pool_open",
    "pool_idle": "gateway_pool_idle",
    "dials": "gateway_pool_dials_total",
    "reuses": "gateway_pool_reuses_total",
}
NOTHING = Scrape({}, {})


class Watch:
    """``processes`` maps a name to a pid. ``samples`` is to be read; ``tell`` hears of each new one."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        gateway: GatewayProcess,
        sidecar: int,
        token: str,
        processes: dict[str, int],
        tell: Callable[[Sample], None],
    ) -> None:
        self.samples: list[Sample] = []
        self._session = session
        self._gateway = gateway
        self._sidecar = f"http://{HOST}:{sidecar}/stats"
        self._token = token
        self._processes = processes
        self._tell = tell
        self._spent: dict[str, tuple[float, float]] = {}

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            began = time.monotonic()
            await self.look()
            await asyncio.sleep(max(0.05, EVERY - (time.monotonic() - began)))

    async def look(self) -> None:
        """Take one sample now."""
        sample = await self._sample(time.monotonic())
        self.samples.append(sample)
        self._tell(sample)

    async def _sample(self, now: float) -> Sample:
        figures = {f"cpu_{name}": self._share(name, pid, now) for name, pid in self._processes.items()}
        with suppress(OSError, KeyError):  # the worker may be dead, or end while we look
            self._gateway.follow()
            figures["rss"] = self._gateway.memory()[0]
            figures["sockets"] = self._gateway.sockets()
        scrape = NOTHING
        with suppress(aiohttp.ClientError, TimeoutError):  # the control process may be dead: a gap in the figures
            began = time.monotonic()
            text = await self._scrape()
            figures["scrape_ms"] = (time.monotonic() - began) * 1e3
            scrape = Scrape.of(text)
            figures |= {column: scrape.value(name) for column, name in GAUGES.items()}
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.get(self._sidecar) as answer:
                stats = await answer.json()
                figures |= {f"sidecar_{name}": float(value) for name, value in stats.items()}
        return Sample(now, figures, scrape)

    async def _scrape(self) -> str:
        headers = {"Authorization": f"Bearer {self._token}"}
        async with self._session.get(f"{self._gateway.api}/metrics", headers=headers) as answer:
            answer.raise_for_status()
            return await answer.text()

    def _share(self, name: str, pid: int, now: float) -> float:
        """Of one core, since the last look."""
        if not Path(f"/proc/{pid}/stat").exists():
            return 0.0
        spent = cpu(pid)
        before, then = self._spent.get(name, (spent, now - EVERY))
        self._spent[name] = spent, now
        return (spent - before) / (now - then)
