"""The standard metrics of processes, including those that only a process itself can read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_REPORTED: Final = {
    "proportional_memory_bytes": "Proportional set size in bytes: pages that processes share are counted in parts.",
    "open_fds": "Number of open file descriptors.",
    "max_fds": "Maximum number of open file descriptors.",
}


class ProcessMetrics(ProcessCollector):
    """The standard metrics of a process; values that only the process can read come from its report, ``usage``."""

    def __init__(self, namespace: str, pid: Callable[[], int | str], registry: CollectorRegistry | None) -> None:
        """``registry``: None for a process whose metrics another collector shows."""
        self.usage: Mapping[str, int] = {}
        """As `gateway.workers.resources.Resources.report`; empty while there is none."""
        self._names = f"{namespace}_process_" if namespace else "process_"
        super().__init__(namespace, pid, registry=registry)

    def collect(self) -> Iterator[Metric]:
        reported = {self._names + name: value for name, value in self.usage.items() if value}
        yield from (family for family in super().collect() if family.name not in reported)
        for name, value in reported.items():
            yield GaugeMetricFamily(name, _REPORTED[name.removeprefix(self._names)], value=float(value))


class WorkerProcesses(Collector):
    """The metrics of the processes of all workers, each with its number as the label ``worker``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._processes: dict[int, ProcessMetrics] = {}
        self._pids: Mapping[int, int] = {}
        registry.register(self)

    def note(self, pids: Mapping[int, int]) -> None:
        """The ids of the processes that run now, by the number of the worker."""
        for slot, pid in pids.items():
            if pid != self._pids.get(slot):
                self._processes[slot] = ProcessMetrics("gateway_worker", lambda pid=pid: pid, None)  # type: ignore[misc]
        for slot in self._pids.keys() - pids.keys():
            del self._processes[slot]
        self._pids = dict(pids)

    def note_usage(self, slot: int, usage: Mapping[str, int]) -> None:
        """What the process of a worker has reported of itself."""
        if slot in self._processes:
            self._processes[slot].usage = usage

    def collect(self) -> Iterator[Metric]:
        merged: dict[str, Metric] = {}
        for slot, process in sorted(self._processes.items()):
            for family in process.collect():
                into = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    into.add_sample(sample.name, {"worker": str(slot), **sample.labels}, sample.value)
        yield from merged.values()
