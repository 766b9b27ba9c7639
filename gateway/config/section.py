"""What all mappings of the configuration file have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from gateway.config.variables import Substituted


class Section(BaseModel):
    """A mapping of the file: nothing unknown, nothing converted but references, nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, hide_input_in_errors=True)
    refused: ClassVar[Mapping[str, str]] = {}

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


def only(allowed: object, sentence: str) -> BeforeValidator:
    """Admits one value; whoever writes another reads ``sentence``."""

    def check(value: object) -> object:
        if type(value) is type(allowed) and value == allowed:
            return value
        raise ValueError(sentence)

    return BeforeValidator(check)
