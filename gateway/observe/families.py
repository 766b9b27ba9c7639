"""Every metric family: its name, its meaning, and the cells of a slab that hold its numbers.

Names and units follow the Prometheus conventions (seconds, bytes, ``_total``). The only labels are ``proxy``,
``upstream`` and ``endpoint``, which come from the configuration, and words of small closed sets: never a path, and
nothing that a caller can invent.
"""

from __future__ import annotations

from typing import Final

from gateway import errors
from gateway.core.fallback import CAUSES, REJECTED
from gateway.core.hedge import RESULTS
from gateway.core.hedge import WITHHELD as HEDGES_WITHHELD_BY
from gateway.core.message import VERSIONS
from gateway.core.quota import KINDS
from gateway.core.stream import TUNNEL_ENDS
from gateway.core.usage import UNKNOWN
from gateway.observe.counters import LAST
from gateway.observe.sheet import Sheet
from gateway.observe.timing import PHASES

LATENCY: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
STREAMS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Responses of models take minutes."""
_OWN: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
_TUNNELS: Final = (1.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 14400.0, 86400.0)
_SPEEDS: Final = (2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
_GONE: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

UNROUTED: Final = "-"
"""Stands for the proxy of a request that no route took; no proxy may have this name."""

REASONS: Final = tuple(errors.REASONS)
SHADOWED: Final = (
    "rate_limit",
    "concurrency_limit",
    "queue_full",
    "queue_timeout",
    "queue_predicted_timeout",
    "breaker_open",
    "stream_stalled",
    "overloaded",
)
TRANSITIONS: Final = (
    ("closed", "open", "failure_threshold"),
    ("closed", "open", "failure_rate"),
    ("closed", "open", "slow_rate"),
    ("open", "half_open", "recovery_timeout"),
    ("half_open", "closed", "probe_succeeded"),
    ("half_open", "open", "probe_failed"),
    ("open", "closed", "reset"),
    ("half_open", "closed", "reset"),
)
DECISION_CAUSES: Final = ("probe", "late", "dropped", "relearn", "bounds")
"""As `gateway.policy.learned` has them."""
HANDSHAKE_OUTCOMES: Final = (
    "full",
    "resumed",
    "refused",
    "timeout",
    "left",
    "not_tls",
    "no_protocol",
    "room",
    "draining",
)
"""As `gateway.wire.handshakes` counts them."""
RETRIED: Final = ("stale", "connect", "reset", "timeout", "stall", "refused_stream", "status")
"""As `gateway.policy.retry` names them."""
WITHHELD: Final = (
    "method",
    "body",
    "attempts",
    "retry_after",
    "deadline",
    "budget",
    "breaker",
    "health",
    "rate_limit",
)
"""As `gateway.policy.retry` names them."""
TOKEN_KINDS: Final = ("input", "output", "cached")
PROTECTIONS: Final = ("limiter", "queue", "breaker")
ENDPOINT_STATES: Final = ("usable", "down", "ejected", "drained", "leaving")
ENDPOINT_CHANGES_BY: Final = ("down", "up", "ejected", "probation", "proved", "leaving", "returned")
"""As `gateway.policy.group.CAUSES`."""

PROXY: Final = Sheet()
_of = PROXY

REQUESTS: Final = _of.requests(
    "gateway_requests_total", "Finished requests; status 499: the client left before its response was complete.", 56
)
ERRORS: Final = _of.values(
    "gateway_errors_total",
    "counter",
    "Requests that were refused, failed or cut, by reason and by whose doing it was.",
    [f'reason="{reason.code}",source="{reason.source.value}"' for reason in errors.REASONS.values()],
    sparse=True,
)
DURATION: Final = _of.histogram(
    "gateway_request_duration_seconds", "From the request's head to the response's last byte.", LATENCY, exemplars=True
)
UPSTREAM_LATENCY: Final = _of.histogram(
    "gateway_upstream_latency_seconds", "From the request's last byte sent to the response's first byte.", LATENCY
)
OVERHEAD: Final = _of.histogram(
    "gateway_overhead_seconds",
    "Time that the gateway itself took: not the upstream's, the queue's, the client's.",
    _OWN,
)
QUEUE: Final = _of.histogram("gateway_queue_seconds", "Time in the queue of those who had to wait.", LATENCY)
TTFB: Final = _of.histogram(
    "gateway_time_to_first_byte_seconds", "From the request's head to the head of its response.", STREAMS
)
STREAM: Final = _of.histogram(
    "gateway_stream_duration_seconds", "Whole time of requests whose response had no length when it began.", STREAMS
)
BY_PROTOCOL: Final = _of.values(
    "gateway_requests_by_protocol_total",
    "counter",
    "Finished requests by the version of HTTP of each side: of the client (downstream), and to the upstream for those "
    "that reached it.",
    [
        *(f'side="downstream",protocol="{version}"' for version in VERSIONS),
        *(f'side="upstream",protocol="{version}"' for version in VERSIONS[1:]),
    ],
    sparse=True,
)
BY_UPSTREAM_PROTOCOL: Final = BY_PROTOCOL + len(VERSIONS)
"""The first cell of the upstream's side, where nothing older than 1.1 is spoken."""
TUNNELS: Final = _of.values("gateway_tunnels", "gauge", "WebSockets that are open now.")
TUNNELS_ENDED: Final = _of.values(
    "gateway_tunnels_ended_total",
    "counter",
    "WebSockets that have ended, by what ended them: the side that ended first (client, upstream), tunnel_idle (idle), "
    "the farewell of a gateway that goes down (drained), a cut at the end of the drain (cut).",
    [f'end="{end}"' for end in TUNNEL_ENDS],
    sparse=True,
)
TUNNEL_DURATION: Final = _of.histogram("gateway_tunnel_duration_seconds", "How long WebSockets were open.", _TUNNELS)
TUNNEL_BYTES: Final = _of.values(
    "gateway_tunnel_bytes_total",
    "counter",
    "Bytes that WebSockets carried from the client (in) and to it (out); counted when they end.",
    ['direction="in"', 'direction="out"'],
    sparse=True,
)
CLIENT_GONE: Final = _of.histogram(
    "gateway_client_gone_to_upstream_closed_seconds",
    "From a client's leaving to the end of the upstream's work.",
    _GONE,
)
PHASE: Final = _of.values(
    "gateway_phase_seconds_total",
    "counter",
    "Where the time of finished requests went; the phases add up to their wall time.",
    [f'phase="{phase}"' for phase in PHASES],
    floating=True,
    sparse=True,
)
BYTES_IN: Final = _of.values("gateway_request_bytes_total", "counter", "Bytes of request bodies taken.", sparse=True)
BYTES_OUT: Final = _of.values(
    "gateway_response_bytes_total", "counter", "Bytes of responses' bodies given.", sparse=True
)
RETRIES: Final = _of.values(
    "gateway_retries_total",
    "counter",
    "Attempts besides the first one, by why the one before had failed; stale: a pooled connection was just closed.",
    [f'reason="{reason}"' for reason in RETRIED],
    sparse=True,
)
RETRIES_WITHHELD: Final = _of.values(
    "gateway_retries_withheld_total",
    "counter",
    "Failures for which retries are configured and that were not followed by one, by why not.",
    [f'cause="{cause}"' for cause in WITHHELD],
    sparse=True,
)
SHADOW_RETRIES: Final = _of.values(
    "gateway_shadow_retries_total",
    "counter",
    "Requests that retries in shadow mode would have sent again, by why.",
    [f'reason="{reason}"' for reason in RETRIED[1:]],
    sparse=True,
)
HEDGES: Final = _of.values(
    "gateway_hedges_total",
    "counter",
    "Second attempts beside the first one, by whether the caller got their response (won) or not (lost).",
    [f'result="{result}"' for result in RESULTS],
    sparse=True,
)
HEDGES_WITHHELD: Final = _of.values(
    "gateway_hedges_withheld_total",
    "counter",
    "Second attempts that were not made although it was time for them, by what there was none of.",
    [f'cause="{cause}"' for cause in HEDGES_WITHHELD_BY],
    sparse=True,
)
SHADOW_HEDGES: Final = _of.values(
    "gateway_shadow_hedges_total", "counter", "Second attempts that hedges in shadow mode would have made.", sparse=True
)
FALLBACKS: Final = _of.values(
    "gateway_fallbacks_total",
    "counter",
    "Requests that went to the fallback of their proxy, by what had failed before.",
    [f'cause="{cause}"' for cause in CAUSES],
    sparse=True,
)
FALLBACKS_WITHHELD: Final = _of.values(
    "gateway_fallbacks_withheld_total",
    "counter",
    "Requests that the upstream of their fallback rejected, so that the failure before stood, by what rejected them.",
    [f'cause="{cause}"' for cause in REJECTED],
    sparse=True,
)
SHADOW_REFUSALS: Final = _of.values(
    "gateway_shadow_refusals_total",
    "counter",
    "Requests that a protection in shadow mode would have refused, or cut.",
    [f'reason="{reason}"' for reason in SHADOWED],
    sparse=True,
)
RATE_LIMITED: Final = _of.values(
    "gateway_rate_limited_total",
    "counter",
    "Times that a rate limit refused a request, or would have in shadow mode, by what has a bucket of its own.",
    [f'key="{kind}"' for kind in KINDS],
    sparse=True,
)
RATE_KEYS: Final = _of.values(
    "gateway_rate_limit_keys",
    "gauge",
    "Keys that rate limits remember, by what has a bucket of its own.",
    [f'key="{kind}"' for kind in KINDS],
)
TOKENS: Final = _of.values(
    "gateway_ai_tokens_total",
    "counter",
    "Tokens that responses of language models report: of prompts (input), of results (output), and those of prompts "
    "that came from the cache of the upstream (cached).",
    [f'kind="{kind}"' for kind in TOKEN_KINDS],
    sparse=True,
)
FIRST_TOKEN: Final = _of.histogram(
    "gateway_ai_time_to_first_token_seconds", "From the request's head to the first token of a stream.", STREAMS
)
TOKEN_SPEED: Final = _of.histogram(
    "gateway_ai_tokens_per_second", "Tokens a second of a stream, after its first one.", _SPEEDS
)
USAGE_UNKNOWN: Final = _of.values(
    "gateway_ai_usage_unknown_total",
    "counter",
    "Responses of language models whose tokens are not known, or not all of them, by why not. Limits of tokens count "
    "what is known.",
    [f'cause="{cause}"' for cause in UNKNOWN],
    sparse=True,
)
ACTIVE: Final = _of.values("gateway_active_connections", "gauge", "Requests that are being served now.")
IN_FLIGHT: Final = _of.values("gateway_in_flight", "gauge", "Permits in use; without a limit, requests being served.")
LIMIT: Final = _of.values("gateway_concurrency_limit", "gauge", "Permits in all; 0: no limit.")
WAITING: Final = _of.values("gateway_waiting", "gauge", "Requests in the queue.")
WAITING_BY_PRIORITY: Final = _of.values(
    "gateway_waiting_by_priority",
    "gauge",
    "Requests in the queue, by their priority.",
    [f'priority="{priority}"' for priority in ("high", "normal", "low")],
)
NEWEST_FIRST: Final = _of.values(
    "gateway_queue_newest_first",
    "gauge",
    "Workers in whose queue the newest request goes first, because of an overload.",
)
QUEUE_LIMIT: Final = _of.values("gateway_queue_limit", "gauge", "Places in the queue; 0: no queue.")
MODE: Final = _of.values(
    "gateway_protection_mode",
    "gauge",
    "0: off, 1: shadow (counts only), 2: enforced.",
    [f'protection="{protection}"' for protection in PROTECTIONS],
)
BREAKER_STATE: Final = _of.values(
    "gateway_circuit_breaker_state",
    "gauge",
    "0: closed (also without a breaker), 1: open, 2: half-open. Of several, that of the breaker that decides.",
)
BREAKER_MOVES: Final = _of.values(
    "gateway_circuit_breaker_transitions_total",
    "counter",
    "Changes of the breaker's state; one that fell between two scrapes is seen here.",
    [f'from="{old}",to="{new}",reason="{reason}"' for old, new, reason in TRANSITIONS],
    sparse=True,
)
OPEN_SECONDS: Final = _of.values(
    "gateway_circuit_breaker_open_seconds_total", "counter", "Time for which the breaker was open.", floating=True
)
OPENED_AT: Final = PROXY.hidden(1)
"""Since when the breaker is open, on the monotonic clock, which all processes of a machine share; 0: it is not."""
ENDPOINTS: Final = _of.values(
    "gateway_endpoints",
    "gauge",
    "Endpoints of the upstream by what keeps requests from them (usable: nothing), where there are several or checks.",
    [f'state="{state}"' for state in ENDPOINT_STATES],
)
ENDPOINT_CHANGES: Final = _of.values(
    "gateway_endpoint_changes_total",
    "counter",
    "Changes of endpoints: down and up by checks; ejected, on probation and proved well by their requests; leaving and "
    "returned by their own reports.",
    [f'cause="{cause}"' for cause in ENDPOINT_CHANGES_BY],
    sparse=True,
)
PANICS: Final = _of.values(
    "gateway_endpoint_panics_total",
    "counter",
    "Choices among all endpoints, because too few were usable.",
    sparse=True,
)
EJECTIONS_HELD_BACK: Final = _of.values(
    "gateway_ejections_held_back_total",
    "counter",
    "Endpoints that failed and were not ejected, because max_share of them were already.",
    sparse=True,
)
POOL_OPEN: Final = _of.values("gateway_pool_open", "gauge", "Connections to the upstream, idle ones included.")
POOL_IDLE: Final = _of.values("gateway_pool_idle", "gauge", "Idle connections to the upstream.")
POOL_SESSIONS: Final = _of.values(
    "gateway_pool_sessions", "gauge", "Those of gateway_pool_open that speak HTTP/2, which many requests share."
)
POOL_STREAMS: Final = _of.values(
    "gateway_pool_streams", "gauge", "Requests that run on connections of HTTP/2 to the upstream."
)
DIALS: Final = _of.values("gateway_pool_dials_total", "counter", "Connections that were opened, or tried to be.")
ADAPTIVE_LIMIT: Final = _of.values(
    "gateway_adaptive_limit", "gauge", "The limit that was found (limiter.adaptive); 0: it does not adapt."
)
ADAPTIVE_DECISIONS: Final = _of.values(
    "gateway_adaptive_decisions_total",
    "counter",
    "Decisions of an adaptive limit, by cause: probe (up); late, dropped (down); relearn; bounds.",
    [f'cause="{cause}"' for cause in DECISION_CAUSES],
    sparse=True,
)
REUSES: Final = _of.values("gateway_pool_reuses_total", "counter", "Requests that went over a pooled connection.")

