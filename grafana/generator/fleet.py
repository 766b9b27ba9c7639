"""All proxies at once: which upstream is in trouble, whose fault it is, and what the gateway does about it."""

from __future__ import annotations

from kit import STATES, Column, Dashboard, Query, Row, Variable, stat, states, table, timeseries

P = 'proxy=~"$proxy"'
LINK = "/d/breakwater-proxy?var-proxy=${__data.fields.proxy}&${datasource:queryparam}&${__url_time_range}"
LEGEND = "{{severity}}: {{alertname}} {{proxy}}"
RATIO = ((0.001, "yellow"), (0.01, "orange"), (0.05, "red"))
BURN = ((1, "yellow"), (6, "orange"), (14.4, "red"))

FAULTS = {
    0: ("no one's", "green"),
    1: ("upstream", "red"),
    2: ("gateway", "purple"),
    3: ("upstream, gateway", "red"),
    4: ("clients leave", "blue"),
    5: ("upstream, clients leave", "red"),
    6: ("gateway, clients leave", "purple"),
    7: ("all three", "red"),
}
ACTIONS = {
    0: ("passes all", "green"),
    1: ("breaker not closed", "red"),
    2: ("refuses some", "orange"),
    3: ("breaker not closed, refuses", "red"),
    4: ("lets some wait", "yellow"),
    5: ("breaker not closed, some wait", "red"),
    6: ("refuses some, lets some wait", "orange"),
    7: ("breaker not closed, refuses, some wait", "red"),
}

FAULT = (
    f"(proxy:gateway_own_bad:ratio5m{{{P}}} > bool 0.001) * 2"
    f" + (proxy:gateway_client_gone:ratio5m{{{P}}} > bool 0.2) * 4"
    f" + ((proxy:gateway_upstream_bad:ratio5m{{{P}}} > bool 0.01) or proxy:gateway_own_bad:ratio5m{{{P}}} * 0)"
)
ACTION = (
    f"(max by (proxy) (gateway_circuit_breaker_state{{{P}}}) > bool 0)"
    f" + (sum by (proxy) (gateway_waiting{{{P}}}) > bool 0) * 4"
    f" + 2 * ((proxy:gateway_refused:rate5m{{{P}}} > bool 0)"
    f" or sum by (proxy) (gateway_waiting{{{P}}}) * 0)"
)


def _share(bad: str, total: str) -> str:
    return f"sum(proxy:gateway_{bad}:rate5m{{{P}}}) / (sum(proxy:gateway_{total}:rate5m{{{P}}}) > 0)"


NOW = Row(
    "Is anything wrong?",
    [
        stat(
            "Requests",
            "Requests per second that were finished, over five minutes, refused ones included. A sudden fall to "
            "nothing means that callers do not reach the gateway: look at the worker on the right, then at what "
            "stands before it.",
            "reqps",
            Query(f"sum(proxy:gateway_requests:rate5m{{{P}}})", "requests"),
        ),
        stat(
            "Upstreams' fault",
            "Share of exchanges that an upstream failed: broken connections, timeouts, broken responses, its own 5xx, "
            "and what its open breaker refuses. When it is not green, the table below names the proxy; call the owner "
            "of its upstream.",
            "percentunit",
            Query(_share("upstream_bad", "upstream_total"), "upstream"),
            steps=RATIO,
        ),
        stat(
            "Gateway's fault",
            "Share of requests that the gateway failed by itself: internal, template_missing, local_resources, "
            "overloaded. It should be 0. When it is not, open the proxy in the table below and read its reasons; "
            "standard error of the gateway has the details.",
            "percentunit",
            Query(_share("own_bad", "requests"), "gateway"),
            steps=((0.00001, "yellow"), (0.001, "red")),
        ),
        stat(
            "Callers who left",
            "Share of requests whose client went away before its response was complete. Some always do. When it rises, "
            "responses have become slower than callers have patience: look at the latency of their upstream.",
            "percentunit",
            Query(_share("client_gone", "requests"), "left"),
            steps=((0.05, "yellow"), (0.2, "orange")),
        ),
        stat(
            "Breakers not closed",
            "Breakers that are open or half-open now. The timeline below shows which, and since when. They close by "
            "themselves once their upstream responds again.",
            "none",
            Query(f"count(gateway_circuit_breaker_state{{{P}}} > 0) or vector(0)", "breakers"),
            steps=((1, "red"),),
        ),
        stat(
            "Workers down",
            "Gateways whose worker, which carries all traffic, does not run, or which give no metrics at all. The "
            "supervisor starts a worker again within seconds; when it stays down read standard error, and see "
            "Internals.",
            "none",
            Query(
                '(sum(1 - gateway_worker_up) or vector(0)) + (count(up{job="gateway"} == 0) or vector(0))', "workers"
            ),
            steps=((1, "red"),),
        ),
    ],
)

