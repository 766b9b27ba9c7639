"""Actions in the file: what becomes of them, and what is rejected, with its line."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.config.actions import Action, Body, Parameter
from gateway.config.load import ConfigError, parse
from gateway.config.schema.call_policy import PRESETS


def text(**action: Any) -> str:
    written = {"connection": "c", **action}
    return orjson.dumps({"connections": {"c": {"base_url": "http://h"}}, "actions": {"a": written}}).decode()


def read(**action: Any) -> Action:
    return parse(text(**action), "json", "f", {}).actions[0]


def told(**action: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text(**action), "json", "f", {})
    return str(caught.value)


CONNECTION = "trn:openact:default:connection/http/c@v1"


@pytest.mark.covers("ACT-33")
def test_an_action_becomes_a_record() -> None:
    found = read(
        method="POST",
        path="/orders/{id}",
        headers={"X-A": "{trace}"},
        body={"type": "json", "value": {"note": ["{note}"]}},
        parameters=[
            {"name": "id", "type": "integer"},
            {"name": "trace"},
            {"name": "note", "description": "A note", "enum": ["a", "b"], "default": "a"},
            {"name": "page", "in": "query", "schema": {"maxLength": 3}, "required": True},
            {"name": "title"},
        ],
        retry="once",
        limits={"timeout_ms": 2000, "max_bytes": 10},
        description="Changes an order",
    )
    assert found == Action(
        "trn:openact:default:action/http/a@v1",
        CONNECTION,
        "POST",
        "/orders/{id}",
        {"X-A": "{trace}"},
        {},
        Body("json", {"note": ["{note}"]}),
        (
            Parameter("id", "path", {"type": "integer"}, True),
            Parameter("trace", "template", {"type": "string"}),
            Parameter("note", "template", {"type": "string", "description": "A note", "enum": ["a", "b"]}, False, "a"),
            Parameter("page", "query", {"type": "string", "maxLength": 3}, True),
            Parameter("title", "body", {"type": "string"}),
        ),
        retry=PRESETS["once"],
        timeout=2.0,
        max_bytes=10,
        description="Changes an order",
    )


def test_undeclared_places_follow_from_the_method() -> None:
    for method, place in (("GET", "query"), ("HEAD", "query"), ("DELETE", "query"), ("PUT", "body")):
        assert read(method=method, parameters=[{"name": "x"}]).parameters[0].place == place


@pytest.mark.parametrize(
    ("written", "body"),
    [
        ({"request_body": {"a": 1}}, Body("json", {"a": 1})),
        ({"config": {"body": {"type": "raw", "value": "x"}}}, Body("text", "x")),
        ({"body": {"type": "text", "value": "x", "content_type": "a/b"}}, Body("text", "x", "a/b")),
        ({"body": {"type": "form", "value": {"a": "1"}}}, Body("form", {"a": "1"})),
        ({"body": {"type": "multipart", "value": {"a": {"text": "1"}}}}, Body("multipart", {"a": {"text": "1"}})),
    ],
)
def test_other_ways_to_write_a_body(written: dict[str, Any], body: Body) -> None:
    assert read(method="POST", **written).body == body


def test_the_keys_of_the_original_form_are_read() -> None:
    assert read(config={"method": "PUT", "path": "/x", "query_params": {"a": "1"}}).query == {"a": "1"}
    assert read(timeout_ms=1500).timeout == 1.5
    assert read().timeout == 0.0


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"connection": "x"}, "actions.a.connection: there is no connection of this name; the names are c"),
        ({"kind": "telnet"}, "actions.a.kind: there is no such connector"),
        ({"method": "get"}, "actions.a.method: must be 'GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE' or 'OPTIONS'"),
        ({"method": "CONNECT"}, "actions.a.method: must be 'GET', "),
        ({"path": "/a?b=1"}, "actions.a.path: must be a path of printable ASCII without ? and #"),
        ({"path": "/a b"}, "actions.a.path: must be a path of printable ASCII"),
        ({"path": "/a/../b"}, "actions.a.path: must not have a segment of dots"),
        ({"path": "//evil/a"}, "actions.a.path: must begin with one slash"),
        ({"path": "/a/{id"}, "actions.a.path: has a brace that belongs to no {name}"),
        ({"path": "/a/id}"}, "actions.a.path: has a brace that belongs to no {name}"),
        ({"path": "/{a.b}"}, "actions.a.path: has a brace that belongs to no {name}"),
        ({"headers": {"Host": "x"}}, "actions.a.headers: the gateway sets Host itself"),
        ({"headers": {"X-A": "a\r\nb"}}, "X-A holds a line break"),
        ({"parameters": [{"name": "a b"}]}, "actions.a.parameters.0.name"),
        ({"parameters": [{"name": "a"}, {"name": "a"}]}, "two parameters have the same name"),
        ({"path": "/{x}", "parameters": [{"name": "y"}]}, "{x} is no parameter of this action"),
        ({"body": {"value": ["{x}"]}, "parameters": [{"name": "y"}]}, "{x} is no parameter of this action"),
        ({"parameters": [{"name": "a", "type": "integer", "default": "x"}]}, "the default does not fit"),
        ({"parameters": [{"name": "a", "schema": {"pattern": "("}}]}, "is no JSON Schema"),
        ({"input_schema": {"type": "nope"}}, "actions.a.input_schema: is no JSON Schema"),
        ({"input_schema": {"$ref": "http://h/x"}}, "refers to http://h/x, and no other document is read"),
        ({"body": {"type": "text", "value": 3}}, "the value of a body of text must be text"),
        ({"body": {"type": "form", "value": "x"}}, "the value of a form must be a mapping"),
        ({"body": {"type": "multipart", "value": ["x"]}}, "the value of a form must be a mapping"),
        ({"body": {"type": "multipart", "value": {}, "content_type": "a/b"}}, "multipart has its own content type"),
        ({"body": {}, "request_body": {}}, "body and request_body are the same"),
        ({"config": {"path": "/x"}, "path": "/y"}, "config must be a mapping of keys that stand nowhere else"),
        ({"query": {"a": "1"}, "query_params": {"a": "1"}}, "actions.a.query_params: unknown key"),
        ({"config": "x"}, "config must be a mapping"),
        ({"limits": {"timeout_ms": 0}}, "actions.a.limits.timeout_ms"),
    ],
)
def test_what_is_rejected_says_where_and_what_to_write(written: dict[str, Any], says: str) -> None:
    problem = told(**written)
    assert says in problem
    assert "\n" not in problem
