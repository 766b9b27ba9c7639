from __future__ import annotations

import re
from typing import Any

import pytest
from unit.scene import exchange

from gateway.actions.prepare import Entry
from gateway.config.actions import Action, Body, Connection, Parameter
from gateway.config.mcp import Mcp, ToolRule
from gateway.core.principal import Principal
from gateway.mcp.tools import Effects, definition, input_schema, names_of, tools_of


def entry(name: str, connector: str = "http", version: int = 1, **settings: Any) -> Entry:
    trn = f"trn:openact:default:action/{connector}/{name}@v{version}"
    connection = Connection("trn:openact:default:connection/http/c@v1", "http://h", "c")
    return Entry(trn, f"action/{name}", connection, Action(trn, connection.trn, **settings))


def names(*entries: Entry) -> dict[str, str]:
    return {name: found.trn.rpartition(":")[2] for name, found in names_of(entries).items()}


def test_names_that_all_clients_take() -> None:
    assert names(entry("get-user"), entry("get.user"), entry("Find_1")) == {
        "get-user": "action/http/get-user@v1",
        "get_user": "action/http/get.user@v1",
        "Find_1": "action/http/Find_1@v1",
    }
    long = "a" * 64
    assert list(names(entry(long))) == [long]


def test_of_two_with_one_name_the_one_that_is_called_so_has_it() -> None:
    found = names(entry("a.b"), entry("a_b"))
    other = next(name for name in found if name != "a_b")
    assert found["a_b"] == "action/http/a_b@v1"
    assert re.fullmatch(r"a_b_[0-9a-f]{8}", other)
    assert names(entry("a_b"), entry("a.b"), entry("zzz")) == {**found, "zzz": "action/http/zzz@v1"}


def test_names_of_several_connectors_do_not_depend_on_their_order() -> None:
    found = names(entry("find"), entry("find", "sql"))
    assert "find" not in found
    assert names(entry("find", "sql"), entry("find")) == found
    longest = names(entry("b" * 64), entry("b" * 64, "sql"))
    assert len(longest) == 2
    assert {len(name) for name in longest} == {64}


def test_of_several_versions_the_newest_is_the_tool() -> None:
    newest = {"find": "action/http/find@v10"}
    assert names(entry("find", version=2), entry("find", version=10), entry("find", version=9)) == newest


def tools(door: Mcp, *entries: Entry) -> list[str]:
    return list(tools_of(door, entries))


def test_what_is_allowed_and_not_denied_is_there_by_name() -> None:
    all_of_it = entry("get-a"), entry("delete-a"), entry("rows", "sql"), entry("get-b")
    assert tools(Mcp(), *all_of_it) == ["delete-a", "get-a", "get-b", "rows"]
    assert tools(Mcp(allow=()), *all_of_it) == []
    assert tools(Mcp(allow=("get-?",)), *all_of_it) == ["get-a", "get-b"]
    assert tools(Mcp(allow=("sql.*", "get-a")), *all_of_it) == ["get-a", "rows"]
    assert tools(Mcp(deny=("delete-*", "http.get-b")), *all_of_it) == ["get-a", "rows"]
    assert tools(Mcp(allow=("get-a",), deny=("get-a",)), *all_of_it) == []
    assert tools(Mcp(allow=("GET-A",)), *all_of_it) == []


def test_each_rule_that_has_the_action_must_admit_the_caller() -> None:
    rules = (ToolRule(("delete-*",), "@request.auth.role = 'admin'"), ToolRule(("*-a",), "@request.auth.id != ''"))
    found = tools_of(Mcp(rules=rules), [entry("get-a"), entry("delete-a"), entry("get-b")])

    def seen(principal: Principal | None) -> list[str]:
        ex = exchange()
        ex.principal = principal
        ex.downstream.peer.tls = None
        return [tool.name for tool in found.values() if tool.admits(ex)]

    def caller(role: str) -> Principal:
        return Principal("u1", "token", claims={"id": "u1", "role": role})

    assert seen(None) == ["get-b"]
    assert seen(caller("reader")) == ["get-a", "get-b"]
    assert seen(caller("admin")) == ["delete-a", "get-a", "get-b"]


@pytest.mark.parametrize(
    ("method", "reads", "repeatable"),
    [
        ("GET", True, True),
        ("HEAD", True, True),
        ("POST", False, False),
        ("DELETE", False, True),
        ("PATCH", False, False),
    ],
)
def test_hints_follow_from_the_method(method: str, reads: bool, repeatable: bool) -> None:
    made = entry("get.user", method=method, description="Find one")
    assert tools_of(Mcp(), [made])["get_user"].definition == {
        "name": "get_user",
        "title": "get.user",
        "description": "Find one",
        "inputSchema": {"type": "object", "properties": {}},
        "annotations": {
            "readOnlyHint": reads,
            "destructiveHint": not reads,
            "idempotentHint": repeatable,
            "openWorldHint": True,
        },
    }
    assert "description" not in definition("a", "a", Action("t", "c"), Effects(True, True))


@pytest.mark.parametrize(
    ("kind", "settings", "reads"),
    [
        ("sql", {"statement": "SELECT 1"}, True),
        ("sql", {"statement": "DELETE FROM t", "read_only": False}, False),
        ("redis", {"command": ["GET", "a"]}, True),
        ("redis", {"command": ["DEL", "a"], "read_only": False}, False),
        ("mongodb", {"collection": "c"}, True),
        ("mongodb", {"collection": "c", "operation": "delete_one", "read_only": False}, False),
        ("sql", {"statement": ""}, False),
    ],
)
def test_hints_of_a_connector_are_what_it_says(kind: str, settings: dict[str, Any], reads: bool) -> None:
    urls = {"sql": "sqlite:///a.db", "redis": "redis://h", "mongodb": "mongodb://h/n"}
    trn = f"trn:openact:default:action/{kind}/a@v1"
    own = f"trn:openact:default:connection/{kind}/c@v1"
    connection = Connection(own, f"{kind}://h", "c", kind=kind, settings={"kind": kind, "url": urls[kind]})
    made = Entry(trn, "action/a", connection, Action(trn, own, kind.upper(), settings={"connection": "c", **settings}))
    hints = tools_of(Mcp(), [made])["a"].definition["annotations"]
    assert (hints["readOnlyHint"], hints["destructiveHint"], hints["idempotentHint"]) == (reads, not reads, reads)


def test_the_input_of_an_action_without_a_schema_has_the_names_in_it() -> None:
    body = Body(value={"title": "{title}"})
    found = input_schema(Action("t", "c", "POST", "/a/{id}", headers={"X": "{x}"}, query={"q": "{id}"}, body=body))
    assert found == {
        "type": "object",
        "properties": {"id": {"type": "string"}, "x": {"type": "string"}, "title": {"type": "string"}},
        "required": ["id"],
    }


def test_the_schema_of_an_action_is_that_of_an_object_and_names_no_header_field() -> None:
    schema = {
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}, "x-mcp-header": {"type": "integer"}},
        "anyOf": [{"required": ["region"]}],
    }
    assert input_schema(Action("t", "c", input_schema=schema)) == {
        "type": "object",
        "properties": {"region": {"type": "string"}, "x-mcp-header": {"type": "integer"}},
        "anyOf": [{"required": ["region"]}],
    }
    parameters = (Parameter("id", "path", {"type": "integer"}, required=True),)
    assert input_schema(Action("t", "c", parameters=parameters))["required"] == ["id"]
