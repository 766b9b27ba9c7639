"""The JSON Schema (2020-12) of the configuration file, for editors and for programs that write the file."""

from __future__ import annotations

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from gateway.config.schema.settings import Settings


def schema() -> dict[str, object]:
    """The schema as plain data. ``gateway check`` checks addresses, paths and unique names."""
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        **Settings.model_json_schema(schema_generator=_Generator),
        "title": "Configuration of the Breakwater gateway",
    }


class Untitled(GenerateJsonSchema):
    """Adds no titles to fields: the title that pydantic makes of a name has no more to say than the name."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


class _Generator(Untitled):
    """Admits ``${VAR}`` where a number or a boolean is needed, as the reader does."""

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        return _or_reference(super().int_schema(schema))

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return _or_reference(super().float_schema(schema))

    def bool_schema(self, schema: core_schema.BoolSchema) -> JsonSchemaValue:
        return _or_reference(super().bool_schema(schema))


def _or_reference(plain: JsonSchemaValue) -> JsonSchemaValue:
    return {"anyOf": [plain, {"type": "string", "pattern": r"\$\{"}]}
