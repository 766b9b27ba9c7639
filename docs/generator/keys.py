"""The keys of the configuration file, from its JSON Schema: a table for each part of the reference."""

from __future__ import annotations

from collections.abc import Iterator

from tables import Schema, code, kind, table

from gateway.config.schema.json_schema import schema

HEAD = ("key", "value", "default", "example", "meaning")
PARTS = {
    "keys-limits": "limits.",
    "keys-auth": "auth.",
    "keys-upstreams": "upstreams[].",
    "keys-connections": "connections.NAME.",
    "keys-actions": "actions.NAME.",
    "keys-sql": "connectors.sql.",
    "keys-redis": "connectors.redis.",
    "keys-mongodb": "connectors.mongodb.",
    "keys-mcp": "mcp[].",
    "keys-proxies": "proxies[].",
}
"""Parts of the reference with a region of their own, by the beginning of their keys; the rest is ``keys-gateway``."""


def regions() -> dict[str, str]:
    top: Schema = schema()
    rows = list(_rows(top, top["$defs"], ""))
    found = {part: [row for row in rows if row[0].startswith(f"`{begin}")] for part, begin in PARTS.items()}
    elsewhere = {row[0] for part in found.values() for row in part}
    found["keys-gateway"] = [row for row in rows if row[0] not in elsewhere]
    return {part: table(HEAD, rows) for part, rows in found.items()}


def _rows(section: Schema, shared: Schema, prefix: str) -> Iterator[tuple[str, ...]]:
    """The keys of a mapping, those of the mappings in it after them all."""
    for name, node in section["properties"].items():
        meaning = node.get("description") or shared[_mapping_in(node)[0]]["description"]
        yield _row(prefix + name, node, meaning, required=name in section.get("required", ()))
    for name, node in section["properties"].items():
        inner, is_list = _mapping_in(node)
        named = node.get("additionalProperties", {}) or next(iter(node.get("patternProperties", {}).values()), {})
        if inner:
            yield from _rows(shared[inner], shared, f"{prefix}{name}{'[]' if is_list else ''}.")
        elif not prefix and (sections := _sections_in(named)):
            # Below connectors the same keys are another way to write them, so one table is enough.
            yield from _rows(shared[sections[0]], shared, f"{name}.NAME.")
            for section in sections[1:]:
                kind = shared[section]["properties"]["kind"]["default"]
                yield from _rows(shared[section], shared, f"connectors.{kind}.{name}.NAME.")


def _sections_in(named: object) -> list[str]:
    """The names of the sections that the value behind a name may be."""
    places = [named, *named.get("anyOf", [])] if isinstance(named, dict) else []
    return [place["$ref"].removeprefix("#/$defs/") for place in places if "$ref" in place]


def _row(path: str, node: Schema, meaning: str, *, required: bool) -> tuple[str, ...]:
    sections = "$ref" in node
    default = "required" if required else "see below" if sections else code(node.get("default"))
    if path == "listen":  # as people write it, and not as it is kept
        default = code(node["default"][0]["address"])
    examples = node.get("examples", [])
    return f"`{path}`", kind(node), default, "".join(code(one) for one in examples), meaning


def _mapping_in(node: Schema) -> tuple[str, bool]:
    """The name of the mapping that ``node`` is, or is a list of; empty without one."""
    alternatives = [node, *node.get("anyOf", [])]
    entries = [
        entry for one in alternatives for entry in (one.get("items", {}), *one.get("items", {}).get("anyOf", []))
    ]
    for places, is_list in ((entries, True), (alternatives, False)):
        for place in places:
            if "$ref" in place:
                return place["$ref"].removeprefix("#/$defs/"), is_list
    return "", False
