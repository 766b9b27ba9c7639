from typing import Any

import pytest

from gateway.config.input_schema import InvalidSchemaError, validator


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "nope"}, "is no JSON Schema"),
        ({"pattern": "("}, "is no JSON Schema"),
        ({"$ref": "#/nope"}, "is no JSON Schema"),
        ({"$ref": "http://127.0.0.1:1/schema"}, "refers to http://127.0.0.1:1/schema"),
        ({"$ref": "file:///etc/passwd"}, "refers to file:///etc/passwd"),
        ({"properties": {"a": {"$ref": "other.json"}}}, "refers to .*other.json"),
        ({"$schema": "http://127.0.0.1:1/dialect"}, "refers to http://127.0.0.1:1/dialect"),
    ],
)
def test_a_schema_is_compiled_and_reads_nothing_else(schema: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidSchemaError, match=says):
        validator(schema)


def test_a_reference_inside_is_followed_and_no_value_is_shown() -> None:
    check = validator({"$defs": {"id": {"type": "integer"}}, "properties": {"id": {"$ref": "#/$defs/id"}}})
    assert check.is_valid({"id": 3})
    (error,) = check.iter_errors({"id": "s3cret"})
    assert "s3cret" not in str(error.message)
    assert list(error.instance_path) == ["id"]
