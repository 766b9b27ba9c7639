from __future__ import annotations

from typing import Any

from unit.scene import exchange

from gateway.control.metrics.totals import totals
from gateway.observe.counters import CounterMap
from gateway.observe.metrics import Metrics
from gateway.observe.timing import phases


def figures(*exchanges: dict[str, Any]) -> Any:
    counters = CounterMap()
    metrics = Metrics(counters)
    metrics.retain(["p"])
    for known in exchanges:
        ex = exchange()
        for name, value in {"proxy": "p", "status": 200, "start_at": 1.0, "end_at": 1.02, **known}.items():
            setattr(ex, name, value)
        metrics.record(ex.proxy, [ex], [phases(ex)])
    return totals(counters, dict(counters.live())["p"])


def test_nothing_yet() -> None:
    assert figures() == (0, 0, 0, 0, [0] * 10, 0, 0)


def test_whose_doing_it_was() -> None:
    found = figures(
        {},
        {"status": 404},  # the upstream's own
        {"status": 500},  # the upstream's own
        {"status": 503},  # the upstream's own
        {"status": 502, "reason": "dial_failed"},
        {"status": 503, "reason": "breaker_open"},
        {"status": 501, "reason": "websocket_disabled"},
        {"status": 429, "reason": "queue_full"},
        {"status": 403, "reason": "forbidden"},
        {"status": 500, "reason": "template_missing"},
        {"status": 499, "reason": "client_gone"},
        {"status": 200, "reason": "", "shadow": "breaker_open"},
    )
    assert (found.requests, found.errors, found.refused, found.shadowed) == (12, 4, 4, 1)


def test_latencies_and_bytes() -> None:
    found = figures({"bytes_in": 3, "bytes_out": 4}, {"end_at": 100.0, "bytes_out": 1})
    assert found.latency == [0, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert (found.bytes_in, found.bytes_out) == (3, 5)
