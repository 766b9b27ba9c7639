"""JSON Schemas that are written by people: they are compiled, and refer to no other document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jsonschema_rs


class InvalidSchemaError(ValueError):
    """Says what is wrong with a schema."""


def validator(schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """Raises `InvalidSchemaError`. Its errors show ``a value`` instead of the value: it may be a secret."""
    import jsonschema_rs  # here, because it is code of megabytes, which a gateway without actions does not need

    refused = []

    def refuse(uri: str) -> Any:
        refused.append(uri)
        raise ValueError(uri)

    try:
        return jsonschema_rs.validator_for(dict(schema), retriever=refuse, mask="a value")
    except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        if refused:
            message = f"refers to {refused[0]}, and no other document is read; write the schema itself"
        else:
            message = f"is no JSON Schema ({str(error).splitlines()[0]}); correct it"
        raise InvalidSchemaError(message) from None
