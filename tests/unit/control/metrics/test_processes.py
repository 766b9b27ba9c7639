"""What a process says of itself goes before what the system says of it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from gateway.control.metrics.processes import ProcessMetrics


def test_its_own_report_wins() -> None:
    registry = CollectorRegistry()
    metrics = ProcessMetrics("gateway_worker", lambda: "self", registry)
    assert registry.get_sample_value("gateway_worker_process_cpu_seconds_total") is not None
    assert registry.get_sample_value("gateway_worker_process_open_fds") != 12345
    metrics.usage = {"open_fds": 12345, "proportional_memory_bytes": 7, "max_fds": 0}
    assert registry.get_sample_value("gateway_worker_process_open_fds") == 12345
    assert registry.get_sample_value("gateway_worker_process_proportional_memory_bytes") == 7
    assert registry.get_sample_value("gateway_worker_process_max_fds") not in (0, None)
    assert [family.name for family in registry.collect()].count("gateway_worker_process_open_fds") == 1
