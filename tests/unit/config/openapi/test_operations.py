"""One operation as one action: parameters by place, bodies, and what cannot be called."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config.openapi.operations import NotCallableError, Operation
from gateway.config.openapi.schemas import ANY
from gateway.config.openapi.source import InvalidDescriptionError, Source

SOURCE = Source(
    {
        "openapi": "3.1.0",
        "components": {
            "schemas": {
                "Any": {"oneOf": [{"type": "object"}, {"type": "null"}]},
                "Bytes": {"type": "string", "format": "binary"},
                "MaybeBytes": {"anyOf": [{"$ref": "#/components/schemas/Bytes"}, {"type": "null"}]},
            }
        },
    }
)


def action(node: dict[str, Any], path: str = "/x", method: str = "get", shared: object = None) -> tuple[Any, list[str]]:
    remarks: list[str] = []
    return Operation(SOURCE, path, method, node, shared, remarks).action("c"), remarks


def parameter(name: str, place: str, schema: object = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": place, "schema": schema or {"type": "string"}, **more}


def test_parameters_go_to_their_places() -> None:
    shared = [parameter("id", "path", required=True), parameter("q", "query"), parameter("X-A", "header")]
    own = [parameter("q", "query", {"type": "integer"}), parameter("Authorization", "header")]
    made, remarks = action({"parameters": own}, "/x/{id}", shared=shared)
    assert made == {
        "connection": "c",
        "method": "GET",
        "path": "/x/{id}",
        "parameters": [
            {"name": "id", "type": "string", "required": True},
            {"name": "q", "type": "integer", "in": "query"},
            {"name": "X-A", "type": "string", "in": "header"},
        ],
    }
    assert remarks == []


def test_names_that_no_parameter_can_have_stand_in_templates() -> None:
    listed = [
        parameter("a.b", "path"),
        parameter("a[b]", "query"),
        parameter("1st", "query"),
        parameter("a_b", "header"),
    ]
    made, _ = action({"parameters": listed}, "/x/{a.b}/")
    assert made["path"] == "/x/{a_b}/"
    assert made["query"] == {"a[b]": "{a_b_2}", "1st": "{_1st}"}
    assert made["headers"] == {"a_b": "{a_b_3}"}


def test_a_query_in_the_path_is_a_part_of_each_request() -> None:
    made, _ = action({}, "/x?beta=true&empty=#top")
    assert (made["path"], made["query"]) == ("/x", {"beta": "true", "empty": ""})


@pytest.mark.parametrize(
    ("schema", "entry"),
    [
        ({"type": ["integer", "null"]}, {"type": "integer", "schema": {"type": ["integer", "null"]}}),
        ({"type": "string", "enum": ["a"], "default": "a"}, {"type": "string", "enum": ["a"]}),
        ({"type": "array", "items": {"type": "integer"}}, {"type": "array", "schema": {"items": {"type": "integer"}}}),
        ({"type": "string", "description": "what\nit is"}, {"type": "string", "description": "what it is"}),
    ],
)
def test_a_schema_of_a_parameter(schema: Any, entry: Any) -> None:
    made, _ = action({"parameters": [parameter("q", "query", schema)]})
    assert made["parameters"] == [{"name": "q", **entry, "in": "query"}]


def test_a_parameter_without_one_type() -> None:
    made, _ = action({"parameters": [{"name": "q", "in": "query"}]})
    assert len(made["parameters"][0]["schema"]["type"]) == 7
    made, _ = action({"parameters": [parameter("q", "query", True)]})
    assert made["parameters"][0]["name"] == "q"


def test_values_that_are_joined_are_one_text() -> None:
    listed = {"type": "array", "items": {"type": "string"}}
    made, _ = action(
        {"parameters": [parameter("q", "query", listed, explode=False), parameter("p", "path", listed)]}, "/{p}"
    )
    assert [each["type"] for each in made["parameters"]] == ["string", "string"]


@pytest.mark.parametrize(
    "given",
    [
        parameter("q", "query", {"type": "object"}),
        parameter("q", "query", style="deepObject"),
        {"name": "q", "in": "query", "content": {"application/json": {}}},
        parameter("q", "cookie"),
    ],
)
def test_what_is_left_out_is_said(given: dict[str, Any]) -> None:
    made, remarks = action({"parameters": [given]})
    assert "parameters" not in made
    assert "left out" in remarks[0]
    if given["in"] == "query":
        with pytest.raises(NotCallableError, match="the parameter q is an object"):
            action({"parameters": [given | {"required": True}]})


def test_cookies_that_are_required() -> None:
    made, _ = action({"parameters": [parameter("a", "cookie", required=True), parameter("b", "cookie", required=True)]})
    assert made["headers"] == {"Cookie": "a={a}; b={b}"}


def body(kind: str, schema: Any, **more: Any) -> dict[str, Any]:
    return {"requestBody": {"content": {kind: {"schema": schema}}, **more}}


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("application/json", {"type": "json"}),
        ("application/json; charset=utf-8", {"type": "json"}),
        ("application/vnd.a+json", {"type": "json", "content_type": "application/vnd.a+json"}),
        ("*/*", {"type": "json"}),
        ("text/plain", {"type": "text", "content_type": "text/plain"}),
        ("application/xml", {"type": "text", "content_type": "application/xml"}),
    ],
)
def test_a_body_is_one_value_of_the_input(kind: str, made: Any) -> None:
    found, _ = action(body(kind, {"type": "object"}, required=True, description="It"), method="post")
    assert found["body"] == made | {"value": "{body}"}
    (entry,) = found["parameters"]
    assert (entry["name"], entry["required"]) == ("body", True)


def test_an_optional_body_and_a_parameter_of_its_name() -> None:
    node = body("application/json", {"$ref": "#/components/schemas/Any"}) | {"parameters": [parameter("body", "query")]}
    found, _ = action(node, method="post")
    assert found["body"]["value"] == "{body_2}"
    schema = found["input_schema"]
    assert schema["properties"] == {"body": {"type": "string"}, "body_2": {"$ref": "#/$defs/Any"}}
    assert (schema["required"], schema["additionalProperties"]) == ([], False)
    assert "body" not in action(body("application/json", {}))[0], "a GET has none"


def test_a_form_has_its_members_as_values() -> None:
    schema = {
        "type": "object",
        "required": ["a"],
        "properties": {"a": {"type": "string"}, "b[]": {"type": "array"}, "c": {"type": "object"}},
    }
    found, remarks = action(body("application/x-www-form-urlencoded", schema), method="post")
    assert found["body"] == {"type": "form", "value": {"a": "{a}", "b[]": "{b}"}}
    assert [each["name"] for each in found["parameters"] if each.get("required")] == ["a"]
    assert remarks == ["POST /x: c of the form is left out, because it is an object"]


def test_bodies_that_cannot_be_sent() -> None:
    with pytest.raises(NotCallableError, match="its body is application/zip; JSON, forms and text can be sent"):
        action(body("application/zip", {}, required=True), method="post")
    made, remarks = action(body("application/zip", {}), method="post")
    assert ("body" not in made, remarks) == (True, ["POST /x: its body (application/zip) is left out"])
    with pytest.raises(NotCallableError, match="its body is multipart/form-data, and the description names no part"):
        action(body("multipart/form-data", {}, required=True), method="post")
    made, remarks = action(body("multipart/form-data", {}), method="post")
    assert ("body" not in made, len(remarks), "names no part of it" in remarks[0]) == (True, 1, True)


FILE = {
    "properties": {name: {"type": "string"} for name in ("text", "base64", "filename", "content_type")},
    "oneOf": [{"required": ["text"]}, {"required": ["base64"]}],
    "additionalProperties": False,
}
BYTES: dict[str, Any] = {"type": "string", "format": "binary"}
OBJECT: dict[str, Any] = {"anyOf": [{"type": "object"}, {"type": "null"}]}
URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"


def nullable(kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": [kind, "null"], "anyOf": [{"type": "null"}, {"type": kind, **schema}]}


@pytest.mark.parametrize(
    ("member", "entry"),
    [
        (BYTES | {"description": "An image"}, {"type": "object", "description": "An image", "schema": FILE}),
        ({"$ref": "#/components/schemas/Bytes"}, {"type": "object", "schema": FILE}),
        (
            {"type": "array", "items": BYTES, "maxItems": 2},
            {"type": "array", "schema": {"items": {"type": "object", **FILE}}},
        ),
        ({"contentMediaType": "image/png"}, {"type": "object", "schema": FILE}),
        ({"type": "string", "contentMediaType": "image/png"}, {"type": "object", "schema": FILE}),
        (
            {"type": "string", "contentMediaType": "image/png", "contentEncoding": "base64"},
            {"type": "string", "schema": {"contentMediaType": "image/png", "contentEncoding": "base64"}},
        ),
        ({"anyOf": [BYTES, {"type": "null"}], "title": "A"}, {"type": "object", "schema": nullable("object", FILE)}),
        ({"$ref": "#/components/schemas/MaybeBytes"}, {"type": "object", "schema": nullable("object", FILE)}),
        (
            {"oneOf": [{"const": None}, {"$ref": "#/components/schemas/Bytes"}]},
            {"type": "object", "schema": nullable("object", FILE)},
        ),
        (BYTES | {"type": ["string", "null"]}, {"type": "object", "schema": nullable("object", FILE)}),
        (
            {"allOf": [{"$ref": "#/components/schemas/Bytes"}], "description": "A"},
            {"type": "object", "description": "A", "schema": FILE},
        ),
        ({"anyOf": [{"allOf": [BYTES]}]}, {"type": "object", "schema": FILE}),
        (
            {"type": "array", "items": {"$ref": "#/components/schemas/MaybeBytes"}},
            {"type": "array", "schema": {"items": {"type": "object", **FILE}}},
        ),
        (
            {"anyOf": [{"type": "array", "items": BYTES}, {"type": "null"}]},
            {"type": "array", "schema": nullable("array", {"items": {"type": "object", **FILE}})},
        ),
        (
            {"anyOf": [BYTES, {"type": "integer"}]},
            {"schema": {"type": [*ANY], "anyOf": [BYTES, {"type": "integer"}]}},
        ),
        (True, {"schema": {"type": [*ANY]}}),
        ({"type": "integer"}, {"type": "integer"}),
        ({"type": "array", "items": {"type": "string"}}, {"type": "array", "schema": {"items": {"type": "string"}}}),
    ],
)
def test_a_part_of_a_form_may_be_a_file(member: Any, entry: Any) -> None:
    schema = {"properties": {"a": member, "o": {"type": "object"}}, "required": ["a"]}
    found, remarks = action(body("multipart/form-data", schema, required=True), method="post")
    assert found["body"] == {"type": "multipart", "value": {"a": "{a}"}}
    assert found["parameters"] == [{"name": "a", "required": True, **entry}]
    assert remarks == ["POST /x: o of the form is left out, because it is an object"]


def test_a_form_may_be_made_of_others() -> None:
    schema = {"allOf": [{"properties": {"a": BYTES}, "required": ["a"]}, {"properties": {"b": {"type": "string"}}}]}
    found, _ = action(body(MULTIPART, {"anyOf": [schema, {"type": "null"}]}, required=True), method="post")
    assert found["body"]["value"] == {"a": "{a}", "b": "{b}"}
    assert [each["name"] for each in found["parameters"] if each.get("required")] == ["a"]


@pytest.mark.parametrize("kind", [URLENCODED, MULTIPART])
@pytest.mark.parametrize("member", [OBJECT, {"type": "object"}, {"allOf": [{"type": "object"}]}])
def test_a_form_that_needs_an_object_cannot_be_sent(kind: str, member: Any) -> None:
    schema = {"properties": {"a": {"type": "string"}, "o": member}, "required": ["o"]}
    with pytest.raises(NotCallableError, match="its body needs o, which is an object, and no form can hold one"):
        action(body(kind, schema, required=True), method="post")
    found, remarks = action(body(kind, schema), method="post")
    assert ("body" in found, "parameters" in found) == (False, False)
    assert remarks == ["POST /x: its body is left out: it needs o, which is an object, and no form can hold one"]


def test_a_form_without_a_part_that_can_be_sent() -> None:
    schema = {"properties": {"o": {"type": "object"}}}
    with pytest.raises(NotCallableError, match="all parts of it are objects, which it cannot hold"):
        action(body(MULTIPART, schema, required=True), method="post")
    found, remarks = action(body(MULTIPART, schema), method="post")
    assert ("body" in found, len(remarks)) == (False, 1)


@pytest.mark.parametrize(
    ("member", "kind"),
    [
        (BYTES, "multipart"),
        ({"anyOf": [BYTES, {"type": "null"}]}, "multipart"),
        ({"type": "array", "items": BYTES}, "multipart"),
        ({"type": "string"}, "form"),
    ],
)
@pytest.mark.parametrize("kinds", [(URLENCODED, MULTIPART), (MULTIPART, URLENCODED)])
def test_of_two_forms_the_one_that_can_hold_a_file_is_sent(member: Any, kind: str, kinds: tuple[str, ...]) -> None:
    media = {"schema": {"properties": {"a": member, "b": {"type": "string"}}}}
    node = {"requestBody": {"content": dict.fromkeys(kinds, media), "required": True}}
    found, _ = action(node, method="post")
    assert found["body"] == {"type": kind, "value": {"a": "{a}", "b": "{b}"}}


@pytest.mark.parametrize(
    ("node", "path", "says"),
    [
        ({"parameters": {}}, "/x", "parameters must be a list"),
        ({"parameters": [{"name": "a"}]}, "/x", "the parameter a has no place"),
        ({"parameters": ["a"]}, "/x", "must be a mapping"),
    ],
)
def test_a_broken_description_has_its_place(node: Any, path: str, says: str) -> None:
    with pytest.raises(InvalidDescriptionError, match=says):
        action(node, path)


def test_a_path_whose_parameter_is_missing() -> None:
    with pytest.raises(NotCallableError, match=r"its path has \{id\}"):
        action({}, "/x/{id}")
