from __future__ import annotations

import pytest

from gateway.config import load
from gateway.config.errors import ConfigError
from gateway.config.mcp import Mcp, ToolRule
from gateway.config.records import Document


def document(*doors: str, more: str = "") -> Document:
    return load.parse(f"{more}\nmcp: [{', '.join(doors)}]\n", "yaml", "f.yaml", {})


def said(*doors: str, more: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        document(*doors, more=more)
    return str(caught.value)


@pytest.mark.covers("ACT-39")
def test_a_front_door_is_a_route_whose_upstream_has_no_endpoint() -> None:
    found = document(
        "{name: tools, path: /mcp/, hosts: [Example.org], access_rule: 'true', tenant: acme, allow: ['get-*'], "
        "deny: ['*-all'], rules: [{actions: ['*'], access_rule: 'false'}], origins: ['https://App.example:443'], "
        "instructions: Orders., max_body_bytes: 4096, max_concurrent: 3, queue: {max_waiting: 2, timeout: 1}, "
        "rate_limits: [{key: all, rate: 1}]}"
    )
    (route,), (upstream,) = found.routes, found.upstreams
    assert (route.name, route.path, route.hosts, route.access_rule) == ("mcp/tools", "/mcp", ("example.org",), "true")
    assert route.mcp == Mcp(
        "acme", ("get-*",), ("*-all",), (ToolRule(("*",), "false"),), ("https://app.example",), "Orders.", 4096
    )
    assert [limit.key for limit in route.rate_limits] == ["all"]
    assert (upstream.name, upstream.endpoints, upstream.max_concurrent) == ("mcp/tools", (), 3)
    assert (upstream.queue.max_waiting, upstream.timeouts.total) == (2, 0.0)
    assert route.upstream == upstream.name
    assert found.proxies == []
    assert found.used_upstreams() == [upstream]


@pytest.mark.parametrize(
    ("door", "sentence"),
    [
        ("{name: a, path: /a, origins: ['*']}", "list the origins instead of *"),
        ("{name: a, path: /a, allow: ['a b']}", "allow"),
        ("{name: a, path: /a, allow: ['[a]']}", "allow"),
        ("{name: a, path: /a, rules: [{actions: []}]}", "rules.0.actions"),
        ("{name: a, path: /a, access_rule: 'no rule'}", "access_rule"),
        ("{name: a, path: /a, rules: [{actions: [a], access_rule: 'no rule'}]}", "rules.0.access_rule"),
        ("{name: a, path: /a, rate_limits: [{key: all, rate: 1, unit: tokens}]}", "write unit: requests"),
        ("{name: a, path: /a, limiter: {adaptive: {}}}", "write max_concurrent"),
        ("{name: a, path: a}", "begin with a slash"),
        ("{name: a, path: /a, upstream: 'http://h'}", "unknown key"),
        (f"{{name: {'a' * 61}, path: /a}}", "shorten the name or the tenant by 1"),
    ],
)
def test_what_a_front_door_may_not_be(door: str, sentence: str) -> None:
    assert sentence in said(door)


def test_no_two_have_one_name_or_one_route() -> None:
    assert "mcp.1.name: the same name is already in line 2" in said("{name: a, path: /a}", "{name: a, path: /b}")
    same = "the same path for the same host is already in line"
    assert same in said("{name: a, path: /a}", "{name: b, path: /a/}")
    proxy = "proxies: [{name: p, path: /a, upstream: 'http://h'}]"
    assert same in said("{name: a, path: /a}", more=proxy)
    assert len(document("{name: p, path: /b}", more=proxy).routes) == 2
