"""The control process's view of the data plane: it reads the worker's map, and requests the rest from the worker.

A worker that hangs or is down delays no one: its map stays readable with the last values, marked as old.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.openmetrics import exposition as open_metrics_exposition

from gateway import __version__
from gateway.admin.snapshot import LiveSnapshot, ProxySnapshot, unreachable
from gateway.config.expiry import Expiring
from gateway.control.metrics.exposition import NOT_IN_LABELS, Exposition, comment
from gateway.control.metrics.processes import ProcessMetrics
from gateway.control.metrics.totals import totals
from gateway.core.version import EDITION
from gateway.ipc.channel import ChannelError
from gateway.ipc.client import WorkerClient
from gateway.ipc.messages import BreakerPulse, Refusals
from gateway.observe import families
from gateway.observe.counters import CounterMap
from gateway.workers import confinement

_PATIENCE: Final = 1.0
_EXPIRY_LABELS: Final = {"listen": 'listener="%s"', "admin": 'listener="admin %s"', "upstream": 'upstream="%s"'}
_NEWEST: Final = 50


class Telemetry:
    """``counters``: the map of the worker behind ``plane``."""

    def __init__(
        self,
        counters: CounterMap,
        plane: WorkerClient,
        certificates: Callable[[], Iterable[Expiring]] = tuple,
    ) -> None:
        """``certificates``: those of the listeners."""
        self._counters = counters
        self._plane = plane
        self._certificates = certificates
        self._exposition = Exposition(counters)
        self._sampling: asyncio.Task[int] | None = None
        self._reporting: asyncio.Task[Mapping[str, int]] | None = None
        self._worker = 0
        """Process id; 0 while it is not known."""
        self._reloads = {"ok": 0, "failed": 0}
        self._processes = CollectorRegistry()
        self._process = ProcessMetrics("", lambda: "self", self._processes)
        self._worker_process = ProcessMetrics("gateway_worker", lambda: self._worker or os.getpid(), self._processes)

    def reloaded(self, *, ok: bool) -> None:
        """Count a configuration that was applied or rejected."""
        self._reloads["ok" if ok else "failed"] += 1

    async def metrics(self, *, open_metrics: bool) -> str:
        """All metrics, in the text format of Prometheus or in OpenMetrics."""
        up = await self._sample()
        if up:
            await self._note_usage()
        self._process.usage = await asyncio.to_thread(confinement.usage)
        parts = [*self._own(up=up, open_metrics=open_metrics), *self._exposition.render(open_metrics=open_metrics)]
        # The OpenMetrics text ends with its # EOF.
        encode: Callable[[CollectorRegistry], bytes] = (
            open_metrics_exposition.generate_latest if open_metrics else exposition.generate_latest
        )
        parts.append(encode(self._processes).decode())
        return "".join(parts)

    async def snapshot(self) -> LiveSnapshot:
        try:
            breakers = await self._plane.breakers() if await self._sample() else None
        except ChannelError:
            breakers = None
        if breakers is None:
            return unreachable(self._plane.in_force.generation)
        bases = dict(self._counters.live())
        proxies = {name: self._proxy(pulse, bases[name]) for name, pulse in breakers.items() if name in bases}
        return {"at": time.time(), "reachable": True, "generation": self._plane.in_force.generation, "proxies": proxies}

    async def refusals(self, since: int) -> Refusals:
        try:
            return await self._plane.refusals(since, _NEWEST)
        except ChannelError:
            return {"next": since, "items": []}

    async def aclose(self) -> None:
        for task in (self._sampling, self._reporting):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _sample(self) -> bool:
        """True once the worker has updated its map; False when it does not respond in time."""
        if self._sampling is None:
            self._sampling = asyncio.ensure_future(self._plane.sample())
        # Not cancelled when it is late: that would close the channel, and the next sample would be no faster.
        sampling = self._sampling
        await asyncio.wait({sampling}, timeout=_PATIENCE)
        if not sampling.done():
            return False
        if self._sampling is sampling:
            self._sampling = None
        try:
            self._worker = sampling.result()
        except ChannelError:
            return False
        return True

    async def _note_usage(self) -> None:
        """The worker's report of its process; a late one is used at the next scrape, because no scrape waits for it."""
        if self._reporting is None:
            self._reporting = asyncio.ensure_future(self._plane.usage())
        reporting = self._reporting
        await asyncio.wait({reporting}, timeout=_PATIENCE)
        if not reporting.done():
            return
        if self._reporting is reporting:
            self._reporting = None
        with contextlib.suppress(ChannelError):
            self._worker_process.usage = reporting.result()

    def _own(self, *, up: bool, open_metrics: bool) -> list[str]:
        python = ".".join(map(str, sys.version_info[:3]))

        def lines(name: str, kind: str, help_: str, *series: tuple[str, int]) -> str:
            return comment(name, kind, help_, open_metrics=open_metrics) + "".join(
                f"{name}{labels} {value}\n" for labels, value in series
            )

        return [
            lines(
                "gateway_build_info",
                "gauge",
                "Always 1; the labels show what runs.",
                (f'{{version="{__version__}",python="{python}",edition="{EDITION}"}}', 1),
            ),
            lines("gateway_worker_up", "gauge", "1: the worker responded; 0: its figures are old.", ("", int(up))),
            lines(
                "gateway_reloads_total",
                "counter",
                "Configurations that were applied or rejected.",
                *((f'{{result="{result}"}}', count) for result, count in self._reloads.items()),
            ),
            *self._expiry(open_metrics=open_metrics),
        ]

    def _expiry(self, *, open_metrics: bool) -> Iterator[str]:
        """When the certificates end; where two have all labels in common, the earlier end."""
        ends: dict[str, float] = {}
        for place, where, name, end in self._certificates():
            labels = f'{_EXPIRY_LABELS[place] % where},name="{name.translate(NOT_IN_LABELS)}"'
            ends[labels] = min(end, ends.get(labels, end))
        if ends:
            yield comment(
                "gateway_certificate_expiry_seconds",
                "gauge",
                "When a certificate of a listener, or one that is shown to an upstream, ends, in seconds of the epoch.",
                open_metrics=open_metrics,
            )
        for labels, end in ends.items():
            yield f"gateway_certificate_expiry_seconds{{{labels}}} {end!r}\n"

    def _proxy(self, pulse: BreakerPulse, base: int) -> ProxySnapshot:
        counted, ints = totals(self._counters, base), self._counters.ints
        return ProxySnapshot(
            requests=counted.requests,
            errors=counted.errors,
            refused=counted.refused,
            shadowed=counted.shadowed,
            latency={"bounds": list(families.LATENCY), "counts": counted.latency},
            bytes_in=counted.bytes_in,
            bytes_out=counted.bytes_out,
            in_flight=ints[base + families.IN_FLIGHT],
            limit=ints[base + families.LIMIT],
            waiting=ints[base + families.WAITING],
            queue_limit=ints[base + families.QUEUE_LIMIT],
            streams=ints[base + families.ACTIVE],
            breaker=pulse["breaker"],
            breaker_since=pulse["since"],
            breaker_history=pulse["history"],
            pool_open=ints[base + families.POOL_OPEN],
            pool_idle=ints[base + families.POOL_IDLE],
        )