ENDPOINT: Final = Sheet(LAST)
_of = ENDPOINT

ENDPOINT_OUTCOMES: Final = ("success", "failure", "ignored")
REPORTS: Final = ("capacity", "drain", "ignored")
"""As `gateway.policy.capacity.KINDS`."""

ENDPOINT_UP: Final = _of.values(
    "gateway_endpoint_up",
    "gauge",
    "1: it gets requests; 0: it is down, ejected, drained or leaving, with several workers for at least one of them.",
)
ENDPOINT_IN_FLIGHT: Final = _of.values("gateway_endpoint_in_flight", "gauge", "Requests that run at the endpoint.")
ENDPOINT_REQUESTS: Final = _of.values(
    "gateway_endpoint_requests_total",
    "counter",
    "Attempts at the endpoint that have ended, by what they say of it; ignored: nothing, as when the client left.",
    [f'outcome="{outcome}"' for outcome in ENDPOINT_OUTCOMES],
)
ENDPOINT_EJECTIONS: Final = _of.values(
    "gateway_endpoint_ejections_total",
    "counter",
    "Times that its failures have ejected the endpoint, or would have in shadow mode.",
)
ENDPOINT_REPORTS: Final = _of.values(
    "gateway_endpoint_reports_total",
    "counter",
    "Reports of the endpoint: of its capacity, that it drains, and those that cannot be true (ignored).",
    [f'kind="{kind}"' for kind in REPORTS],
    sparse=True,
)
ENDPOINT_CAPACITY: Final = _of.values(
    "gateway_endpoint_capacity", "gauge", "Requests that the endpoint says it may have; 0: it says nothing that holds."
)

