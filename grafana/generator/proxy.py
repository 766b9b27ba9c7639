"""One proxy in depth: its failures by reason, where its time goes, its protections, and its connections."""

from __future__ import annotations

from kit import MODES, STATES, Dashboard, Query, Row, Variable, gauge, heatmap, stat, states, timeseries

INSTANCE = 'instance=~"$instance"'
P = f'{INSTANCE},proxy="$proxy"'
ONE = 'proxy="$proxy"'
"""Of recording rules, which know proxies and no instances."""
BURN = ((1, "yellow"), (6, "orange"), (14.4, "red"))


def _quantiles(metric: str, *quantiles: float) -> tuple[Query, ...]:
    buckets = f"sum by (le) (rate({metric}_bucket{{{P}}}[$__rate_interval]))"
    return tuple(Query(f"histogram_quantile({q}, {buckets})", f"p{q * 100:g}") for q in quantiles)


def _rate(metric: str, by: str = "", more: str = "") -> str:
    grouping = f"sum by ({by})" if by else "sum"
    return f"{grouping} (rate({metric}{{{P}{more}}}[$__rate_interval]))"


NOW = Row(
    "Now",
    [
        stat(
            "Requests",
            "Finished requests per second, refused ones included. A sudden rise may be callers that retry; a fall to "
            "nothing, callers that do not get through: see the fleet.",
            "reqps",
            Query(_rate("gateway_requests_total"), "requests"),
        ),
        stat(
            "Upstream fails",
            "Share of exchanges that the upstream failed within five minutes, its own 5xx and its open breaker "
            "included. Above 1.44 % it uses up its error budget 14 times too fast: call its owner, and name the "
            "reasons below.",
            "percentunit",
            Query(f"proxy:gateway_upstream_bad:ratio5m{{{ONE}}}", "upstream"),
            steps=((0.001, "yellow"), (0.0144, "red")),
        ),
        stat(
            "Gateway fails",
            "Share of requests that the gateway itself failed: internal (report it, with the traceback of standard "
            "error), template_missing (a header needs a value that is not set), local_resources (no descriptor, "
            "local port or memory for a connection) or overloaded (load shedding).",
            "percentunit",
            Query(f"proxy:gateway_own_bad:ratio5m{{{ONE}}}", "gateway"),
            steps=((0.00001, "yellow"), (0.001, "red")),
        ),
        stat(
            "Breaker",
            "Open: the upstream failed so often that requests are refused for recovery_timeout. Half-open: probes "
            "find out whether it is back. Closed also stands for a proxy without a breaker.",
            "none",
            Query(f"max(gateway_circuit_breaker_state{{{P}}})", "breaker"),
            texts=STATES,
        ),
        gauge(
            "Permits in use",
            "Share of max_concurrent; no data when there is no limit. At 100 % new requests wait, or get 429. When the "
            "upstream is slower than usual look there first; otherwise it may bear a higher limit.",
            "percentunit",
            Query(f"sum(gateway_in_flight{{{P}}}) / (sum(gateway_concurrency_limit{{{P}}}) > 0)", "permits"),
            steps=((0.8, "yellow"), (0.95, "red")),
            most=1,
        ),
        gauge(
            "Queue",
            "Share of the places to wait that are taken; no data without a queue. When it is full, the rest gets 429. "
            "Full for long: the upstream does not get done what is asked of it.",
            "percentunit",
            Query(f"sum(gateway_waiting{{{P}}}) / (sum(gateway_queue_limit{{{P}}}) > 0)", "queue"),
            steps=((0.5, "yellow"), (0.95, "red")),
            most=1,
        ),
    ],
)

