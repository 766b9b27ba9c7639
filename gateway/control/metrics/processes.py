"""The standard metrics of a process, including those that only the process itself can read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import GaugeMetricFamily

_REPORTED: Final = {
    "proportional_memory_bytes": "Proportional set size in bytes: pages that processes share are counted in parts.",
    "open_fds": "Number of open file descriptors.",
    "max_fds": "Maximum number of open file descriptors.",
}


class ProcessMetrics(ProcessCollector):
    """The standard metrics of a process; values that only the process can read come from its report, ``usage``."""

    def __init__(self, namespace: str, pid: Callable[[], int | str], registry: CollectorRegistry) -> None:
        self.usage: Mapping[str, int] = {}
        """As `gateway.workers.confinement.usage`; empty while there is none."""
        self._names = f"{namespace}_process_" if namespace else "process_"
        super().__init__(namespace, pid, registry=registry)

    def collect(self) -> Iterator[Metric]:
        reported = {self._names + name: value for name, value in self.usage.items() if value}
        yield from (family for family in super().collect() if family.name not in reported)
        for name, value in reported.items():
            yield GaugeMetricFamily(name, _REPORTED[name.removeprefix(self._names)], value=float(value))