UPSTREAM: Final = Sheet(LAST)
"""Of an upstream that is used only as a fallback: what others have, their proxies show."""
_of = UPSTREAM

UPSTREAM_IN_FLIGHT: Final = _of.values(
    "gateway_upstream_in_flight", "gauge", "Permits in use; without a limit, requests that run at its endpoints."
)
UPSTREAM_LIMIT: Final = _of.values("gateway_upstream_concurrency_limit", "gauge", "Permits in all; 0: no limit.")
UPSTREAM_WAITING: Final = _of.values("gateway_upstream_waiting", "gauge", "Requests in its queue.")
UPSTREAM_QUEUE_LIMIT: Final = _of.values("gateway_upstream_queue_limit", "gauge", "Places in its queue; 0: no queue.")
UPSTREAM_BREAKER_STATE: Final = _of.values(
    "gateway_upstream_circuit_breaker_state",
    "gauge",
    "0: closed (also without a breaker), 1: open, 2: half-open. Of several, that of the breaker that decides.",
)
UPSTREAM_ENDPOINTS: Final = _of.values(
    "gateway_upstream_endpoints",
    "gauge",
    "Its endpoints by what keeps requests from them (usable: nothing), where there are several or checks.",
    [f'state="{state}"' for state in ENDPOINT_STATES],
)
UPSTREAM_BREAKER_MOVES: Final = _of.values(
    "gateway_upstream_circuit_breaker_transitions_total",
    "counter",
    "Changes of the state of its breakers.",
    [f'from="{old}",to="{new}",reason="{reason}"' for old, new, reason in TRANSITIONS],
    sparse=True,
)

