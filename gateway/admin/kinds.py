"""The connectors: what their connections and actions may have, as JSON Schemas."""

from __future__ import annotations

from functools import cache
from inspect import cleandoc

from gateway.admin.representations import Resource
from gateway.config import kinds as registry
from gateway.config.actions import REQUESTS
from gateway.config.schema.actions import Action
from gateway.config.schema.connections import Connection
from gateway.config.schema.json_schema import Untitled
from gateway.config.schema.section import Section


@cache
def kinds() -> tuple[Resource, ...]:
    """By name. The schemas are those of the configuration file."""
    return tuple(_described(name) for name in sorted(registry.kinds()))


def _described(name: str) -> Resource:
    """A connector of another distribution that cannot be loaded has its error as description, and no schemas."""
    connection: type[Section] = Connection
    action: type[Section] = Action
    if name not in REQUESTS:
        try:
            kind = registry.kind_of(name)
        except registry.UnknownKindError as error:
            return {"name": name, "description": str(error), "connection_schema": {}, "action_schema": {}}
        connection, action = kind.Connection, kind.Action
    return {
        "name": name,
        "description": cleandoc(connection.__doc__ or "").partition("\n")[0],
        "connection_schema": connection.model_json_schema(schema_generator=Untitled),
        "action_schema": action.model_json_schema(schema_generator=Untitled),
    }
