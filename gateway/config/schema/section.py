"""What all mappings of the configuration file have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from gateway.config.schema.descriptions import descriptions
from gateway.config.variables import Substituted


class Section(BaseModel):
    """A mapping of the file: nothing unknown, nothing converted but references, nothing changed afterwards.

    The docstring below a key is its description.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        defer_build=True,  # most sections are only ever part of another, and need no validator of their own
    )
    refused: ClassVar[Mapping[str, str]] = {}
    further: ClassVar[type[Section] | None] = None
    """What stands below keys that are not its own; None: it has no others."""
    worded_apart: ClassVar[bool] = False
    """Its findings are sentences already when they come out of the model that holds it."""

    def open_keys(self) -> tuple[str, ...]:
        """Keys that the schema hides, and that hold no secret in this section."""
        return ()

    @model_validator(mode="before")
    @classmethod
    def _resolve_references(cls, data: object) -> object:
        """``max_concurrent: ${N}`` is a number where a number is needed, and text where text is."""
        if not isinstance(data, dict):
            return data
        return {key: cls._resolved(key, value) for key, value in data.items()}

    @classmethod
    def _resolved(cls, key: str, value: object) -> object:
        wants_text = key not in cls.model_fields or cls.model_fields[key].annotation is str
        return value.resolved if isinstance(value, Substituted) and not wants_text else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The docstring below a key is its description, unless the key has one already."""
        reference = handler(core_schema)
        keys = handler.resolve_ref_schema(reference)["properties"]
        for name, description in descriptions(cls, Section).items():
            if name in cls.model_fields and (key := cls.model_fields[name].alias or name) in keys:
                keys[key].setdefault("description", description)
        return reference
