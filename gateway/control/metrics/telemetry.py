"""The control process's view of the data plane: it reads the workers' maps, and requests the rest from the workers.

A worker that hangs or is down delays no one: its map stays readable with the last values, marked as old.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Generic, TypeVar

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.openmetrics import exposition as open_metrics_exposition

from gateway import __version__
from gateway.admin.snapshot import LiveSnapshot, ProxySnapshot, unreachable
from gateway.config.expiry import Expiring
from gateway.control.memory_watch import MemoryWatch
from gateway.control.metrics.exposition import NOT_IN_LABELS, Exposition, comment
from gateway.control.metrics.processes import ProcessMetrics, WorkerProcesses
from gateway.control.metrics.summed import Summed
from gateway.control.metrics.tokens import token_lines
from gateway.control.metrics.totals import totals
from gateway.core.version import EDITION
from gateway.grants.broker import Broker
from gateway.ipc.channel import ChannelError
from gateway.ipc.client import Worker, WorkerClient
from gateway.ipc.fleet import Fleet
from gateway.ipc.messages import BreakerPulse, Refusals, Report
from gateway.observe import families
from gateway.observe.counters import CounterMap
from gateway.workers.resources import Resources
from gateway.workers.roster import Roster, Seated

_PATIENCE: Final = 1.0
_TURN: Final = 0.002
"""Seconds for which text is written before others have their turn."""
_EXPIRY_LABELS: Final = {"listen": 'listener="%s"', "admin": 'listener="admin %s"', "upstream": 'upstream="%s"'}
_NEWEST: Final = 50


Result = TypeVar("Result")


class _Question(Generic[Result]):
    """A question to each worker. A late response is used the next time, and none is asked twice at a time."""

    def __init__(self, operation: Callable[[WorkerClient], Awaitable[Result]]) -> None:
        self._operation = operation
        self._asked: dict[Worker, asyncio.Future[Result]] = {}

    async def ask(self, workers: Iterable[Worker]) -> dict[Worker, Result]:
        """The results of those that respond in time."""
        asked = self._asked
        for worker in workers:
            if worker not in asked:
                asked[worker] = asyncio.ensure_future(self._operation(worker.client))
        if asked:
            # Not cancelled when one is late: that would close the channel, and the next question would be no faster.
            await asyncio.wait(asked.values(), timeout=_PATIENCE)
        done = {worker: asked.pop(worker) for worker, future in list(asked.items()) if future.done()}
        return {worker: future.result() for worker, future in done.items() if _good(future)}

    async def aclose(self) -> None:
        for future in self._asked.values():
            future.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)


def _good(future: asyncio.Future[Result]) -> bool:
    """False for a worker that is away. Raises what is no failure of a channel."""
    error = future.exception()
    if error is not None and not isinstance(error, ChannelError):
        raise error
    return error is None


class Telemetry:
    """``maps``: those of the workers of ``plane``, by place. ``roster``: which processes run."""

    def __init__(
        self,
        maps: Sequence[CounterMap],
        plane: Fleet,
        roster: Roster,
        memory: MemoryWatch,
        certificates: Callable[[], Iterable[Expiring]] = tuple,
        broker: Broker | None = None,
    ) -> None:
        """``certificates``: those of the listeners. ``broker``: of the access tokens of connections; None: none is."""
        self._maps = maps
        self._plane = plane
        self._roster = roster
        self._memory = memory
        self._certificates = certificates
        self._broker = broker
        self._summed = Summed(maps)
        self._expositions = {each: Exposition(each) for each in (*maps, self._summed.total)}
        self._sampling = _Question(WorkerClient.sample)
        self._reporting = _Question(WorkerClient.usage)
        self._describing = _Question(WorkerClient.report)
        self._reading = asyncio.Lock()
        """Held while the sum is read: what is made again meanwhile would be one in some families and one in others."""
        self._reloads = {"ok": 0, "failed": 0}
        self._processes = CollectorRegistry()
        self._resources = Resources()
        self._process = ProcessMetrics("", lambda: "self", self._processes)
        self._worker_processes = WorkerProcesses(self._processes)

    def reloaded(self, *, ok: bool) -> None:
        """Count a configuration that was applied or rejected."""
        self._reloads["ok" if ok else "failed"] += 1

    async def metrics(self, *, open_metrics: bool) -> str:
        """All metrics, in the text format of Prometheus or in OpenMetrics."""
        async with asyncio.TaskGroup() as group:
            usages = group.create_task(self._reporting.ask(self._plane.asked()))
            own = group.create_task(self._resources.report())
            up = await self._sample()
            parts = self._own(up=up, open_metrics=open_metrics)
            async with self._reading:
                exposition_ = self._expositions[self._counters(exemplars=open_metrics)]
                # With many proxies the sum takes milliseconds, and so does the text: others have their turn in between.
                turn = 0.0
                for text in exposition_.render(open_metrics=open_metrics):
                    parts.append(text)
                    if time.perf_counter() >= turn:
                        await asyncio.sleep(0)
                        turn = time.perf_counter() + _TURN
        self._note_usages(usages.result())
        self._process.usage = own.result()
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
        async with self._reading:
            counters = self._counters()
            bases = dict(counters.live())
            proxies = {
                name: _proxy_snapshot(counters, pulse, bases[name]) for name, pulse in breakers.items() if name in bases
            }
        return {"at": time.time(), "reachable": True, "generation": self._plane.in_force.generation, "proxies": proxies}

    async def refusals(self, since: int) -> Refusals:
        try:
            return await self._plane.refusals(since, _NEWEST)
        except ChannelError:
            return {"next": since, "items": []}

    async def workers(self) -> dict[str, object]:
        """The processes of the workers; of one that does not respond, what is known without it."""
        up = await self._sample()
        reports = await self._describing.ask(up)
        usages = await self._reporting.ask(up)
        places = {worker.place: worker for worker in self._plane.workers}
        found = [
            self._worker(each, reports.get(places[each.place]), usages.get(places[each.place], {}))
            for each in sorted(self._roster.seated(), key=lambda each: (each.slot, each.since))
        ]
        return {"items": found, "max_memory_bytes": self._memory.bound}

    def _worker(self, seated: Seated, report: Report | None, usage: Mapping[str, int]) -> dict[str, object]:
        counters, slot = self._maps[seated.place], seated.slot
        if report is None:
            state = "starting" if self._roster.newest(seated) and not self._served(seated) else "silent"
        else:
            state = "draining" if report["draining"] else "serving" if report["generation"] else "starting"
        return {
            "worker": slot,
            "pid": seated.pid,
            "state": state,
            "since": seated.since,
            "starts": self._roster.starts(slot),
            "crash_loop": self._roster.looping(slot),
            "recycled": self._roster.recycled(slot),
            "memory_bound_too_small": self._memory.too_small(slot),
            "version": "" if report is None else report["version"],
            "generation": 0 if report is None else report["generation"],
            "requests": sum(totals(counters, base).requests for _, base in counters.live()),
            "connections": 0 if report is None else report["connections"],
            "in_flight": 0 if report is None else report["in_flight"],
            "memory_bytes": usage.get("proportional_memory_bytes", 0),
            "resident_bytes": self._memory.size(seated.pid),
            "fresh_bytes": self._memory.fresh(slot),
            "loop_lag": 0.0 if report is None else report["loop_lag"],
            "shedding": 0.0 if report is None else report.get("shedding", 0.0),
        }

    def _served(self, seated: Seated) -> bool:
        """Whether this process has had a configuration."""
        return any(each.place == seated.place and each.pid == seated.pid for each in self._plane.workers)

    async def aclose(self) -> None:
        self._resources.close()
        await self._sampling.aclose()
        await self._reporting.aclose()
        await self._describing.aclose()

    async def _sample(self) -> Sequence[Worker]:
        """The workers that have updated their maps; the others do not respond in time."""
        return list(await self._sampling.ask(self._plane.asked()))

    def _counters(self, *, exemplars: bool = False) -> CounterMap:
        """The map of the only worker, or the sum of all; ``exemplars``: with them."""
        return self._summed.update(
            [self._maps[each.place] for each in self._plane.workers if self._plane.follows(each)], exemplars=exemplars
        )

    def _note_usages(self, usages: Mapping[Worker, Mapping[str, int]]) -> None:
        """What the processes report of themselves; a late report is used at the next scrape."""
        pids = {each.slot: each.pid for each in self._roster.seated() if self._roster.newest(each)}
        self._worker_processes.note(pids)
        for worker, usage in usages.items():
            if self._roster.pids().get(worker.place) == pids.get(worker.slot):
                self._worker_processes.note_usage(worker.slot, usage)

    def _own(self, *, up: Sequence[Worker], open_metrics: bool) -> list[str]:
        slots = {worker.slot for worker in up}
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
            lines(
                "gateway_worker_up",
                "gauge",
                "1: the worker responded; 0: its figures are old.",
                *((f'{{worker="{slot}"}}', int(slot in slots)) for slot in range(self._roster.workers)),
            ),
            lines(
                "gateway_worker_starts_total",
                "counter",
                "Processes that were started for the worker: also to replace one that died.",
                *((f'{{worker="{slot}"}}', self._roster.starts(slot)) for slot in range(self._roster.workers)),
            ),
            lines(
                "gateway_worker_crash_loop",
                "gauge",
                "1: the processes of the worker end soon after their start, again and again.",
                *((f'{{worker="{slot}"}}', int(self._roster.looping(slot))) for slot in range(self._roster.workers)),
            ),
            lines(
                "gateway_worker_recycled_total",
                "counter",
                "Replacements of the worker because its memory stayed above worker_max_memory.",
                *((f'{{worker="{slot}"}}', self._roster.recycled(slot)) for slot in range(self._roster.workers)),
            ),
            lines(
                "gateway_reloads_total",
                "counter",
                "Configurations that were applied or rejected.",
                *((f'{{result="{result}"}}', count) for result, count in self._reloads.items()),
            ),
            *self._expiry(open_metrics=open_metrics),
            *(() if self._broker is None else token_lines(self._broker, time.time(), open_metrics=open_metrics)),
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


def _proxy_snapshot(counters: CounterMap, pulse: BreakerPulse, base: int) -> ProxySnapshot:
    counted, ints = totals(counters, base), counters.ints
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
