from __future__ import annotations

import pytest

from gateway.config.remarks import remarks
from gateway.config.schema.endpoints import Endpoint
from gateway.config.schema.fallback import Fallback
from gateway.config.schema.proxy import Proxy
from gateway.config.schema.upstream import Upstream


def proxy(name: str, path: str, rule: str = "true", *hosts: str) -> Proxy:
    return Proxy(name=name, path=path, upstream="http://h", access_rule=rule, hosts=hosts)


def told(*proxies: Proxy) -> list[str]:
    return list(remarks(proxies))


@pytest.mark.parametrize(
    ("settings", "remarked"),
    [
        ({"priority": {"default": "high"}}, True),
        ({"priority": {"header": "X-P"}, "max_concurrent": 1, "queue": {"max_waiting": 1, "timeout": 1}}, False),
        ({"priority": {"default": "high"}, "upstream": "shared"}, False),
        ({}, False),
    ],
)
def test_a_priority_needs_a_queue(settings: dict[str, object], remarked: bool) -> None:
    made = Proxy.model_validate({"name": "p", "path": "/p", "upstream": "http://h", "access_rule": "true"} | settings)
    assert [sentence.partition(",")[0] for sentence in told(made)] == ["proxy p: its priority has no effect"] * remarked


@pytest.mark.parametrize(
    ("name", "queue", "remarked"),
    [("shared", {}, True), ("shared", {"max_waiting": 1, "timeout": 1}, False), ("other", {}, False)],
)
def test_the_queue_of_a_named_upstream_stands_there(name: str, queue: dict[str, object], remarked: bool) -> None:
    named = Upstream.model_validate(
        {"name": name, "endpoints": [{"url": "http://h"}], "max_concurrent": 1, "queue": queue}
    )
    made = Proxy.model_validate({"name": "p", "path": "/p", "upstream": "shared", "priority": {"default": "high"}})
    found = list(remarks([made], [named]))
    assert ["max_concurrent of shared, or remove priority" in sentence for sentence in found] == [True] * remarked


@pytest.mark.parametrize("order", [1, -1])
def test_nested_prefixes_with_different_rules(order: int) -> None:
    (sentence,) = told(*[proxy("all", "/"), proxy("admin", "/admin", "")][::order])
    assert sentence.startswith("proxy admin (/admin) lies within proxy all (/), and their access rules differ")


@pytest.mark.parametrize(
    "others",
    [
        [proxy("a", "/a", "true"), proxy("b", "/a/b", "true")],
        [proxy("a", "/a", "true"), proxy("b", "/ab", "")],
        [proxy("a", "/", "true", "x.org"), proxy("b", "/b", "", "y.org")],
        [proxy("a", "/", "true", "x.org"), proxy("b", "/b", "", "*.x.org")],
    ],
)
def test_others_are_as_they_should_be(others: list[Proxy]) -> None:
    assert told(*others) == []


@pytest.mark.parametrize("hosts", [("x.org", ""), ("", "x.org"), ("*.x.org", "a.b.x.org"), ("a.x.org", "*.x.org")])
def test_hosts_that_meet(hosts: tuple[str, str]) -> None:
    one, two = ((host,) if host else () for host in hosts)
    assert len(told(proxy("a", "/", "true", *one), proxy("b", "/b", "", *two))) == 1


def test_two_paths_that_are_one() -> None:
    (sentence,) = told(proxy("a", "/caf%C3%A9"), proxy("b", "/c%61f%C3%A9", ""))
    assert "for the same; choose another path" in sentence


def test_a_rule_that_no_request_can_meet() -> None:
    (sentence,) = told(proxy("a", "/a", "@request.path = '/a/b%2Fc' || @request.path = '/a/d'"))
    assert sentence.endswith("because a back end may read /a/b/c in it; compare with /a/b/c")


@pytest.mark.parametrize(
    ("second", "header", "warned"),
    [
        ("http://other", {"Authorization": "Bearer abc"}, True),
        ("http://other", {"X-Plain": "abc"}, False),
        ("http://h/elsewhere", {"Authorization": "Bearer abc"}, False),
    ],
)
def test_a_secret_that_two_origins_get(second: str, header: dict[str, str], warned: bool) -> None:
    fallback = Fallback.model_validate({"on": ["connect"], "upstream": second})
    proxy_ = Proxy(name="p", path="/", upstream="http://h/base", headers=header, fallback=fallback)
    begin = (
        "proxy p: its fallback at http://other gets the same headers as http://h, and Authorization may hold a secret;"
    )
    assert [sentence[: len(begin)] for sentence in told(proxy_)] == [begin] * warned


@pytest.mark.parametrize(
    "second", [None, {"on": ["503"], "response": {"status": 503}}, {"on": ["503"], "upstream": "http://b"}]
)
def test_all_endpoints_of_one_back_end_get_its_secret(second: dict[str, object] | None) -> None:
    fallback = None if second is None else Fallback.model_validate(second)
    endpoints = (Endpoint(url="http://b/base"),)
    secret = {"Authorization": "Bearer abc"}
    one = Proxy(name="p", path="/", upstream="http://a", endpoints=endpoints, headers=secret, fallback=fallback)
    assert told(one) == []


def test_the_fallback_is_named_where_there_are_several_endpoints() -> None:
    fallback = Fallback.model_validate({"on": ["503"], "upstream": "http://c"})
    endpoints = (Endpoint(url="http://b"),)
    secret = {"Authorization": "Bearer abc"}
    one = Proxy(name="p", path="/", upstream="http://a", endpoints=endpoints, headers=secret, fallback=fallback)
    (sentence,) = told(one)
    assert sentence.startswith("proxy p: its fallback at http://c gets the same headers as http://a")


@pytest.mark.parametrize("second", [None, {"on": ["connect"], "upstream": "http://other"}])
def test_a_proxy_that_names_its_upstream(second: dict[str, object] | None) -> None:
    """Where that leads is not its own business, and its fallback may be all that has a URL."""
    fallback = None if second is None else Fallback.model_validate(second)
    assert told(Proxy(name="p", path="/", upstream="ai", headers={"Authorization": "abc"}, fallback=fallback)) == []


@pytest.mark.parametrize(
    ("rate", "shared", "unit", "remarked"),
    [
        (5, True, "requests", False),
        (6, True, "requests", True),
        (6, False, "requests", False),
        (6, True, "tokens", False),
    ],
)
def test_stored_proxies_that_share_a_limit_and_differ(rate: float, shared: bool, unit: str, remarked: bool) -> None:
    first = {"key": "client", "rate": 5.0, "shared": True}
    one = Proxy.model_validate({"name": "a", "path": "/a", "upstream": "http://h", "rate_limits": [first]})
    second = {"key": "client", "rate": float(rate), "shared": shared, "unit": unit}
    facts = {"name": "b", "path": "/b", "upstream": "http://h", "ai": "openai"}
    other = Proxy.model_validate(facts | {"rate_limits": [second]})
    begin = "proxies a and b share the buckets of the rate limit client, and write other numbers;"
    assert [sentence[: len(begin)] for sentence in told(one, other)] == [begin] * remarked
