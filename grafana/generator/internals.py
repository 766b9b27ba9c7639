"""The gateway itself: is it up, is it fast, does it leak, and what does it say about its own faults?"""

from __future__ import annotations

from kit import Column, Dashboard, Query, Row, Variable, gauge, heatmap, stat, states, table, timeseries

INSTANCE = 'instance=~"$instance"'
UP = {0: ("down", "red"), 1: ("up", "green")}
BURN = ((1, "yellow"), (6, "orange"), (14.4, "red"))


def _rate(metric: str, by: str = "instance") -> str:
    return f"sum by ({by}) (rate({metric}{{{INSTANCE}}}[$__rate_interval]))"


def _quantile(quantile: float, metric: str) -> Query:
    buckets = f"sum by (instance, le) (rate({metric}_bucket{{{INSTANCE}}}[$__rate_interval]))"
    return Query(f"histogram_quantile({quantile}, {buckets})", f"{{{{instance}}}} p{quantile * 100:g}")


NOW = Row(
    "Now",
    [
        stat(
            "Worker",
            "The process that carries all traffic. Down: no one can connect; the supervisor starts it again within "
            "seconds, and standard error says why it ended.",
            "none",
            Query(f"min(gateway_worker_up{{{INSTANCE}}})", "worker"),
            texts=UP,
        ),
        stat(
            "Metrics",
            "Whether Prometheus reaches the admin listener. Down: all that you see here is old. Traffic does not need "
            "the control process, so it may well go on; check the host, the listener and Prometheus' token.",
            "none",
            Query(f'min(up{{job="gateway",{INSTANCE}}})', "metrics"),
            texts=UP,
        ),
        stat(
            "Connections of clients",
            "Open now, idle ones included. Each takes a file descriptor. Far more than requests under way: clients "
            "keep idle connections; shorten limits.keepalive_timeout.",
            "none",
            Query(f"sum(gateway_connections{{{INSTANCE}}})", "connections"),
        ),
        stat(
            "Gateway's own 99th percentile",
            "Of the time that the gateway itself adds to an exchange; promised are 5 ms. Above: see the lag of the "
            "event loop and the processor's time below.",
            "s",
            Query(f"histogram_quantile(0.99, {_rate('gateway_overhead_seconds_bucket', 'le')})", "p99"),
            steps=((0.0025, "yellow"), (0.005, "red")),
        ),
        stat(
            "Log lines lost",
            "Lines of the access log that were dropped within an hour because their reader was too slow. Traffic did "
            "not wait for it. Speed the reader up, or write to a file on a faster disk.",
            "none",
            Query(f"sum(increase(gateway_log_lines_dropped_total{{{INSTANCE}}}[1h]))", "lost"),
            steps=((1, "orange"),),
        ),
        gauge(
            "File descriptors",
            "Share in use of what the worker may open. Near 100 % no one can connect: raise the limit (ulimit -n, "
            "LimitNOFILE).",
            "percentunit",
            Query(
                f"max(gateway_worker_process_open_fds{{{INSTANCE}}} / gateway_worker_process_max_fds{{{INSTANCE}}})",
                "descriptors",
            ),
            steps=((0.5, "yellow"), (0.8, "red")),
            most=1,
        ),
    ],
)