PROXIES = Row(
    "Who is in trouble, whose fault is it, and what does the gateway do about it?",
    [
        table(
            "Proxies",
            "One line for each proxy, the worst first; its name opens it in depth. FAULT names who fails: the "
            "upstream beyond 1 %, the gateway beyond 0.1 %, callers who leave beyond 20 %. ACTION is what the gateway "
            "does about it. BURN is the speed at which the upstream's error budget is used up, over an hour: 1 lasts "
            "a month, 14.4 pages. The proxy - stands for requests that no proxy took.",
            "proxy",
            [
                Column("fault", FAULT, texts=FAULTS, width=180),
                Column("action", ACTION, texts=ACTIONS, width=240),
                Column("requests", f"proxy:gateway_requests:rate5m{{{P}}}", "reqps"),
                Column("upstream fails", f"proxy:gateway_upstream_bad:ratio5m{{{P}}}", "percentunit", RATIO),
                Column(
                    "burn",
                    f"proxy:gateway_upstream_bad:ratio1h{{{P}}} / scalar(gateway:slo_upstream_availability:budget)",
                    "none",
                    BURN,
                ),
                Column("gateway fails", f"proxy:gateway_own_bad:ratio5m{{{P}}}", "percentunit", RATIO),
                Column(
                    "refused",
                    f"proxy:gateway_refused:ratio5m{{{P}}}",
                    "percentunit",
                    ((0.01, "yellow"), (0.1, "orange")),
                ),
                Column("clients left", f"proxy:gateway_client_gone:ratio5m{{{P}}}", "percentunit", ((0.2, "blue"),)),
                Column(
                    "upstream p99",
                    "histogram_quantile(0.99, sum by (proxy, le)"
                    f" (rate(gateway_upstream_latency_seconds_bucket{{{P}}}[$__rate_interval])))",
                    "s",
                ),
                Column("in flight", f"sum by (proxy) (gateway_in_flight{{{P}}})"),
                Column("waiting", f"sum by (proxy) (gateway_waiting{{{P}}})", steps=((1, "yellow"),)),
            ],
            link=LINK,
            sort="upstream fails",
        ),
    ],
)

