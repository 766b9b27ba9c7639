"""What a caller may give to an action: its JSON Schema, from its parameters or as it was written, and the check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.actions.errors import InvalidCallError
from gateway.config.actions import Action
from gateway.config.input_schema import InvalidSchemaError, validator

__all__ = ["InputCheck", "InvalidSchemaError", "schema_of"]

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


class InputCheck:
    """Checks inputs of one action. Raises `InvalidSchemaError` for a schema that is none."""

    def __init__(self, action: Action) -> None:
        schema = schema_of(action)
        self._validator = None if schema is None else validator(schema)

    def check(self, given: Mapping[str, Any]) -> None:
        """Raises `InvalidCallError` with the paths of what does not fit; it repeats no value."""
        if self._validator is None:
            return
        try:
            errors = () if self._validator.is_valid(given) else self._validator.iter_errors(given)
        except ValueError:
            message = "the input is nested too deeply to be checked; give it with fewer levels"
            raise InvalidCallError(message, [("input", "is nested too deeply")]) from None
        fields = []
        for number, error in enumerate(errors):
            if number == _MOST_SHOWN:
                break
            fields.append((".".join(map(str, error.instance_path)) or "input", error.message))
        if fields:
            message = "the input does not fit the schema of the action; change these fields"
            raise InvalidCallError(message, fields)