SPEED = Row(
    "Is it fast?",
    [
        heatmap(
            "Gateway's own time",
            "What it adds to each exchange. The dark band should lie well below 1 ms. A second band far above it "
            "appears when the event loop is held up, or the processor is shared.",
            "gateway_overhead_seconds",
            INSTANCE,
        ),
        timeseries(
            "Overhead budget",
            "Speed at which the budget of exchanges above 5 ms is used up, over an hour: 1 lasts 30 days, 14.4 calls "
            "another process. Give it a core of its own, or take traffic away.",
            "none",
            Query(
                f"instance:gateway_overhead_slow:ratio1h{{{INSTANCE}}} / scalar(gateway:slo_gateway_overhead:budget)",
                "{{instance}}",
            ),
            steps=BURN,
            width=12,
        ),
        timeseries(
            "Lag of the event loop",
            "How late a timer rings: every exchange waits so long in addition, now and again. Above 0.1 s for minutes "
            "the worker has more to do than one core can, or another process takes its core.",
            "s",
            _quantile(0.5, "gateway_event_loop_lag_seconds"),
            _quantile(0.99, "gateway_event_loop_lag_seconds"),
            steps=((0.1, "red"),),
        ),
        timeseries(
            "Pauses of the garbage collection",
            "The slowest 1 %. They hold everything up. Growing along with memory: something is kept that should not "
            "be; report it.",
            "s",
            _quantile(0.99, "gateway_gc_pause_seconds"),
            steps=((0.05, "orange"),),
        ),
        timeseries(
            "Processor's time",
            "Seconds per second: the worker has one core, so near 1 it is full. Then spread traffic over more "
            "gateways. The control process should be near 0.",
            "percentunit",
            Query(
                _rate("gateway_worker_process_cpu_seconds_total", "instance, worker"), "{{instance}} worker {{worker}}"
            ),
            Query(_rate("process_cpu_seconds_total"), "{{instance}} control"),
            steps=((0.9, "red"),),
        ),
    ],
)

TLS = Row(
    "Does TLS work?",
    [
        timeseries(
            "TLS handshakes",
            "With clients, per second, by outcome. Full and resumed are complete. Many refused: one side rejects the "
            "certificate of the other. Not TLS: most often plain HTTP on this port. Timeout and room: peers that begin "
            "handshakes and do not finish them.",
            "ops",
            Query(_rate("gateway_tls_handshakes_total", "outcome"), "{{outcome}}"),
            stacked=True,
        ),
        timeseries(
            "TLS handshakes in progress",
            "With clients. At 1000 the oldest is closed for each new one. Many for long: a flood, or clients behind "
            "a line that loses packets; see the outcomes beside it.",
            "none",
            Query(f"gateway_tls_handshakes_in_progress{{{INSTANCE}}}", "{{instance}}"),
            steps=((1000, "red"),),
        ),
        timeseries(
            "Days until certificates end",
            "Of listeners, and those that are shown to upstreams. Below the line of 30 days renew it: the gateway "
            "takes new files within seconds. At 0 its peers reject it.",
            "d",
            Query(
                f"(gateway_certificate_expiry_seconds{{{INSTANCE}}} - time()) / 86400",
                "{{instance}} {{listener}}{{upstream}} {{name}}",
            ),
            steps=((7, "red"), (30, "orange")),
        ),
        timeseries(
            "Access tokens of connections",
            "How the token of each connection stands. unbound and not_authorized: a person has to run gateway "
            "connection authorize. misconfigured: correct auth of the connection. The others need no one.",
            "none",
            Query(
                f"max by (connection, status) (gateway_connection_token_status{{{INSTANCE}}}) == 1",
                "{{connection}} {{status}}",
            ),
        ),
        timeseries(
            "Access tokens that were needed",
            "Per second, by what came of it. adopted: another process had got it. unavailable: the identity provider "
            "is away; calls go on until their token ends.",
            "ops",
            Query(_rate("gateway_token_refreshes_total", "connection, outcome"), "{{connection}} {{outcome}}"),
            stacked=True,
        ),
        timeseries(
            "Minutes until access tokens end",
            "A saw: each is renewed a minute before its end, when a call uses it. One that falls below 0 is not used, "
            "or cannot be renewed.",
            "m",
            Query(
                f"(gateway_connection_token_expiry_seconds{{{INSTANCE}}} - time()) / 60",
                "{{instance}} {{connection}}",
            ),
        ),
    ],
)

