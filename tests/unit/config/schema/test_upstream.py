"""Named upstreams: what they hold, what proxies that name them hold, and what is rejected, with its line."""

from __future__ import annotations

import pytest

from gateway.config.load import ConfigError, parse
from gateway.config.records import (
    Adaptive,
    CircuitBreaker,
    Document,
    Endpoint,
    Limiter,
    Queue,
    Route,
    Timeouts,
    Upstream,
)

FILE = """\
upstreams:
  - name: ai
    endpoints: [{url: http://h:1/base}]
    max_concurrent: 5
    queue: {max_waiting: 3, timeout: 1}
    circuit_breaker: {enabled: true}
    timeout_config: {total: 60}
proxies:
  - {name: chat, path: /chat, upstream: ai}
  - {name: own, path: /own, upstream: http://o}
"""


def told(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "yaml", "f", {})
    return str(caught.value).split("\n")


def test_proxies_share_what_they_name() -> None:
    assert parse(FILE, "yaml", "f", {}) == Document(
        routes=(Route("chat", "/chat", "upstream ai"), Route("own", "/own", "own")),
        upstreams=(
            Upstream(
                "upstream ai",
                (Endpoint("http://h:1/base"),),
                max_concurrent=5,
                queue=Queue(3, 1),
                circuit_breaker=CircuitBreaker(True),
                timeouts=Timeouts(total=60),
            ),
            Upstream("own", (Endpoint("http://o"),)),
        ),
    )


def test_only_what_an_active_proxy_names_is_used() -> None:
    text = FILE.replace("upstream: ai}", "upstream: ai, active: false}")
    assert [upstream.name for upstream in parse(text, "yaml", "f", {}).used_upstreams()] == ["own"]


@pytest.mark.parametrize(
    "key",
    [
        "max_concurrent: 3",
        "limiter: {mode: shadow}",
        "queue: {max_waiting: 1, timeout: 1}",
        "circuit_breaker: {enabled: true}",
        "timeout_config: {}",
    ],
)
def test_a_proxy_that_names_an_upstream_has_none_of_its_keys(key: str) -> None:
    name = key.partition(":")[0]
    assert told(FILE.replace("upstream: ai}", f"upstream: ai, {key}}}")) == [
        f"f:9: proxies.0.{name}: belongs to the upstream that this proxy names; write it there, below `upstreams`"
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "upstream: ai",
            "upstream: al",
            (
                "f:9: proxies.0.upstream: there is no upstream of this name below `upstreams`, where there is ai; "
                "write one of those names, or a URL such as http://host:port"
            ),
        ),
        (
            "[{url: http://h:1/base}]",
            "[{url: http://h}, {url: http://H:80/other}]",
            "f:3: upstreams.0.endpoints: two of them have the scheme, host and port of http://h; remove one, and use",
        ),
        ("[{url: http://h:1/base}]", "[]", "f:3: upstreams.0.endpoints: must hold one endpoint at least"),
        (
            "http://h:1/base",
            "http://169.254.169.254",
            "f:3: upstreams.0.endpoints.0.url: ",
        ),
        (
            "name: own",
            "name: ai",
            ("f:10: proxies.1.name: an upstream of this name is already in line 2; change or remove one of the two"),
        ),
        (
            "max_concurrent: 5",
            "max_concurrent: 5\n    limiter: {adaptive: {}}",
            (
                "f:5: upstreams.0.limiter: max_concurrent and limiter.adaptive exclude each other; write its bound as "
                "adaptive.max"
            ),
        ),
        (
            "max_concurrent: 5",
            "limiter: {adaptive: {initial: 4, min: 5}}",
            "f:4: upstreams.0.limiter.adaptive.max: min, initial and max must be in this order; they are 5, 4 and 100",
        ),
        (
            "max_concurrent: 5",
            "max_concurrent: 0",
            (
                "f:5: upstreams.0.queue: a queue without a limit has no effect; set max_concurrent above 0, or remove "
                "the queue"
            ),
        ),
        (
            "proxies:",
            "  - {name: ai, endpoints: [{url: http://h}]}\nproxies:",
            ("f:8: upstreams.1.name: an upstream of this name is already in line 2; change or remove one of the two"),
        ),
    ],
)
def test_mistakes(old: str, new: str, message: str) -> None:
    (line,) = told(FILE.replace(old, new))
    assert line.startswith(message)


def test_a_name_that_is_wrong_is_one_error_and_hides_no_other() -> None:
    """The protections are where they belong if the name is a URL without its scheme."""
    text = FILE.replace("upstream: ai}", "upstream: localhost, max_concurrent: 3, queue: {max_waiting: 1, timeout: 1}}")
    (line,) = told(text)
    assert line.startswith("f:9: proxies.0.upstream: there is no upstream of this name")


@pytest.mark.parametrize("name", ["${UNSET}", "'a b'", "[a]"])
def test_an_upstream_whose_name_is_wrong_is_not_missing_too(name: str) -> None:
    (line,) = told(FILE.replace("name: ai", f"name: {name}"))
    assert line.startswith("f:2: upstreams.0.name: ")


@pytest.mark.parametrize("name", ["[x]", "{x: y}", "7"])
def test_a_name_of_a_proxy_that_is_no_text(name: str) -> None:
    (line,) = told(FILE.replace("name: own", f"name: {name}"))
    assert line == "f:10: proxies.1.name: must be text; put the value in quotes"


