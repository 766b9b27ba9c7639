"""Schemas of OpenAPI 3.0 and 3.1 as JSON Schemas that are checked."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config.input_schema import validator
from gateway.config.openapi.schemas import Schemas, kind, may_be_null
from gateway.config.openapi.source import InvalidDescriptionError, Source

COMPONENTS = {
    "Tree": {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Tree"}, "id": {"readOnly": True}}},
    "Size": {"type": "integer", "minimum": 1},
    "A/b": {"allOf": [{"$ref": "#/components/schemas/Tree"}, {"required": ["next"]}]},
    "Secret": {"type": "string", "readOnly": True},
}


def schemas(version: str = "3.1.0") -> Schemas:
    return Schemas(Source({"openapi": version, "components": {"schemas": COMPONENTS}}))


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "nullable": True, "enum": ["a"]}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
        ({"maximum": 1, "exclusiveMaximum": False}, {"maximum": 1}),
        ({"exclusiveMaximum": True}, {}),
        (
            {"type": "string", "example": "x", "x-a": 1, "xml": {}, "format": "uuid"},
            {"type": "string", "format": "uuid"},
        ),
        (
            {"properties": {"a": {"example": 1}, "example": {"type": "string"}}},
            {"properties": {"a": {}, "example": {"type": "string"}}},
        ),
        ({"not": {"nullable": True, "type": "object"}}, {"not": {"type": ["object", "null"]}}),
        ({"items": {"allOf": [{"x-a": 1}]}}, {"items": {"allOf": [{}]}}),
        ({"additionalProperties": False}, {"additionalProperties": False}),
        (
            {"properties": {"a": {"readOnly": True}, "b": {}}, "required": ["a", "b"]},
            {"properties": {"b": {}}, "required": ["b"]},
        ),
        ({"properties": {"a": {"$ref": "#/components/schemas/Secret"}}}, {"properties": {}}),
    ],
)
def test_what_3_0_writes_otherwise(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert schemas("3.0.3").converted(old, "x") == new


def test_3_1_is_json_schema_but_for_what_means_nothing_here() -> None:
    made = schemas()
    assert made.converted({"type": ["string", "null"], "const": "a", "$id": "x", "discriminator": {}}, "x") == {
        "type": ["string", "null"],
        "const": "a",
    }
    assert made.converted(True, "x") is True
    assert made.converted({"anyOf": [{"$recursiveRef": "#"}]}, "x") == {"anyOf": [{}]}
    assert made.converted({"minimum": 0, "exclusiveMinimum": True}, "x") == {"exclusiveMinimum": 0}


def test_a_reference_is_a_definition_and_a_scalar_stands_where_it_is_used() -> None:
    made = schemas()
    assert made.converted(ref("Size"), "x") == {"type": "integer", "minimum": 1}
    assert made.converted(ref("Size") | {"maximum": 3}, "x") == {
        "allOf": [{"type": "integer", "minimum": 1}],
        "maximum": 3,
    }
    assert made.definitions == {}
    found = made.converted(ref("A~1b") | {"maxProperties": 2}, "x")
    assert found == {"$ref": "#/$defs/A_1b", "maxProperties": 2}
    assert made.definitions["Tree"] == {"type": "object", "properties": {"next": {"$ref": "#/$defs/Tree"}}}
    assert schemas("3.0.3").converted(ref("Tree") | {"maxProperties": 2}, "x") == {"$ref": "#/$defs/Tree"}


def test_a_schema_that_contains_itself_is_checked() -> None:
    made = schemas()
    schema = {**made.converted(ref("A~1b"), "x"), "$defs": made.definitions}
    check = validator(schema)
    assert check.is_valid({"next": {"next": {}}})
    assert not check.is_valid({})
    assert not check.is_valid({"next": {"next": 1}})


def test_what_is_deep_gets_a_name() -> None:
    node: dict[str, Any] = {"type": "integer"}
    for _ in range(40):
        node = {"type": "object", "properties": {"a": node}, "required": ["a"]}
    made = schemas()
    schema = {**made.converted(node, "x"), "$defs": made.definitions}
    assert len(made.definitions) == 5
    value: Any = 1
    for _ in range(40):
        value = {"a": value}
    check = validator(schema)
    assert (check.is_valid(value), check.is_valid({"a": value}), check.is_valid(value["a"])) == (True, False, False)


def test_two_definitions_of_one_name() -> None:
    made = Schemas(Source({"openapi": "3.1.0", "a": {"X": {"type": "object"}}, "b": {"X": {"type": "array"}}}))
    made.converted({"anyOf": [{"$ref": "#/a/X"}, {"$ref": "#/b/X"}, {"$ref": "#/a/X"}]}, "x")
    assert made.definitions == {"X": {"type": "object"}, "X-2": {"type": "array"}}


def test_what_is_no_schema_has_its_place() -> None:
    with pytest.raises(InvalidDescriptionError, match="x/properties/a must be a schema"):
        schemas().converted({"properties": {"a": 1}}, "x")


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        ({"type": "string"}, "string"),
        ({"type": ["null", "array"]}, "array"),
        ({"type": ["a", "b"]}, ""),
        ({}, ""),
        (1, ""),
    ],
)
def test_the_one_type_of_a_schema(schema: object, found: str) -> None:
    assert kind(schema) == found


@pytest.mark.parametrize(
    ("node", "flat", "null"),
    [
        (True, {}, False),
        (ref("Size"), {"type": "integer", "minimum": 1}, False),
        ({"type": "string", "nullable": True}, {"type": "string", "nullable": True}, True),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}, True),
        ({"type": ["string", "integer"]}, {"type": ["string", "integer"]}, False),
        ({"anyOf": [ref("Size"), {"type": "null"}], "title": "T"}, {"minimum": 1, "title": "T"}, True),
        ({"oneOf": [{"type": ["null"]}, {"minimum": 2}], "minimum": 3}, {"minimum": 3}, True),
        ({"anyOf": [{"oneOf": [{"const": None}, {"minimum": 2}]}]}, {"minimum": 2}, True),
        ({"anyOf": [ref("Size"), {"type": "string"}], "title": "T"}, {"title": "T"}, False),
        ({"anyOf": [{"type": "null"}], "title": "T"}, {"title": "T"}, False),
        ({"anyOf": "broken"}, {}, False),
        ({"allOf": [ref("Size"), {"maximum": 2}]}, {"type": "integer", "minimum": 1, "maximum": 2}, False),
        (
            {
                "allOf": [{"properties": {"a": True}, "required": ["a"]}, {"properties": {"b": True}}],
                "required": ["b"],
            },
            {"properties": {"a": True, "b": True}, "required": ["a", "b"]},
            False,
        ),
    ],
)
def test_a_schema_of_one_type_in_one_mapping(node: Any, flat: dict[str, Any], null: bool) -> None:
    found = schemas().flat(node, "here")
    assert flat.items() <= found.items()
    assert not found.keys() & {"allOf", "anyOf", "oneOf"}
    assert may_be_null(found) is null


def test_schemas_that_contain_themselves_or_each_other_end() -> None:
    """Each of a long row has the next one twice: as a tree it would be larger than any memory."""
    own = {"Own": {"allOf": [ref("Own"), {"type": "string"}]}}
    row = {f"R{at}": {"allOf": [ref(f"R{at + 1}"), ref(f"R{at + 1}")]} for at in range(100)} | {
        "R100": {"type": "null"}
    }
    source = Source({"openapi": "3.1.0", "components": {"schemas": own | row}})
    assert Schemas(source).flat(ref("Own"), "here") == {"type": "string"}
    assert Schemas(source).flat(ref("R0"), "here") == {"type": "null"}
    deep = {f"R{at}": {"anyOf": [ref(f"R{at + 1}")]} for at in range(5000)}
    with pytest.raises(InvalidDescriptionError, match="is nested deeper than 200 levels"):
        Schemas(Source({"openapi": "3.1.0", "components": {"schemas": deep}})).flat(ref("R0"), "here")