LEAKS = Row(
    "Does it leak?",
    [
        timeseries(
            "Connections and their limit",
            "Open connections of clients, and how many are accepted at most. Near the limit idle connections are "
            "closed for new ones: raise limits.max_connections and the limit of file descriptors.",
            "none",
            Query(f"gateway_connections{{{INSTANCE}}}", "{{instance}} open"),
            Query(f"gateway_connections_limit{{{INSTANCE}}}", "{{instance}} limit"),
        ),
        timeseries(
            "Connections turned away, and callbacks that failed",
            "Per second. Refused: a client has too many, or all are in use. Closed: idle ones that made room. Not "
            "accepted: the kernel had no descriptor or memory. Failed callbacks are faults of the gateway: report "
            "what its log says of them.",
            "ops",
            Query(_rate("gateway_connections_refused_total", "reason"), "refused, {{reason}}"),
            Query(_rate("gateway_connections_closed_idle_total"), "{{instance}} closed"),
            Query(_rate("gateway_accept_failures_total"), "{{instance}} not accepted"),
            Query(_rate("gateway_callback_failures_total"), "{{instance}} failed callbacks"),
        ),
        timeseries(
            "Names that cannot be resolved",
            "Resolutions of the names of endpoints with expand_dns that fail, per second and over all workers. The "
            "last addresses stay meanwhile; look at the resolver, and at the log for the name.",
            "ops",
            Query(_rate("gateway_name_resolution_failures_total"), "{{instance}} failed"),
        ),
        timeseries(
            "Memory",
            "Resident. It rises after the start and then stays. A steady climb under steady traffic is a leak: report "
            "it, and restart the gateway before the kernel does.",
            "bytes",
            Query(f"gateway_worker_process_resident_memory_bytes{{{INSTANCE}}}", "{{instance}} worker {{worker}}"),
            Query(f"process_resident_memory_bytes{{{INSTANCE}}}", "{{instance}} control"),
        ),
        timeseries(
            "Relay buffers out",
            "Buffers that are filled and not yet passed on: about two for each body under way. When it does not come "
            "back to 0 without traffic, buffers leak: report it.",
            "none",
            Query(f"gateway_buffer_gets_total{{{INSTANCE}}} - gateway_buffer_puts_total{{{INSTANCE}}}", "{{instance}}"),
        ),
        timeseries(
            "Relay buffers",
            "Taken, and newly made because none was free, per second. Many new ones under steady load: buffers do not "
            "come back.",
            "ops",
            Query(_rate("gateway_buffer_gets_total"), "{{instance}} taken"),
            Query(_rate("gateway_buffer_allocations_total"), "{{instance}} made"),
        ),
        timeseries(
            "Connections and requests under way",
            "Connections of clients, and requests being served. Many connections and few requests are idle clients; "
            "see limits.keepalive_timeout.",
            "none",
            Query(f"sum by (instance) (gateway_connections{{{INSTANCE}}})", "{{instance}} connections"),
            Query(f"sum by (instance) (gateway_active_connections{{{INSTANCE}}})", "{{instance}} requests"),
        ),
        timeseries(
            "HTTP/2 of clients",
            "Connections that speak HTTP/2, and the requests that run on them. Many requests on one connection are "
            "normal; a climb without an end is a client that does not end its streams.",
            "none",
            Query(f"gateway_http2_connections{{{INSTANCE}}}", "{{instance}} connections"),
            Query(f"gateway_http2_streams{{{INSTANCE}}}", "{{instance}} requests"),
        ),
        timeseries(
            "Open file descriptors",
            "Of the worker process. The number follows that of its connections; when it climbs without them, "
            "descriptors leak: report it.",
            "none",
            Query(f"gateway_worker_process_open_fds{{{INSTANCE}}}", "{{instance}} worker {{worker}}"),
        ),
        timeseries(
            "Requests that no proxy took",
            "Per second, by reason. no_route: a caller has a wrong path, or a proxy is missing. bad_request and the "
            "like: a client sends something other than HTTP.",
            "reqps",
            Query(
                f'sum by (reason) (rate(gateway_errors_total{{{INSTANCE},proxy="-"}}[$__rate_interval]))',
                "{{reason}}",
            ),
        ),
    ],
)