def test_a_proxy_may_have_the_name_of_the_upstream_that_it_names() -> None:
    assert parse(FILE.replace("name: chat", "name: ai"), "yaml", "f", {}).routes[0] == Route(
        "ai", "/chat", "upstream ai"
    )


@pytest.mark.parametrize(
    ("keys", "mode"),
    [("", "auto"), ("http2: never", "never"), ("http2: always", "always")],
)
def test_the_protocol_that_is_spoken(keys: str, mode: str) -> None:
    more = f", {keys}" if keys else ""
    own = parse(f"proxies: [{{name: a, path: /, upstream: http://h{more}}}]", "yaml", "f", {})
    shared = parse(f"upstreams: [{{name: a, endpoints: [{{url: http://h}}]{more}}}]", "yaml", "f", {})
    assert [document.upstreams[0].http2 for document in (own, shared)] == [mode, mode]


@pytest.mark.parametrize("url", ["h2c://h:1/base", "H2C://h:1/base", "${URL}"])
@pytest.mark.parametrize("keys", ["", ", http2: auto", ", http2: always"])
def test_h2c_is_short_for_http_with_http2_always(url: str, keys: str) -> None:
    env = {"URL": "h2c://h:1/base"}
    own = parse(f'proxies: [{{name: a, path: /, upstream: "{url}"{keys}}}]', "yaml", "f", env)
    shared = parse(f'upstreams: [{{name: a, endpoints: [{{url: "{url}"}}]{keys}}}]', "yaml", "f", env)
    for document in (own, shared):
        assert (document.upstreams[0].endpoints, document.upstreams[0].http2) == (
            (Endpoint("http://h:1/base"),),
            "always",
        )


@pytest.mark.parametrize("mode", ["never", "perhaps"])
def test_h2c_beside_another_protocol(mode: str) -> None:
    own = told(f"proxies: [{{name: a, path: /, upstream: h2c://h, http2: {mode}}}]")
    shared = told(f"upstreams: [{{name: a, endpoints: [{{url: h2c://h}}], http2: {mode}}}]")
    assert "h2c:// is short for http:// with http2: always" in own[-1] + own[0]
    assert "h2c:// is short for http:// with http2: always" in shared[-1] + shared[0]


def test_tls_is_for_all_endpoints_of_an_upstream() -> None:
    mixed = "endpoints: [{url: 'https://a'}, {url: 'http://b'}], tls: {server_name: x}"
    proxied = "upstream: https://a, endpoints: [{url: 'http://b'}], tls: {server_name: x}"
    for text in (f"upstreams: [{{name: a, {mixed}}}]", f"proxies: [{{name: a, path: /, {proxied}}}]"):
        sentence = "is for all endpoints of the upstream, and http://b is http://; write https:// for each endpoint"
        assert sentence in told(text)[-1]
    plain = "upstreams: [{name: a, endpoints: [{url: 'http://a'}, {url: 'http://b'}], tls: {server_name: x}}]"
    assert "has no effect on an http:// URL" in told(plain)[-1]


@pytest.mark.parametrize("other", ["http://b", "https://b"])
def test_h2c_beside_an_endpoint_of_which_it_is_not_said(other: str) -> None:
    """A server of HTTP/1.1 would get HTTP/2."""
    sentence = f"h2c:// is HTTP/2 to all endpoints, and {other} is none; write h2c:// for each, or http2: always"
    for more, good in (("", False), (", http2: auto", False), (", http2: always", True)):
        shared = f"upstreams: [{{name: a, endpoints: [{{url: h2c://a}}, {{url: '{other}'}}]{more}}}]"
        proxied = f"proxies: [{{name: a, path: /, upstream: '{other}', endpoints: [{{url: h2c://a}}]{more}}}]"
        first = f"proxies: [{{name: a, path: /, upstream: h2c://a, endpoints: [{{url: '{other}'}}]{more}}}]"
        for text in (shared, proxied, first):
            if good:
                assert parse(text, "yaml", "f", {}).upstreams[0].http2 == "always"
            else:
                assert sentence in told(text)[-1]


def test_h2c_of_all_endpoints_of_a_proxy() -> None:
    text = "proxies: [{name: a, path: /, upstream: h2c://a, endpoints: [{url: h2c://b, weight: 2}]}]"
    made = parse(text, "yaml", "f", {}).upstreams[0]
    assert (made.endpoints, made.http2) == ((Endpoint("http://a"), Endpoint("http://b", 2)), "always")


def test_the_protocol_stands_at_the_upstream_that_a_proxy_names() -> None:
    text = (
        "upstreams: [{name: a, endpoints: [{url: http://h}]}]\nproxies: [{name: p, path: /, upstream: a, http2: never}]"
    )
    assert "belongs to the upstream that this proxy names" in told(text)[-1]


@pytest.mark.parametrize("broken", ["endpoints: 5", "endpoints: [5]", "endpoints: [{url: 5}]"])
def test_what_is_no_list_of_endpoints_is_reported_as_such(broken: str) -> None:
    assert "endpoints" in told(f"upstreams: [{{name: a, {broken}}}]")[-1]


def test_a_queue_may_stand_before_a_limit_that_adapts() -> None:
    text = FILE.replace("max_concurrent: 5", "limiter: {mode: shadow, adaptive: {initial: 4, signal: first_event}}")
    upstream = parse(text, "yaml", "f", {}).upstreams[0]
    assert upstream.limited
    assert upstream.limiter == Limiter("shadow", Adaptive(4, 1, 100, "first_event"))
    assert (upstream.max_concurrent, upstream.queue.max_waiting > 0) == (0, True)