FAULT = Row(
    "Whose fault?",
    [
        timeseries(
            "Responses, by status",
            "Responses per second, by exact status; 499 means that the client was gone. A 5xx without a reason in the "
            "panel on the right came from the upstream itself and was passed on as it was.",
            "reqps",
            Query(_rate("gateway_requests_total", "status"), "{{status}}"),
            stacked=True,
        ),
        timeseries(
            "Refused, failed and cut, by reason",
            "Per second, with whose doing it is. The reason is the same word as in the X-Gateway-Reason header and in "
            "the access log; the README's table says what each means.",
            "reqps",
            Query(_rate("gateway_errors_total", "source, reason"), "{{source}}: {{reason}}"),
            stacked=True,
        ),
        timeseries(
            "Error budgets",
            "Speed at which the budgets are used up, over an hour: 1 lasts 30 days, 14.4 pages at once. If "
            "the upstream's is the higher one, the gateway only reports it.",
            "none",
            Query(
                f"proxy:gateway_upstream_bad:ratio1h{{{ONE}}} / scalar(gateway:slo_upstream_availability:budget)",
                "upstream",
            ),
            Query(
                f"proxy:gateway_own_bad:ratio1h{{{ONE}}} / scalar(gateway:slo_gateway_availability:budget)", "gateway"
            ),
            steps=BURN,
            colours={"upstream": "red", "gateway": "purple"},
        ),
    ],
)

TIME = Row(
    "Where does the time go?",
    [
        heatmap(
            "Whole time of requests",
            "From the request's head to the response's last byte: many requests where it is dark. Two bands are two "
            "kinds of requests; a band that climbs is an upstream that slows down. The points lead to single requests "
            "by their id.",
            "gateway_request_duration_seconds",
            P,
        ),
        timeseries(
            "Phases",
            "Seconds spent per second in each phase; together, the number of requests that are under way. The phase "
            "that grew shows the cause: first_byte and transfer the upstream, upload and blocked the clients, queue "
            "the limiter, dial the network, own the gateway.",
            "none",
            Query(_rate("gateway_phase_seconds_total", "phase"), "{{phase}}"),
            stacked=True,
            width=12,
        ),
        timeseries(
            "Upstream's latency",
            "From the request sent to the first byte of the response. It rises before an upstream fails. When p50 is "
            "as usual and p99 rises, some of its work is slow; when both rise, it is overloaded.",
            "s",
            *_quantiles("gateway_upstream_latency_seconds", 0.5, 0.95, 0.99),
        ),
        timeseries(
            "Time to the first byte",
            "What a caller waits before a response begins: the queue and the gateway's own time included. Much more "
            "than the upstream's latency means that requests wait for permits.",
            "s",
            *_quantiles("gateway_time_to_first_byte_seconds", 0.5, 0.95, 0.99),
        ),
        timeseries(
            "Duration of streams",
            "Whole time of responses whose length was not known when they began. They hold their permit to the end, so "
            "longer ones need a higher max_concurrent for the same traffic.",
            "s",
            *_quantiles("gateway_stream_duration_seconds", 0.5, 0.95, 0.99),
        ),
        timeseries(
            "Gateway's own time",
            "What the gateway itself adds, without queue, upstream and clients; promised are 5 ms for 99 %. When it "
            "rises, its processor is short of time: see Internals.",
            "s",
            *_quantiles("gateway_overhead_seconds", 0.5, 0.99),
            steps=((0.005, "red"),),
        ),
        timeseries(
            "Time in the queue",
            "Of those that had to wait. When it comes near queue.timeout, they begin to get 429 in vain: let fewer "
            "wait (max_waiting), or have the upstream do more at once.",
            "s",
            *_quantiles("gateway_queue_seconds", 0.5, 0.95, 0.99),
        ),
        timeseries(
            "From a client's leaving to the end of its work",
            "How long the upstream goes on working for a caller that left; it should be below 0.1 s. Longer: "
            "the event loop is late, see Internals.",
            "s",
            *_quantiles("gateway_client_gone_to_upstream_closed_seconds", 0.5, 0.99),
            steps=((0.1, "red"),),
        ),
    ],
)

