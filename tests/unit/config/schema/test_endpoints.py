from __future__ import annotations

from typing import Any

import pytest

from gateway.config.load import ConfigError, parse
from gateway.config.records import Ejection, Endpoint, HealthCheck, Upstream


def loaded(keys: str = "", endpoints: str = "{url: http://a:1}, {url: http://b:1}") -> Upstream:
    more = f", {keys}" if keys else ""
    return parse(f"upstreams: [{{name: ai, endpoints: [{endpoints}]{more}}}]", "yaml", "f", {}).upstreams[0]


def told(keys: str = "", endpoints: str = "{url: http://a:1}, {url: http://b:1}") -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(keys, endpoints)
    return str(caught.value)


def test_the_keys_of_an_endpoint() -> None:
    upstream = loaded(endpoints="{url: http://a:1/x, weight: 3}, {url: http://b:1, drain: true}")
    assert upstream.endpoints == (Endpoint("http://a:1/x", 3), Endpoint("http://b:1", drain=True))


def test_a_name_may_be_expanded() -> None:
    upstream = loaded(endpoints="{url: http://a:1, expand_dns: true}, {url: http://b:1, dns_interval: 5}")
    assert upstream.endpoints == (
        Endpoint("http://a:1", expand_dns=True, dns_interval=30.0),
        Endpoint("http://b:1", dns_interval=5.0),
    )


@pytest.mark.parametrize(
    ("endpoints", "message"),
    [
        ("", "must hold one endpoint at least"),
        ("{url: http://a:1, weight: 0}", "endpoints.0.weight"),
        ("{url: http://a:1, weight: 1001}", "endpoints.0.weight"),
        ("{url: http://a:1, expand_dns: true, dns_interval: 0}", "endpoints.0.dns_interval"),
        ("{url: 'http://10.0.0.1:1', expand_dns: true}", "the URL has an address, and only a name has several"),
        ("{url: 'http://[fe80::1%25eth0]:1', expand_dns: true}", "only a name has several"),
        ("{url: http://a:1}, {url: http://a:1/other}", "two of them have the scheme, host and port of http://a:1"),
        ("{url: http://a}, {url: http://A:80}", "two of them have the scheme, host and port of http://a"),
    ],
)
def test_mistakes_of_endpoints(endpoints: str, message: str) -> None:
    assert message in told(endpoints=endpoints)


def test_one_host_with_two_schemes_is_two_endpoints() -> None:
    assert len(loaded(endpoints="{url: http://a:1}, {url: https://a:1}").endpoints) == 2


@pytest.mark.parametrize(
    ("keys", "field", "value"),
    [
        ("balance: round_robin", "balance", "round_robin"),
        ("balance: random", "balance", "random"),
        ("balance: ring_hash, hash_on: client", "hash_on", "client"),
        ("balance: ring_hash, hash_on: 'header:X-User'", "hash_on", "header:x-user"),
        ("balance: ring_hash, hash_on: 'cookie:Sid', hash_load: 0", "hash_load", 0.0),
        ("hash_on: null", "hash_on", ""),
        ("panic: 0", "panic", 0.0),
        ("slow_start: 30", "slow_start", 30.0),
        ("health: null", "health", HealthCheck()),
        ("health: {}", "health", HealthCheck(True)),
        ("health: {enabled: false}", "health", HealthCheck()),
        ("health: {mode: shadow}", "health", HealthCheck(True, mode="shadow")),
        ("health: {path: '/up?x=1', expect_status: [204]}", "health",
         HealthCheck(True, "/up?x=1", expect_status=("204",))),
        ("health: {expect_status: [200, '300 - 399']}", "health", HealthCheck(True, expect_status=("200", "300-399"))),
        ("ejection: null", "ejection", Ejection()),
        ("ejection: {}", "ejection", Ejection(True)),
        ("ejection: {mode: shadow, max_share: 1}", "ejection", Ejection(True, max_share=1.0, mode="shadow")),
        ("ejection: {consecutive_failures: 0, failure_rate: 0.5}", "ejection",
         Ejection(True, consecutive_failures=0, failure_rate=0.5)),
    ],
)  # fmt: skip
def test_how_one_is_chosen(keys: str, field: str, value: Any) -> None:
    assert getattr(loaded(keys), field) == value


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("balance: fastest", "balance"),
        ("balance: ring_hash", "balance: ring_hash needs it"),
        ("hash_on: client", "has an effect with balance: ring_hash alone"),
        ("balance: ring_hash, hash_on: 'query:x'", "write client, header:NAME or cookie:NAME"),
        ("balance: ring_hash, hash_on: client, hash_load: 1", "must be above 1"),
        ("panic: 1.5", "panic"),
        ("slow_start: -1", "slow_start"),
        ("health: {path: up}", "must begin with a slash"),
        ("health: {interval: 0}", "health.interval"),
        ("health: {expect_status: []}", "health.expect_status"),
        ("health: {expect_status: [ok]}", "neither a status nor a range"),
        ("health: {expect_status: [true]}", "health.expect_status"),
        ("ejection: {consecutive_failures: 0}", "nothing ejects an endpoint"),
        ("ejection: {max_time: 5}", "must not be below base_time"),
        ("ejection: {base_time: 400}", "must not be below base_time"),
        ("ejection: {max_share: 0}", "ejection.max_share"),
        ("ejection: {mode: off}", "ejection.mode"),
    ],
)
def test_mistakes_of_the_choice(keys: str, message: str) -> None:
    assert message in told(keys)


def test_a_proxy_with_a_url_has_the_same_keys() -> None:
    text = (
        "proxies: [{name: p, path: /, upstream: http://a:1, endpoints: [{url: http://b:1, weight: 2}],"
        " balance: round_robin, health: {path: /up}}]"
    )
    upstream = parse(text, "yaml", "f", {}).upstreams[0]
    assert upstream.endpoints == (Endpoint("http://a:1"), Endpoint("http://b:1", 2))
    assert (upstream.balance, upstream.health) == ("round_robin", HealthCheck(True, "/up"))


def test_the_url_of_a_proxy_is_one_of_its_endpoints() -> None:
    with pytest.raises(ConfigError, match="two of them have the scheme, host and port of"):
        parse("proxies: [{name: p, path: /, upstream: http://a:1, endpoints: [{url: http://a:1}]}]", "yaml", "f", {})