COURSE = Row(
    "How did it come to this?",
    [
        states(
            "Alerts",
            "Which alerts fire, and since when; empty is good. Begin with the page that began first: what came after "
            "it may be its consequence. Each alert's annotations say what to do.",
            Query('max by (severity, alertname, proxy) (ALERTS{alertstate="firing",fault!=""})', LEGEND),
            {1: ("fires", "red")},
            width=24,
        ),
        timeseries(
            "Failures, by whose fault",
            "Failed exchanges per second, charged to one side each. One colour that stands out shows "
            "whom to call. The gateway's refusals are not failures; they are on the right.",
            "reqps",
            Query(f"sum(proxy:gateway_upstream_bad:rate5m{{{P}}})", "upstream"),
            Query(f"sum(proxy:gateway_own_bad:rate5m{{{P}}})", "gateway"),
            Query(f"sum(proxy:gateway_client_gone:rate5m{{{P}}})", "client left"),
            stacked=True,
            colours={"upstream": "red", "gateway": "purple", "client left": "blue"},
        ),
        timeseries(
            "Upstreams that fail",
            "Share of its exchanges that each upstream fails. Several at once that rise together share something: a "
            "host, a network, a database. One alone: open its proxy.",
            "percentunit",
            Query(f"proxy:gateway_upstream_bad:ratio5m{{{P}}}", "{{proxy}}"),
            steps=((0.0144, "red"),),
        ),
        timeseries(
            "Refused by protections",
            "Requests per second that rate limits, limiter, queue and breaker turned away, by reason. They protect an "
            "upstream, so they are right; but callers feel them. rate_limit: someone asks too often. concurrency_limit "
            "and queue_full: more demand than the upstream bears. breaker_open and no_healthy_endpoint: it "
            "fails.",
            "reqps",
            Query(
                "sum by (reason) (proxy_reason:gateway_errors:rate5m"
                f'{{{P},reason=~"rate_limit|concurrency_limit|queue_full|queue_timeout|queue_predicted_timeout|'
                'breaker_open|no_healthy_endpoint"})',
                "{{reason}}",
            ),
            stacked=True,
        ),
        timeseries(
            "Retries and hedges that shadow mode would make",
            "Per second, by proxy and what had failed. When they would help, enforce them: they take from a budget.",
            "ops",
            Query(
                f"sum by (proxy, reason) (rate(gateway_shadow_retries_total{{{P}}}[$__rate_interval]))",
                "{{proxy}}: {{reason}}",
            ),
            Query(
                f"sum by (proxy) (rate(gateway_shadow_hedges_total{{{P}}}[$__rate_interval]))",
                "{{proxy}}: hedges",
            ),
        ),
        states(
            "Breakers",
            "The state of each breaker that there is or was trouble with. Red and orange in turns: the upstream comes "
            "back and breaks again; give it less at once (max_concurrent) or more time (recovery_timeout).",
            Query(f"max by (proxy) (gateway_circuit_breaker_state{{{P}}})", "{{proxy}}"),
            STATES,
        ),
        timeseries(
            "Upstreams' error budgets",
            "How fast each upstream uses up its error budget, over an hour. 1 makes it last 30 days; above 14.4 "
            "an alert pages at once, above 6 after some hours.",
            "none",
            Query(
                f"proxy:gateway_upstream_bad:ratio1h{{{P}}} / scalar(gateway:slo_upstream_availability:budget)",
                "{{proxy}}",
            ),
            steps=BURN,
            width=12,
        ),
        timeseries(
            "Requests, by proxy",
            "Finished requests per second. Callers that retry show as a rise along with failures: ask them to obey "
            "Retry-After.",
            "reqps",
            Query(f"proxy:gateway_requests:rate5m{{{P}}}", "{{proxy}}"),
            stacked=True,
        ),
        timeseries(
            "Upstreams' latency, p99",
            "From the request sent to the first byte of the response; of the slowest 1 %. It rises before an upstream "
            "fails: with it rise permits in use, then waiting, then 429.",
            "s",
            Query(
                "histogram_quantile(0.99, sum by (proxy, le)"
                f" (rate(gateway_upstream_latency_seconds_bucket{{{P}}}[$__rate_interval])))",
                "{{proxy}}",
            ),
        ),
        timeseries(
            "Permits in use",
            "Of those that max_concurrent allows, where there is a limit. At 100 % new requests wait or get 429. If "
            "the upstream is as fast as ever and could bear more, raise max_concurrent.",
            "percentunit",
            Query(
                f"sum by (proxy) (gateway_in_flight{{{P}}}) / (sum by (proxy) (gateway_concurrency_limit{{{P}}}) > 0)",
                "{{proxy}}",
            ),
            steps=((0.95, "red"),),
            most=1,
        ),
    ],
)

E = 'upstream=~"$upstream"'
ENDPOINT = "{{upstream}} {{endpoint}}"