PROTECTIONS = Row(
    "What does the gateway do about it?",
    [
        timeseries(
            "Limiter and queue",
            "Permits in use and requests waiting, against their limits (0: none). In use at the limit with no one "
            "waiting is a proxy that is well used; a queue that never empties is one that is too small for its "
            "demand.",
            "none",
            Query(f"sum(gateway_in_flight{{{P}}})", "in flight"),
            Query(f"sum(gateway_concurrency_limit{{{P}}})", "max_concurrent"),
            Query(f"sum(gateway_waiting{{{P}}})", "waiting"),
            Query(f"sum(gateway_queue_limit{{{P}}})", "max_waiting"),
            colours={"max_concurrent": "red", "max_waiting": "orange"},
        ),
        timeseries(
            "Who waits, and who is next",
            "Requests in the queue by priority, and the workers in which the newest goes first (queue.codel): all "
            "waits were above its target, so the queue does not absorb a burst but delays everyone.",
            "none",
            Query(f"sum by (priority) (gateway_waiting_by_priority{{{P}}})", "{{priority}}"),
            Query(f"sum(gateway_queue_newest_first{{{P}}})", "newest first"),
        ),
        timeseries(
            "A limit that adapts",
            "The limit that was found (limiter.adaptive; not enforced in shadow mode), and its decisions within a rate "
            "interval. Up and down by one or two is its search. Down by dropped: the upstream refuses, or does not "
            "respond. For long at its max: raise that, or the upstream sends the head of a response before it works "
            "(signal: first_event).",
            "none",
            Query(f"max(gateway_adaptive_limit{{{P}}})", "limit"),
            Query(
                f"sum by (cause) (increase(gateway_adaptive_decisions_total{{{P}}}[$__rate_interval]))",
                "{{cause}}",
            ),
        ),
        states(
            "Breaker's state",
            "Open for long: the upstream is down, call its owner. Open and closed in turns: it breaks under load and "
            "recovers without; lower max_concurrent.",
            Query(f"max by (instance) (gateway_circuit_breaker_state{{{P}}})", "{{instance}}"),
            STATES,
            width=8,
        ),
        timeseries(
            "Breaker's changes of state",
            "Within a rate interval, by reason; those that fell between two scrapes are here too. probe_failed again "
            "and again: the upstream is not back yet. reset: a superuser closed it.",
            "none",
            Query(
                "sum by (from, to, reason)"
                f" (increase(gateway_circuit_breaker_transitions_total{{{P}}}[$__rate_interval]))",
                "{{from}} to {{to}}: {{reason}}",
            ),
        ),
        timeseries(
            "Share of time with an open breaker",
            "1 is always. While it is open callers get 503 at once, and the upstream is left in peace. Above 0 again "
            "and again: it never recovers for good; call its owner.",
            "percentunit",
            Query(
                f"sum by (instance) (rate(gateway_circuit_breaker_open_seconds_total{{{P}}}[$__rate_interval]))",
                "{{instance}}",
            ),
            most=1,
        ),
        timeseries(
            "Served by the fallback",
            "Requests per second that the fallback of the proxy has served, by what had failed before. They are no "
            "errors, so nothing else shows them: above 0, look at the upstream. Withheld: the upstream of the fallback "
            "rejected the request, and the failure before stood.",
            "reqps",
            Query(_rate("gateway_fallbacks_total", "cause"), "{{cause}}"),
            Query(_rate("gateway_fallbacks_withheld_total", "cause"), "withheld: {{cause}}"),
        ),
        timeseries(
            "What shadow mode would have refused",
            "Requests per second that a protection in shadow mode counts and lets through. When these are the ones "
            "that you would want to refuse, enforce it.",
            "reqps",
            Query(_rate("gateway_shadow_refusals_total", "reason"), "{{reason}}"),
        ),
        timeseries(
            "Rate limits",
            "Requests per second that a rate limit refused, or would have in shadow mode, by the kind of its key, and "
            "the keys that it remembers. Refusals go up: look in the log who it is. Keys go up without end: callers "
            "make up values of a header.",
            "none",
            Query(_rate("gateway_rate_limited_total", "key"), "refused by {{key}}"),
            Query(f"max by (key) (gateway_rate_limit_keys{{{P}}}) > 0", "keys of {{key}}"),
        ),
        states(
            "Protections",
            "Whether each is off, only counts (shadow) or acts. A change here explains a change elsewhere. Off where "
            "an upstream is in trouble: switch it on.",
            Query(f"max by (protection) (gateway_protection_mode{{{P}}})", "{{protection}}"),
            MODES,
            width=8,
        ),
    ],
)