OWN = "internal|template_missing|local_resources|overloaded"
"""Reasons that are the gateway's own doing."""
FAULTS = Row(
    "What does it say about itself?",
    [
        timeseries(
            "Its own failures",
            "Per second and proxy. internal is a bug: report it with the traceback of standard error. "
            "template_missing: a header of that proxy needs a value that is not set. "
            "local_resources: no descriptor, local port or memory for a connection. overloaded: too little processor "
            "time or memory, so that limits.shed_loop_lag or limits.shed_memory refuses a share.",
            "reqps",
            Query(
                f'sum by (proxy, reason) (rate(gateway_errors_total{{{INSTANCE},reason=~"{OWN}"}}[$__rate_interval]))',
                "{{proxy}}: {{reason}}",
            ),
        ),
        timeseries(
            "Reloads",
            "Within a rate interval. After one that failed, the last good configuration stays active and what was "
            "changed has no effect: standard error names file, line and remedy.",
            "none",
            Query(
                f"sum by (instance, result) (increase(gateway_reloads_total{{{INSTANCE}}}[$__rate_interval]))",
                "{{instance}} {{result}}",
            ),
            colours={"failed": "red"},
        ),
        states(
            "Worker up",
            "Each gap is a worker that ended, and cut the exchanges that it had. Standard error says why it did; the "
            "kernel's log, whether memory was short.",
            Query(f"gateway_worker_up{{{INSTANCE}}}", "{{instance}} worker {{worker}}"),
            UP,
            width=8,
        ),
        timeseries(
            "Starts of workers",
            "Processes that were started for each worker, within a rate interval. One each is a restart that somebody "
            "asked for; one that starts again and again is in a crash loop: standard error says why it ends. Those "
            "that worker_max_memory had replaced are shown too.",
            "none",
            Query(
                f"increase(gateway_worker_starts_total{{{INSTANCE}}}[$__rate_interval])",
                "{{instance}} worker {{worker}}",
            ),
            Query(f"gateway_worker_crash_loop{{{INSTANCE}}}", "{{instance}} worker {{worker}} crash loop"),
            Query(
                f"increase(gateway_worker_recycled_total{{{INSTANCE}}}[$__rate_interval])",
                "{{instance}} worker {{worker}} replaced for its memory",
            ),
        ),
        timeseries(
            "Cost of being watched",
            "Seconds that a scrape takes, in the control process, beside the traffic. It grows with the number of "
            "proxies; above a second, scrape less often.",
            "s",
            Query(f'scrape_duration_seconds{{job="gateway",{INSTANCE}}}', "{{instance}}"),
            steps=((1, "orange"),),
        ),
        table(
            "Gateways",
            "One line for each. Generations count the configurations that were applied. Gateways of one fleet that "
            "differ in it for long do not have the same configuration: one does not reach the database, or refuses "
            "what is there. Started lately, without anybody's doing: its worker ended by itself.",
            "instance",
            [
                Column("worker", f"max by (instance) (gateway_worker_up{{{INSTANCE}}})", texts=UP),
                Column("generation", f"max by (instance) (gateway_config_generation{{{INSTANCE}}})"),
                Column(
                    "worker runs for",
                    f"time() - max by (instance) (gateway_worker_process_start_time_seconds{{{INSTANCE}}})",
                    "s",
                    width=150,
                ),
                Column(
                    "control runs for",
                    f"time() - max by (instance) (process_start_time_seconds{{{INSTANCE}}})",
                    "s",
                    width=150,
                ),
                Column("proxies", f'count by (instance) (gateway_circuit_breaker_state{{{INSTANCE},proxy!="-"}})'),
            ],
            height=6,
        ),
        table(
            "Versions",
            "Which versions run, and how many gateways of each. More than one for longer than an update takes: "
            "one was forgotten.",
            "version",
            [Column("gateways", f"count by (version) (gateway_build_info{{{INSTANCE}}})")],
            height=5,
        ),
    ],
)

INTERNALS = Dashboard(
    "breakwater-internals",
    "Breakwater: internals",
    "The gateway itself: is it up, is it fast, does it leak, and what does it say about its own faults?",
    [Variable("instance", "Gateway", "label_values(gateway_worker_up, instance)")],
    [NOW, SPEED, TLS, LEAKS, FAULTS],
    [("Fleet", "breakwater-fleet"), ("One proxy", "breakwater-proxy")],
)