PROCESS: Final = Sheet()
_of = PROCESS

CONNECTIONS: Final = _of.values("gateway_connections", "gauge", "Open connections of clients.")
HTTP_2_CONNECTIONS: Final = _of.values(
    "gateway_http2_connections", "gauge", "Those of gateway_connections that speak HTTP/2."
)
HTTP_2_STREAMS: Final = _of.values(
    "gateway_http2_streams", "gauge", "Requests of clients that run on connections of HTTP/2."
)
CONNECTION_LIMIT: Final = _of.values(
    "gateway_connections_limit", "gauge", "Most connections of clients that are accepted (limits.max_connections)."
)
CONNECTIONS_REFUSED: Final = _of.values(
    "gateway_connections_refused_total",
    "counter",
    "Connections closed at accept: too many in all (limit), or of one client (client).",
    ['reason="limit"', 'reason="client"'],
)
CONNECTIONS_CLOSED_IDLE: Final = _of.values(
    "gateway_connections_closed_idle_total", "counter", "Idle connections of clients closed to make room for new ones."
)
ACCEPT_FAILURES: Final = _of.values(
    "gateway_accept_failures_total", "counter", "Times that no connection could be accepted for lack of descriptors."
)
HANDSHAKES: Final = _of.values(
    "gateway_tls_handshakes_total",
    "counter",
    "TLS handshakes of clients: completed (full, resumed), or how they failed.",
    [f'outcome="{outcome}"' for outcome in HANDSHAKE_OUTCOMES],
    sparse=True,
)
HANDSHAKES_OPEN: Final = _of.values(
    "gateway_tls_handshakes_in_progress", "gauge", "TLS handshakes of clients that are not complete."
)
CALLBACK_FAILURES: Final = _of.values(
    "gateway_callback_failures_total",
    "counter",
    "Exceptions in callbacks of the event loop: mistakes of the gateway; the connection was cut.",
)
GENERATION: Final = _of.values("gateway_config_generation", "gauge", "Configurations that were applied so far.")
BUFFER_GETS: Final = _of.values("gateway_buffer_gets_total", "counter", "Times that a relay buffer was needed.")
BUFFER_PUTS: Final = _of.values("gateway_buffer_puts_total", "counter", "Relay buffers that came back.")
BUFFER_ALLOCATIONS: Final = _of.values("gateway_buffer_allocations_total", "counter", "Relay buffers that were made.")
LINES_DROPPED: Final = _of.values(
    "gateway_log_lines_dropped_total",
    "counter",
    "Access-log lines lost because their reader was too slow, or the disk was full.",
)
NAMES_UNRESOLVED: Final = _of.values(
    "gateway_name_resolution_failures_total",
    "counter",
    "Times that the name of an endpoint with expand_dns could not be resolved; its last addresses stay.",
)
LOOP_LAG: Final = _of.histogram(
    "gateway_event_loop_lag_seconds", "How late a timer of the event loop rang; sampled ten times a second.", _GONE
)
GC_PAUSE: Final = _of.histogram("gateway_gc_pause_seconds", "Pauses for Python's garbage collection.", _OWN)