CONNECTIONS = Row(
    "Connections",
    [
        timeseries(
            "Requests under way",
            "Requests that are being served at this moment, those in the queue and streams included. A climb without "
            "more requests per second: the upstream slows down.",
            "none",
            Query(f"sum(gateway_active_connections{{{P}}})", "under way"),
        ),
        timeseries(
            "Endpoints",
            "How many get requests (usable), are down by their checks, ejected for their failures, drained by an "
            "operator or by their own report (leaving). Of an "
            "upstream with one endpoint and no checks nothing is shown.",
            "none",
            Query(f"max by (state) (gateway_endpoints{{{P}}})", "{{state}}"),
        ),
        timeseries(
            "Changes of endpoints",
            "Per second, by cause: down and up by checks; ejected, on probation and proved well by their requests; "
            "leaving and returned by their own reports. "
            "Many in turn: an endpoint flaps. panic: requests that went to all endpoints, because too few were usable.",
            "ops",
            Query(_rate("gateway_endpoint_changes_total", "cause"), "{{cause}}"),
            Query(_rate("gateway_endpoint_panics_total"), "panic"),
            Query(_rate("gateway_ejections_held_back_total"), "ejection held back"),
        ),
        timeseries(
            "Connections to the upstream",
            "Open ones, and those of them that are idle. Many open and none idle under steady load: they do not come "
            "back; look for streams that never end.",
            "none",
            Query(f"sum(gateway_pool_open{{{P}}})", "open"),
            Query(f"sum(gateway_pool_idle{{{P}}})", "idle"),
        ),
        timeseries(
            "New and reused connections",
            "Per second. When most are new, the upstream closes connections early: raise its keep-alive time above the "
            "idle of timeout_config, or lower that one.",
            "cps",
            Query(_rate("gateway_pool_dials_total"), "dialled"),
            Query(_rate("gateway_pool_reuses_total"), "reused"),
        ),
        timeseries(
            "Versions of HTTP",
            "Requests per second by version: of the callers (downstream), and to the upstream. 1.1 to an upstream that "
            "speaks HTTP/2: set http2 of the upstream, or see whether a forward proxy or WebSockets exclude it.",
            "reqps",
            Query(_rate("gateway_requests_by_protocol_total", "side, protocol"), "{{side}}: {{protocol}}"),
        ),
        timeseries(
            "HTTP/2 to the upstream",
            "Connections that many requests share, and the requests that run on them. As many connections as requests: "
            "the upstream allows few streams on a connection (SETTINGS_MAX_CONCURRENT_STREAMS).",
            "none",
            Query(f"sum(gateway_pool_sessions{{{P}}})", "connections"),
            Query(f"sum(gateway_pool_streams{{{P}}})", "requests"),
        ),
        timeseries(
            "Retries",
            "Per second, by why the attempt before had failed. Stale: a pooled connection was closed just then: a few "
            "are normal, many mean that its keep-alive time is shorter than idle of timeout_config. Withheld: a "
            "failure without a retry, by why. Budget: more requests fail than retries can hide.",
            "reqps",
            Query(_rate("gateway_retries_total", "reason"), "{{reason}}"),
            Query(_rate("gateway_retries_withheld_total", "cause"), "withheld: {{cause}}"),
        ),
        timeseries(
            "Hedges",
            "Second attempts per second. Won: the caller got the response of the second one. Few are won: the time in "
            "after is too short, or all endpoints are slow. Withheld: there was no token in the budget, no free permit "
            "or no other endpoint; many because the budget is empty: the upstream as a whole is slower than it was.",
            "reqps",
            Query(_rate("gateway_hedges_total", "result"), "{{result}}"),
            Query(_rate("gateway_hedges_withheld_total", "cause"), "withheld: {{cause}}"),
        ),
        timeseries(
            "Share of requests with a hedge",
            "The load that hedges add. It stays below retries.budget, 0.2 unless you set it, and with after: p95 near "
            "0.05. Near the budget, with many withheld because it is empty: the upstream is slow as a whole, and "
            "hedges no longer help.",
            "percentunit",
            Query(f"{_rate('gateway_hedges_total')} / {_rate('gateway_requests_total')}", "hedged"),
        ),
        timeseries(
            "Streams that stall",
            "Per second. stream_stalled: no event with data came within first_event or event_gap: the work hangs, and "
            "the connection looks alive. no_event_stream: behind queue.comments came a response that is no stream.",
            "ops",
            Query(_rate("gateway_errors_total", "reason", ',reason=~"stream_stalled|no_event_stream"'), "{{reason}}"),
        ),
        timeseries(
            "Bytes",
            "Of bodies, per second. A fall of responses' bytes with the same number of requests: they became errors.",
            "Bps",
            Query(_rate("gateway_request_bytes_total"), "requests"),
            Query(_rate("gateway_response_bytes_total"), "responses"),
        ),
    ],
)

