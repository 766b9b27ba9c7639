"""The admin API, from its OpenAPI document: every route, and every body that is sent or answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tables import Schema, code, kind, table

from gateway.api.dialects import OWN
from gateway.api.openapi import document
from gateway.api.route import BASE
from gateway.api.table import ROUTES
from gateway.config.schema.json_schema import schema

Operation = dict[str, Any]
"""An Operation Object of OpenAPI 3.1."""

_SCHEMAS = "#/components/schemas/"
_IN_THE_FILE: Schema = schema()["$defs"]  # type: ignore[assignment] # a schema is a tree of plain data
"""Mappings of the configuration file: the reference of the configuration tells of them."""


_REFERENCE = {"Proxy": "a proxy", "Connection": "a connection", "Action": "an action"}
"""Mappings of the file that bodies extend."""


def regions() -> dict[str, str]:
    told = document(ROUTES)
    own = document([route for route in ROUTES if route.dialect is OWN])
    operations = [
        (method.upper(), path.removeprefix(BASE), one)
        for path, methods in own["paths"].items()
        for method, one in methods.items()
    ]
    others = [
        (method.upper(), path, one)
        for path, methods in told["paths"].items()
        if not path.startswith(BASE)
        for method, one in methods.items()
    ]
    bodies = told["components"]["schemas"]
    return {
        "routes": table(("route", "what it does", "who may", "sends", "answers"), (_route(*one) for one in operations)),
        "other-routes": table(
            ("route", "what it does", "who may", "sends", "answers"), (_route(*one) for one in others)
        ),
        "parameters": table(("route", "parameter", "value", "meaning"), _parameters(operations)),
        "bodies": "\n".join(_body(name, bodies[name]) for name in sorted(bodies) if name not in _IN_THE_FILE),
    }


def _route(method: str, path: str, operation: Operation) -> tuple[str, ...]:
    roles = [role for one in operation["security"] for role in one["token"]]
    who = " or ".join("superusers" if role == "superuser" else f"tokens for {role}" for role in roles) or "anybody"
    answers = [f"{status} {_content(one)}" for status, one in operation["responses"].items() if status != "default"]
    sent = _content(operation["requestBody"]) if "requestBody" in operation else ""
    return f"`{method} {path}`", operation["summary"], who, sent, "<br>".join(answer.strip() for answer in answers)


def _content(holder: Operation) -> str:
    """What a body holds: a link to its keys, or the media type of one that is no JSON."""
    for media, content in holder.get("content", {}).items():
        name = content["schema"].get("$ref", "").removeprefix(_SCHEMAS)
        return _link(name) if name else f"`{media}`"
    return ""


def _link(name: str) -> str:
    if name in _REFERENCE:
        plural = {"Proxy": "proxies"}.get(name, f"{name.lower()}s")
        return f"[{_REFERENCE[name]}](configuration.md#{plural})"
    if name in _IN_THE_FILE:
        return f"[{name}](configuration.md#actions)"  # a part of one
    return f"[{name}](#{name.lower()})"


def _parameters(operations: list[tuple[str, str, Operation]]) -> Iterator[tuple[str, ...]]:
    for method, path, operation in operations:
        for one in operation.get("parameters", ()):
            if one["in"] == "query":
                yield f"`{method} {path}`", f"`?{one['name']}=`", kind(one["schema"]), one["description"]
            elif one["in"] == "header":
                yield f"`{method} {path}`", f"`{one['name']}`", "text", one["description"]


def _body(name: str, node: Schema) -> str:
    own = node.get("properties", {})
    extended = [each for each in _REFERENCE if _IN_THE_FILE[each]["properties"].keys() <= own.keys()]
    known = {key for each in extended for key in _IN_THE_FILE[each]["properties"]}
    rows = [
        _key(key, value, required=key in node.get("required", ())) for key, value in own.items() if key not in known
    ]
    says = [f"### {name}", " ".join(node.get("description", "").replace("``", "`").split())]
    says += [f"All keys of {_link(each)}, and these:" for each in extended]
    says += [table(("key", "value", "default", "meaning"), rows)] if rows else []
    return "\n\n".join(filter(None, says))


def _key(name: str, node: Schema, *, required: bool) -> tuple[str, ...]:
    default = code(node["default"]) if "default" in node else "required" if required else ""
    return f"`{name}`", _value(node), default, node.get("description", "")


def _value(node: Schema) -> str:
    """As `kind`, with links to the bodies that stand inside."""
    inside = [one["$ref"] for one in (node, *node.get("anyOf", [])) if "$ref" in one]
    listed = node.get("items", {}).get("$ref")
    if listed:
        return f"list of {_link(listed.removeprefix(_SCHEMAS))}"
    null = " or `null`" if any(one.get("type") == "null" for one in node.get("anyOf", [])) else ""
    return _link(inside[0].removeprefix(_SCHEMAS)) + null if inside else kind(node)
