"""What a caller may give to an action: its JSON Schema, from its parameters or as it was written, and the check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import jsonschema_rs

from gateway.actions.errors import InvalidCallError
from gateway.config.actions import Action

_MOST_SHOWN: Final = 10


def schema_of(action: Action) -> Mapping[str, Any] | None:
    """The JSON Schema of the input; None: every object is one."""
    if action.input_schema is not None:
        return action.input_schema
    if not action.parameters:
        return None
    return {
        "type": "object",
        "properties": {
            each.name: dict(each.schema) | ({} if each.default is None else {"default": each.default})
            for each in action.parameters
        },
        "required": [each.name for each in action.parameters if each.required and each.default is None],
        "additionalProperties": False,
    }


class InvalidSchemaError(ValueError):
    """Says what is wrong with a schema."""


def refuse(uri: str) -> Any:
    """Of a reference to another document: a schema must not make the gateway fetch anything."""
    raise InvalidSchemaError(f"refers to {uri}, and no other document is read; write the schema itself")


class InputCheck:
    """Checks inputs of one action. Raises `InvalidSchemaError` for a schema that is none."""

    def __init__(self, action: Action) -> None:
        schema = schema_of(action)
        self._validator: jsonschema_rs.Validator | None = None
        if schema is not None:
            self._validator = validator(schema)

    def check(self, given: Mapping[str, Any]) -> None:
        """Raises `InvalidCallError` with the paths of what does not fit; it repeats no value."""
        if self._validator is None or self._validator.is_valid(given):
            return
        fields = []
        for number, error in enumerate(self._validator.iter_errors(given)):
            if number == _MOST_SHOWN:
                break
            fields.append((".".join(map(str, error.instance_path)) or "input", _sentence(error)))
        raise InvalidCallError("the input does not fit the schema of the action; see details", fields)


def validator(schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """Raises `InvalidSchemaError`."""
    try:
        return jsonschema_rs.validator_for(dict(schema), retriever=refuse, mask="a value")
    except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        raise InvalidSchemaError(str(error).splitlines()[0]) from None


def _sentence(error: jsonschema_rs.ValidationError) -> str:
    return error.message
