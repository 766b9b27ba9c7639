"""The connectors: what their connections and actions may have, as JSON Schemas."""

from __future__ import annotations

from functools import cache
from typing import Final

from gateway.admin.representations import Resource
from gateway.config.schema.actions import Action, Connectors
from gateway.config.schema.connections import Connection
from gateway.config.schema.json_schema import Untitled

_SCHEMAS: Final = {"http": (Connection, Action)}
"""By the names that `connectors` of the configuration has."""


@cache
def kinds() -> tuple[Resource, ...]:
    """By name. The schemas are those of the configuration file."""
    return tuple(
        {
            "name": name,
            "description": Connectors.model_fields[name].description or "",
            "connection_schema": connection.model_json_schema(schema_generator=Untitled),
            "action_schema": action.model_json_schema(schema_generator=Untitled),
        }
        for name, (connection, action) in sorted(_SCHEMAS.items())
    )
