"""The JSON Schema (2020-12) of the configuration file, for editors and for programs that write the file."""

from __future__ import annotations

from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from gateway.config.model import Settings

_REFERENCE: JsonSchemaValue = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"}


class _Generator(GenerateJsonSchema):
    """Adds what the readers admit besides the model: a reference for a number or a boolean, one address for a list."""

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        return {"anyOf": [super().int_schema(schema), {"$ref": "#/$defs/Reference"}]}
