"""The OpenAPI 3.1 document, made from the table of routes and the pydantic schemas."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from gateway import __version__
from gateway.admin.rights import metrics_readers_only, superusers_only
from gateway.api import error_schemas, schemas
from gateway.api.input import Count
from gateway.api.route import FIELD_VALUE, Field, Query, Right, Route
from gateway.config.schema.json_schema import Untitled

_TYPES: Final[dict[type, str]] = {int: "integer", Count: "integer", str: "string", bool: "boolean"}
_PARAMETER = re.compile(r"\{(\w+)\}")
_ROLES: Final[dict[Right, tuple[str, ...]]] = {
    superusers_only: ("superuser",),
    metrics_readers_only: ("superuser", "metrics"),
}
"""Whose token opens a route: any of these (OpenAPI 3.1.0, Security Requirement Object)."""
JsonObject = dict[str, object]
_TEMPLATE: Final = "#/components/schemas/{model}"


def document(routes: Sequence[Route]) -> JsonObject:
    used: list[type[BaseModel]] = [schemas.Error, *error_schemas.ALL]
    for route in routes:
        used += [m for m in (route.body, *route.responses.values()) if m is not None]
    pairs: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in dict.fromkeys(used)]
    _, definitions = models_json_schema(pairs, ref_template=_TEMPLATE, schema_generator=Untitled)
    paths: dict[str, JsonObject] = {}
    for route in routes:
        paths.setdefault(route.full_path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Breakwater control plane",
            "version": __version__,
            "description": "Proxies, secrets, superusers and tokens of a gateway; for superusers.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> JsonObject:
    operation: JsonObject = {
        "operationId": route.operation,
        "summary": route.summary,
        "responses": {str(status): _answer(model, route) for status, model in route.responses.items()}
        | {"default": {"description": "It was refused", "content": _json(route.dialect.model)}},
    }
    parameters = [_in_path(name) for name in _PARAMETER.findall(route.path)] + [_in_query(q) for q in route.query]
    parameters += map(_in_header, route.fields)
    if route.versioned:
        parameters.append(
            {
                "name": "If-Match",
                "in": "header",
                "required": False,
                "description": "The version that is changed, in quotes.",
                "schema": {"type": "string", "pattern": '^"[1-9][0-9]{0,8}"$'},
            }
        )
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _json(route.body.__name__)}
    operation["security"] = [] if route.public else [{"token": [role]} for role in _ROLES[route.right]]
    return operation


def _answer(model: type[BaseModel] | None, route: Route) -> JsonObject:
    if route.stream is not None:
        events = {"text/event-stream": {"schema": {"type": "string"}}}
        return {"description": "Events `state` and `refusals`, whose data is JSON", "content": events}
    if route.kind != "application/json":
        return {"description": "Text", "content": {route.kind: {"schema": {"type": "string"}}}}
    if model is None:
        return {"description": "Done"}
    content = _json(model.__name__) | ({"*/*": {"schema": {}}} if route.raw else {})
    return {"description": (model.__doc__ or "Done").splitlines()[0], "content": content}


def _json(model: str) -> JsonObject:
    return {"application/json": {"schema": {"$ref": _TEMPLATE.format(model=model)}}}


def _in_path(name: str) -> JsonObject:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _in_query(query: Query) -> JsonObject:
    name, kind, meaning = query
    schema: JsonObject = {"type": _TYPES[kind]}
    if kind in (int, Count):
        schema |= {"minimum": 1 if kind is int else 0, "maximum": 1000 if name == "per_page" else 1_000_000_000}
    return {"name": name, "in": "query", "required": False, "description": meaning, "schema": schema}


def _in_header(field: Field) -> JsonObject:
    name, meaning = field
    schema: JsonObject = {"type": "string", "pattern": f"^{FIELD_VALUE.pattern}$"}
    return {"name": name, "in": "header", "required": False, "description": meaning, "schema": schema}