WEBSOCKETS = Row(
    "WebSockets",
    [
        timeseries(
            "Open WebSockets",
            "Each holds a permit and two connections. A climb that never ends: clients that do not close them, or "
            "tunnel_idle is too long.",
            "none",
            Query(f"sum(gateway_tunnels{{{P}}})", "open"),
        ),
        timeseries(
            "Bytes of WebSockets",
            "Per second, from the client (in) and to it (out), of those that have ended. A WebSocket counts at its end "
            "as a whole, so long ones show as peaks.",
            "Bps",
            Query(_rate("gateway_tunnel_bytes_total", "direction"), "{{direction}}"),
        ),
        timeseries(
            "Ends of WebSockets",
            "Per second, by what ended them. Many idle: the peers send no Pings within tunnel_idle. cut: still open at "
            "the end of drain_timeout.",
            "ops",
            Query(_rate("gateway_tunnels_ended_total", "end"), "{{end}}"),
            stacked=True,
        ),
        timeseries(
            "How long WebSockets were open",
            "Of those that have ended. Short ones in large numbers are clients that connect again and again: see what "
            "ended them.",
            "s",
            *_quantiles("gateway_tunnel_duration_seconds", 0.5, 0.95),
        ),
    ],
)

MODELS = Row(
    "Language models",
    [
        timeseries(
            "Tokens, by kind",
            "Per second, as responses report them when they end; no data without the setting ai. cached is a part of "
            "input: the more of it, the cheaper the prompts.",
            "none",
            Query(_rate("gateway_ai_tokens_total", "kind"), "{{kind}}"),
        ),
        timeseries(
            "Time to the first token",
            "Of streams, from the head of the request, with its time in the queue. It rises: the model has too many "
            "prompts at once, or longer ones.",
            "s",
            *_quantiles("gateway_ai_time_to_first_token_seconds", 0.5, 0.95),
        ),
        timeseries(
            "Tokens a second of a stream",
            "After its first token: half of the streams are slower than p50, one in twenty is slower than p5. They "
            "fall while many streams run: the model shares its time among them, so a lower limit may serve all sooner.",
            "none",
            *_quantiles("gateway_ai_tokens_per_second", 0.5, 0.05),
        ),
        timeseries(
            "Tokens not known",
            "Responses per second whose tokens could not be read, by why not; limits of tokens do not see them. "
            "encoded: set Accept-Encoding: identity in headers. absent: streams of OpenAI need include_usage.",
            "ops",
            Query(_rate("gateway_ai_usage_unknown_total", "cause"), "{{cause}}"),
            stacked=True,
        ),
    ],
)

PROXY = Dashboard(
    "breakwater-proxy",
    "Breakwater: one proxy",
    "One proxy in depth: its failures by reason, where its time goes, its protections and connections, its WebSockets "
    "and its models.",
    [
        Variable("instance", "Gateway", "label_values(gateway_circuit_breaker_state, instance)"),
        Variable(
            "proxy",
            "Proxy",
            'label_values(gateway_circuit_breaker_state{instance=~"$instance",proxy!="-"}, proxy)',
            several=False,
        ),
    ],
    [NOW, FAULT, TIME, PROTECTIONS, CONNECTIONS, WEBSOCKETS, MODELS],
    [("Fleet", "breakwater-fleet"), ("Internals", "breakwater-internals")],
)