ENDPOINTS = Row(
    "Endpoints, of upstreams with several or with checks",
    [
        states(
            "Which endpoints get requests",
            "Down by its checks, ejected for its failures, or drained: it gets none. One that comes and goes flaps; "
            "gateway explain says why it stands as it stands.",
            Query(f"min by (upstream, endpoint) (gateway_endpoint_up{{{E}}})", ENDPOINT),
            {0: ("gets none", "red"), 1: ("in use", "green")},
            width=12,
        ),
        timeseries(
            "Requests at each endpoint",
            "That run now. With least_request and equal weights the lines lie close together: one that stays above "
            "the others is slower than they are, or has streams that do not end.",
            "none",
            Query(f"sum by (upstream, endpoint) (gateway_endpoint_in_flight{{{E}}})", ENDPOINT),
            width=12,
        ),
        timeseries(
            "Attempts, by endpoint",
            "That end in a second, failures included. The shares follow the weights with round_robin and random; an "
            "endpoint that lags behind is slow, cold, or passed over.",
            "reqps",
            Query(
                f"sum by (upstream, endpoint) (rate(gateway_endpoint_requests_total{{{E}}}[$__rate_interval]))",
                ENDPOINT,
            ),
        ),
        timeseries(
            "Failures, by endpoint",
            "Share of the attempts that were a failure of the endpoint; those that say nothing of it, as when the "
            "client left, do not count. One line above the others: that endpoint is broken, not the service.",
            "percentunit",
            Query(
                "sum by (upstream, endpoint)"
                f' (rate(gateway_endpoint_requests_total{{{E},outcome="failure"}}[$__rate_interval]))'
                " / (sum by (upstream, endpoint)"
                f' (rate(gateway_endpoint_requests_total{{{E},outcome!="ignored"}}[$__rate_interval])) > 0)',
                ENDPOINT,
            ),
            steps=RATIO,
            most=1,
        ),
        timeseries(
            "Places that endpoints report",
            "Requests that each endpoint says it may have (capacity reports); 0: it says nothing that holds. Their sum "
            "is the limit of the upstream, as long as it is below max_concurrent.",
            "none",
            Query(f"max by (upstream, endpoint) (gateway_endpoint_capacity{{{E}}})", ENDPOINT),
        ),
        timeseries(
            "Reports, by kind",
            "Per second: of the capacity, that an endpoint drains, and those that are ignored because they cannot be "
            "true. Ignored ones: look at what the endpoint writes into the field.",
            "ops",
            Query(
                f"sum by (upstream, kind) (rate(gateway_endpoint_reports_total{{{E}}}[$__rate_interval]))",
                "{{upstream}} {{kind}}",
            ),
        ),
        timeseries(
            "Ejections, by endpoint",
            "Per second. An endpoint is ejected for a time after failures in a row. Again and again the same one: take "
            "it down, and look at its own logs.",
            "ops",
            Query(
                f"sum by (upstream, endpoint) (rate(gateway_endpoint_ejections_total{{{E}}}[$__rate_interval]))",
                ENDPOINT,
            ),
        ),
    ],
)

FALLBACKS = Row(
    "Upstreams that are only fallbacks",
    [
        states(
            "Breakers of fallbacks",
            "The state of each breaker of an upstream that is used only as a fallback. Red: what falls back "
            "gets 503, because the spare fails too.",
            Query("max by (upstream) (gateway_upstream_circuit_breaker_state)", "{{upstream}}"),
            STATES,
            width=12,
        ),
        timeseries(
            "Permits of fallbacks in use",
            "And the limit. Above 0 for long: the first upstream of a proxy does not come back. At the limit the rest "
            "waits, or gets 429. Attempts and failures are in the row of the endpoints.",
            "none",
            Query("sum by (upstream) (gateway_upstream_in_flight)", "{{upstream}}"),
            Query("max by (upstream) (gateway_upstream_concurrency_limit) > 0", "{{upstream}} limit"),
            width=12,
        ),
        timeseries(
            "Queues of fallbacks",
            "Requests that wait for a permit of the spare, and its places. They have been at the first upstream, or in "
            "its queue, already: when they wait here for long, the spare is too small.",
            "none",
            Query("sum by (upstream) (gateway_upstream_waiting)", "{{upstream}}"),
            Query("max by (upstream) (gateway_upstream_queue_limit)", "{{upstream}} places"),
        ),
        timeseries(
            "Endpoints of fallbacks",
            "Of each upstream with several endpoints or checks, by what keeps requests from them. Down or ejected: the "
            "spare is smaller than it looks, which is felt when a first upstream fails.",
            "none",
            Query("max by (upstream, state) (gateway_upstream_endpoints)", "{{upstream}} {{state}}"),
        ),
        timeseries(
            "Changes of the breakers of fallbacks",
            "Per second, by what made it. Opened and half-open in turns: the spare breaks under what falls back on it. "
            "Give it less at once (max_concurrent), or let less fall back.",
            "ops",
            Query(
                "sum by (upstream, to, reason)"
                " (rate(gateway_upstream_circuit_breaker_transitions_total[$__rate_interval]))",
                "{{upstream}} {{to}}: {{reason}}",
            ),
        ),
    ],
)

FLEET = Dashboard(
    "breakwater-fleet",
    "Breakwater: fleet",
    "Which upstream is in trouble, whose fault is it, and what does the gateway do about it?",
    [
        Variable("proxy", "Proxy", "label_values(gateway_circuit_breaker_state, proxy)"),
        Variable("upstream", "Upstream", "label_values(gateway_endpoint_up, upstream)"),
    ],
    [NOW, PROXIES, COURSE, ENDPOINTS, FALLBACKS],
    [("One proxy", "breakwater-proxy"), ("Internals", "breakwater-internals")],
)
