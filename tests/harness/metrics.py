"""What a gateway tells Prometheus: each family with its labels, and a text that shows all of them at once.

The text is that of a gateway that serves for a while and has met every fault, so that no dashboard stays empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.core.fallback import CAUSES, REJECTED
from gateway.core.hedge import RESULTS
from gateway.core.hedge import WITHHELD as NO_HEDGE
from gateway.core.quota import KINDS
from gateway.core.stream import TUNNEL_ENDS
from gateway.core.usage import UNKNOWN
from gateway.errors import REASONS
from gateway.grants.broker import OUTCOMES
from gateway.ipc.tokens import STATUSES
from gateway.observe.families import (
    ENDPOINT_CHANGES_BY,
    ENDPOINT_STATES,
    HANDSHAKE_OUTCOMES,
    REPORTS,
    RETRIED,
    SHADOWED,
    TOKEN_KINDS,
    WITHHELD,
)

PROXIES = ("ai", "plain", "-")
"""The last one stands for requests that no proxy took."""

LATENCY = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
OWN = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
STREAM = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
GONE = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Family:
    """``series``: the labels of each besides ``proxy``. ``buckets`` make a histogram of it."""

    kind: str
    series: tuple[Labels, ...] = ({},)
    buckets: tuple[float, ...] = ()
    value: float = 1.0
    """Of a gauge; of a counter and a histogram, what is added in a second."""


ENDPOINTS: tuple[Labels, ...] = tuple({"upstream": "ai", "endpoint": f"http://10.0.0.{n}:9000"} for n in (1, 2))


def _each(label: str, *values: str) -> tuple[Labels, ...]:
    return tuple({label: value} for value in values)


_TRANSITIONS = (
    ("closed", "open", "failure_threshold"),
    ("closed", "open", "failure_rate"),
    ("closed", "open", "slow_rate"),
    ("open", "half_open", "recovery_timeout"),
    ("half_open", "closed", "probe_succeeded"),
    ("half_open", "open", "probe_failed"),
    ("open", "closed", "reset"),
)

OF_PROXY: Mapping[str, Family] = {
    "gateway_requests_total": Family(
        "counter",
        tuple({"method": "GET", "status": s} for s in ("200", "404", "429", "499", "500", "502", "503")),
        (),
        7,
    ),
    "gateway_errors_total": Family(
        "counter", tuple({"reason": r.code, "source": r.source.value} for r in REASONS.values()), (), 0.1
    ),
    "gateway_request_duration_seconds": Family("histogram", buckets=LATENCY, value=9),
    "gateway_upstream_latency_seconds": Family("histogram", buckets=LATENCY, value=9),
    "gateway_queue_seconds": Family("histogram", buckets=LATENCY, value=2),
    "gateway_overhead_seconds": Family("histogram", buckets=OWN, value=9),
    "gateway_time_to_first_byte_seconds": Family("histogram", buckets=STREAM, value=9),
    "gateway_stream_duration_seconds": Family("histogram", buckets=STREAM, value=3),
    "gateway_client_gone_to_upstream_closed_seconds": Family("histogram", buckets=GONE),
    "gateway_phase_seconds_total": Family(
        "counter",
        _each("phase", "identity", "queue", "pool", "dial", "upload", "first_byte", "transfer", "blocked", "own"),
        (),
        0.3,
    ),
    "gateway_active_connections": Family("gauge", value=6),
    "gateway_in_flight": Family("gauge", value=4),
    "gateway_concurrency_limit": Family("gauge", value=5),
    "gateway_waiting": Family("gauge", value=2),
    "gateway_waiting_by_priority": Family("gauge", _each("priority", "high", "normal", "low"), value=1),
    "gateway_queue_newest_first": Family("gauge", value=1),
    "gateway_queue_limit": Family("gauge", value=20),
    "gateway_circuit_breaker_state": Family("gauge", value=2),
    "gateway_endpoints": Family("gauge", _each("state", *ENDPOINT_STATES), value=1),
    "gateway_endpoint_changes_total": Family("counter", _each("cause", *ENDPOINT_CHANGES_BY), (), 0.1),
    "gateway_endpoint_panics_total": Family("counter"),
    "gateway_ejections_held_back_total": Family("counter"),
    "gateway_pool_open": Family("gauge", value=5),
    "gateway_pool_idle": Family("gauge"),
    "gateway_protection_mode": Family("gauge", _each("protection", "limiter", "queue", "breaker"), (), 2),
    "gateway_circuit_breaker_transitions_total": Family(
        "counter", tuple({"from": old, "to": new, "reason": why} for old, new, why in _TRANSITIONS), (), 0.1
    ),
    "gateway_circuit_breaker_open_seconds_total": Family("counter", value=0.5),
    "gateway_pool_dials_total": Family("counter"),
    "gateway_pool_reuses_total": Family("counter", value=8),
    "gateway_adaptive_limit": Family("gauge", value=5),
    "gateway_adaptive_decisions_total": Family(
        "counter", _each("cause", "probe", "late", "dropped", "relearn", "bounds"), (), 0.1
    ),
    "gateway_request_bytes_total": Family("counter", value=1000),
    "gateway_response_bytes_total": Family("counter", value=9000),
    "gateway_requests_by_protocol_total": Family(
        "counter", tuple({"side": s, "protocol": p} for s in ("downstream", "upstream") for p in ("1.1", "2")), (), 4
    ),
    "gateway_pool_sessions": Family("gauge", value=2),
    "gateway_pool_streams": Family("gauge", value=11),
    "gateway_tunnels": Family("gauge", value=3),
    "gateway_tunnels_ended_total": Family("counter", _each("end", *TUNNEL_ENDS), (), 0.1),
    "gateway_tunnel_bytes_total": Family("counter", _each("direction", "in", "out"), (), 500),
    "gateway_tunnel_duration_seconds": Family("histogram", buckets=(1, 10, 60, 300, 1800, 3600, 14400, 86400)),
    "gateway_retries_total": Family("counter", _each("reason", *RETRIED), (), 0.2),
    "gateway_retries_withheld_total": Family("counter", _each("cause", *WITHHELD), (), 0.1),
    "gateway_shadow_retries_total": Family("counter", _each("reason", *RETRIED[1:]), (), 0.1),
    "gateway_hedges_total": Family("counter", _each("result", *RESULTS), (), 0.2),
    "gateway_hedges_withheld_total": Family("counter", _each("cause", *NO_HEDGE), (), 0.1),
    "gateway_shadow_hedges_total": Family("counter", value=0.1),
    "gateway_fallbacks_total": Family("counter", _each("cause", *CAUSES), (), 0.1),
    "gateway_fallbacks_withheld_total": Family("counter", _each("cause", *REJECTED), (), 0.1),
    "gateway_shadow_refusals_total": Family("counter", _each("reason", *SHADOWED)),
    "gateway_rate_limited_total": Family("counter", _each("key", *KINDS), (), 0.1),
    "gateway_ai_tokens_total": Family("counter", _each("kind", *TOKEN_KINDS), (), 300),
    "gateway_ai_time_to_first_token_seconds": Family("histogram", buckets=STREAM),
    "gateway_ai_tokens_per_second": Family("histogram", buckets=(2, 5, 10, 20, 40, 80, 160, 320, 640)),
    "gateway_ai_usage_unknown_total": Family("counter", _each("cause", *UNKNOWN), (), 0.1),
    "gateway_rate_limit_keys": Family("gauge", _each("key", *KINDS), value=40),
}

OF_ENDPOINT: Mapping[str, Family] = {
    "gateway_endpoint_up": Family("gauge"),
    "gateway_endpoint_in_flight": Family("gauge", value=3),
    "gateway_endpoint_requests_total": Family("counter", _each("outcome", "success", "failure", "ignored"), (), 2),
    "gateway_endpoint_ejections_total": Family("counter", value=0.1),
    "gateway_endpoint_reports_total": Family("counter", _each("kind", *REPORTS), (), 2),
    "gateway_endpoint_capacity": Family("gauge", value=8),
}

UPSTREAMS: tuple[Labels, ...] = ({"upstream": "small"}, {"upstream": "fallback of plain"})
"""That no proxy names but as its fallback."""

OF_UPSTREAM: Mapping[str, Family] = {
    "gateway_upstream_in_flight": Family("gauge", value=2),
    "gateway_upstream_concurrency_limit": Family("gauge", value=5),
    "gateway_upstream_waiting": Family("gauge", value=1),
    "gateway_upstream_queue_limit": Family("gauge", value=20),
    "gateway_upstream_circuit_breaker_state": Family("gauge", value=2),
    "gateway_upstream_endpoints": Family("gauge", _each("state", *ENDPOINT_STATES), value=1),
    "gateway_upstream_circuit_breaker_transitions_total": Family(
        "counter", tuple({"from": old, "to": new, "reason": why} for old, new, why in _TRANSITIONS), (), 0.1
    ),
}

OF_GATEWAY: Mapping[str, Family] = {
    "gateway_build_info": Family("gauge", ({"version": "0.0.0", "python": "3.11.0"},)),
    "gateway_worker_up": Family("gauge", _each("worker", "0")),
    "gateway_worker_starts_total": Family("counter", _each("worker", "0"), value=0.0),
    "gateway_worker_crash_loop": Family("gauge", _each("worker", "0"), value=0.0),
    "gateway_worker_recycled_total": Family("counter", _each("worker", "0"), value=0.0),
    "gateway_connections": Family("gauge", value=12),
    "gateway_http2_connections": Family("gauge", value=4),
    "gateway_http2_streams": Family("gauge", value=30),
    "gateway_buffer_gets_total": Family("counter", value=20),
    "gateway_buffer_puts_total": Family("counter", value=19),
    "gateway_buffer_allocations_total": Family("counter"),
    "gateway_reloads_total": Family("counter", _each("result", "ok", "failed"), (), 0.1),
    "gateway_connections_limit": Family("gauge", value=480),
    "gateway_connections_refused_total": Family("counter", _each("reason", "limit", "client")),
    "gateway_connections_closed_idle_total": Family("counter"),
    "gateway_accept_failures_total": Family("counter"),
    "gateway_tls_handshakes_total": Family("counter", _each("outcome", *HANDSHAKE_OUTCOMES)),
    "gateway_tls_handshakes_in_progress": Family("gauge"),
    "gateway_certificate_expiry_seconds": Family(
        "gauge", ({"listener": "0.0.0.0:443", "name": "a.test"}, {"upstream": "ai", "name": "g.test"}), value=4e9
    ),
    "gateway_connection_token_status": Family(
        "gauge", tuple({"connection": "connection/shop", "status": status} for status in STATUSES)
    ),
    "gateway_connection_token_expiry_seconds": Family("gauge", _each("connection", "connection/shop"), value=4e9),
    "gateway_token_refreshes_total": Family(
        "counter", tuple({"connection": "connection/shop", "outcome": outcome} for outcome in OUTCOMES), value=0.01
    ),
    "gateway_config_generation": Family("gauge", value=3),
    "gateway_event_loop_lag_seconds": Family("histogram", buckets=GONE, value=10),
    "gateway_gc_pause_seconds": Family("histogram", buckets=OWN),
    "gateway_log_lines_dropped_total": Family("counter"),
    "gateway_name_resolution_failures_total": Family("counter"),
    "gateway_callback_failures_total": Family("counter"),
    "gateway_worker_process_cpu_seconds_total": Family("counter", _each("worker", "0"), value=0.2),
    "gateway_worker_process_resident_memory_bytes": Family("gauge", _each("worker", "0"), value=5e7),
    "gateway_worker_process_open_fds": Family("gauge", _each("worker", "0"), value=40),
    "gateway_worker_process_max_fds": Family("gauge", _each("worker", "0"), value=1024),
    "gateway_worker_process_start_time_seconds": Family("gauge", _each("worker", "0"), value=1.7e9),
    "process_cpu_seconds_total": Family("counter", value=0.01),
    "process_resident_memory_bytes": Family("gauge", value=9e7),
    "process_open_fds": Family("gauge", value=30),
    "process_max_fds": Family("gauge", value=1024),
    "process_start_time_seconds": Family("gauge", value=1.7e9),
}

OF_PROMETHEUS = frozenset({"up", "scrape_duration_seconds", "ALERTS"})
"""What Prometheus itself adds: of each gateway that it scrapes, and of its own alerts."""


def series_names() -> frozenset[str]:
    """Every name that a query may mention."""
    found = set(OF_PROMETHEUS)
    for name, family in {**OF_PROXY, **OF_UPSTREAM, **OF_ENDPOINT, **OF_GATEWAY}.items():
        found |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if family.buckets else {name}
    return frozenset(found)


def mentioned(expr: str) -> set[str]:
    """The metrics that a PromQL expression asks for."""
    bare = re.sub(r'\{[^}]*\}|\[[^\]]*\]|"[^"]*"|\b(?:by|on|ignoring|without|group_left)\s*\([^)]*\)', " ", expr)
    words = re.findall(r"(?<![\w:.])[a-zA-Z_][\w:]*(?!\s*\(|[\w:])", bare)
    return set(words) - {"or", "and", "unless", "bool", "by", "on", "offset"}


def text(seconds: float) -> str:
    """The exposition of a gateway that has been running for so long."""
    lines: list[str] = []
    for name, family in OF_GATEWAY.items():
        lines += _lines(name, family, ({},), seconds)
    for name, family in OF_PROXY.items():
        lines += _lines(name, family, _each("proxy", *PROXIES), seconds)
    for name, family in OF_UPSTREAM.items():
        lines += _lines(name, family, UPSTREAMS, seconds)
    for name, family in OF_ENDPOINT.items():
        lines += _lines(name, family, ENDPOINTS, seconds)
    return "\n".join(lines) + "\n"


def _lines(name: str, family: Family, owners: tuple[Labels, ...], seconds: float) -> Iterator[str]:
    yield f"# TYPE {name} {family.kind}"
    amount = family.value if family.kind == "gauge" else family.value * (1 + seconds)
    for owner in owners:
        for labels in family.series:
            if family.buckets:
                yield from _histogram(name, {**owner, **labels}, family.buckets, amount)
            else:
                yield f"{name}{_braced({**owner, **labels})} {amount!r}"


def _histogram(name: str, labels: Labels, bounds: tuple[float, ...], amount: float) -> Iterator[str]:
    for place, bound in enumerate([*map(str, bounds), "+Inf"], 1):
        yield f"{name}_bucket{_braced({**labels, 'le': bound})} {amount * place!r}"
    yield f"{name}_sum{_braced(labels)} {amount * sum(bounds)!r}"
    yield f"{name}_count{_braced(labels)} {amount * (len(bounds) + 1)!r}"


def _braced(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}" if labels else ""
