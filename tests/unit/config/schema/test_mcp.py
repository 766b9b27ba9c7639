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


PEER = "connections: {p: {kind: mcp, base_url: 'http://h/mcp'}, h: {base_url: 'http://h'}}"


@pytest.mark.covers("ACT-36")
def test_a_connection_may_be_a_server_and_an_action_one_of_its_tools() -> None:
    found = document(more=f"{PEER}\nactions: {{add: {{connection: p, tool: add, parameters: [{{name: a}}]}}}}")
    (action,) = found.actions
    assert (action.trn, action.tool) == ("trn:openact:default:action/mcp/add@v1", "add")
    assert (action.method, action.path, [each.name for each in action.parameters]) == ("POST", "", ["a"])
    assert {each.trn for each in found.connections} == {
        "trn:openact:default:connection/mcp/p@v1",
        "trn:openact:default:connection/http/h@v1",
    }


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        ("{connection: p}", "actions.a: its connection is a server of MCP; write the name of a tool in tool"),
        ("{connection: h, tool: t}", "actions.a: it has a tool, and its connection is no server of MCP"),
        ("{connection: p, tool: t, kind: http}", "a tool belongs to the kind mcp, and that kind needs a tool"),
        ("{connection: p, tool: t, path: /x}", "a tool has no path; remove path, or tool"),
        ("{connection: p, tool: t, method: POST}", "a tool has no method"),
    ],
)
def test_an_action_is_what_its_connection_can_do(action: str, sentence: str) -> None:
    assert sentence in said(more=f"{PEER}\nactions: {{a: {action}}}")
