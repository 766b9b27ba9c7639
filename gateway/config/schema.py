"""The JSON Schema of the configuration file, for editors and for people who generate the file."""

from __future__ import annotations

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from gateway.config.model import Settings
