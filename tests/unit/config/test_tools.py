"""Tools of servers as actions: their names, texts and schemas, and a file that can be served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.cli import files
from gateway.cli.imports import selection
from gateway.config.load import parse
from gateway.config.openapi.importer import Imported
from gateway.config.tools import SameNameError, imported_tools

SCHEMA = {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "integer"}}}


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "title": "", "description": "", "input_schema": None, **more}


def made(*tools: dict[str, Any], only: tuple[str, ...] = ()) -> Imported:
    return imported_tools("peer", tools, selection(only))


@pytest.mark.covers("ACT-36")
def test_a_tool_is_an_action_that_can_be_served() -> None:
    found = made(
        tool("get_forecast", description="Costs ${MONEY}\n\x1b[31m", input_schema=SCHEMA, title="T"),
        tool("files/read all", title="Read all"),
        tool("x" * 100),
    )
    assert found.remarks == []
    assert found.actions == {
        "get_forecast": {
            "connection": "peer",
            "tool": "get_forecast",
            "description": "Costs ${MONEY}\n\x1b[31m",
            "input_schema": SCHEMA,
        },
        "files-read-all": {"connection": "peer", "tool": "files/read all", "description": "Read all"},
        "x" * 40: {"connection": "peer", "tool": "x" * 100},
    }
    whole = {"connections": {"peer": {"kind": "mcp", "base_url": "http://h"}}, "actions": found.actions}
    for place in ("x.yaml", "x.json"):
        served = parse(files.text_of(Path(place), whole), "json" if place == "x.json" else "yaml", "f", {})
        by_tool = {each.tool: each for each in served.actions}
        assert by_tool.keys() == {"get_forecast", "files/read all", "x" * 100}
        assert by_tool["get_forecast"].description == "Costs ${MONEY}\n\x1b[31m", "it refers to no variable"
        assert by_tool["get_forecast"].input_schema == SCHEMA


def test_only_those_whose_name_fits_either_way() -> None:
    tools = tool("get_a"), tool("files/b"), tool("c")
    assert list(made(*tools, only=("get_*",)).actions) == ["get_a"]
    assert list(made(*tools, only=("files-*", "c")).actions) == ["files-b", "c"]
    assert list(made(*tools, only=("files/*",)).actions) == ["files-b"]
    assert list(made(*tools).actions) == ["get_a", "files-b", "c"]


@pytest.mark.parametrize("other", ["a b", "a/b"])
def test_two_tools_of_one_name(other: str) -> None:
    with pytest.raises(SameNameError, match=r"'a/b' and '.*' would both be the action a-b; select one"):
        made(tool("a/b"), tool(other))
    assert list(made(tool("a/b"), tool("a b"), only=("a/*",)).actions) == ["a-b"]


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "nothing"}, "is no JSON Schema"),
        ({"$ref": "http://127.0.0.1:9/x"}, "refers to http://127.0.0.1:9/x, and no other document is read"),
    ],
)
def test_a_schema_that_is_none_is_left_out(schema: dict[str, Any], says: str) -> None:
    found = made(tool("a", input_schema=schema))
    assert found.actions == {"a": {"connection": "peer", "tool": "a"}}
    (remark,) = found.remarks
    assert remark.startswith(f"the input schema of the tool 'a' is left out: it {says}")
    assert remark.endswith("the action takes every input without it")


def test_what_no_action_can_have() -> None:
    found = made(tool("a", description="d" * 1001), tool("b" * 129))
    assert found.actions["a"]["description"] == "d" * 1000
    assert list(found.actions) == ["a"]
    cut, left_out = found.remarks
    assert cut == "the description of the tool 'a' is cut to 1000 characters"
    assert left_out.startswith(f"the tool '{'b' * 129}' is left out: tool ")
