"""Schemas of a description as JSON Schemas (2020-12): references by name, so that a schema may contain itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.config.openapi.source import InvalidDescriptionError, Source

ANY: Final = ("string", "number", "integer", "boolean", "array", "object", "null")
_DROPPED: Final = frozenset(
    (
        *("example", "examples", "xml", "externalDocs", "discriminator", "deprecated", "readOnly", "writeOnly"),
        *("nullable", "$schema", "$comment", "$id", "$anchor"),
        # What they refer to depends on who refers: any value is accepted there.
        *("$recursiveAnchor", "$recursiveRef", "$dynamicAnchor", "$dynamicRef"),
    )
)
_SCHEMAS: Final = ("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else")
_LISTS: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPPINGS: Final = ("properties", "patternProperties", "dependentSchemas", "$defs")
_SCALARS: Final = frozenset(("string", "number", "integer", "boolean"))
_DEEP: Final = 6
"""Levels of one schema; what is deeper gets a name of its own, because a configuration file is not nested so deeply."""


class Schemas:
    """Those of one action. ``definitions`` grows by what is referred to."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._names: dict[str, str] = {}
        self.definitions: dict[str, Any] = {}

    def converted(self, node: object, where: str, depth: int = 0) -> Any:
        """The schema ``node`` for JSON Schema. Raises `InvalidDescriptionError`."""
        if isinstance(node, bool):
            return node
        if not isinstance(node, Mapping):
            raise InvalidDescriptionError(f"{where} must be a schema; correct the description")
        reference = node.get("$ref")
        if not isinstance(reference, str):
            return self._named(node, where) if depth > _DEEP else self._plain(node, where, depth)
        beside = {} if self._source.old else {key: value for key, value in node.items() if key != "$ref"}
        own = self._plain(beside, where, depth)
        found = self._referred(reference, depth)
        # What stands beside a reference holds too, but in OpenAPI 3.0.
        return found | own if "$ref" in found or not own else {"allOf": [found], **own}

    def _referred(self, reference: str, depth: int) -> Any:
        node, _ = self._source.resolved({"$ref": reference}, reference)
        if isinstance(node, Mapping) and node.get("type") in _SCALARS:
            return self._plain(node, reference, depth)  # short enough to stand where it is used
        if reference not in self._names:
            name = self._names[reference] = self._name(reference)
            self.definitions[name] = True  # known before it is complete, because it may contain itself
            self.definitions[name] = self.converted(node, reference)
        return {"$ref": f"#/$defs/{self._names[reference]}"}

    def _named(self, node: Mapping[str, Any], where: str) -> dict[str, str]:
        """``node`` among the definitions, and a reference to it."""
        name = self._name(where)
        self.definitions[name] = True
        self.definitions[name] = self._plain(node, where, 0)
        return {"$ref": f"#/$defs/{name}"}

    def _name(self, reference: str) -> str:
        plain = re.sub(r"[^A-Za-z0-9_.-]", "_", reference.rpartition("/")[2]) or "schema"
        name, number = plain, 1
        while name in self.definitions:
            number += 1
            name = f"{plain}-{number}"
        return name

    def _plain(self, node: Mapping[str, Any], where: str, depth: int) -> dict[str, Any]:
        made = dict(self._keys(node, where, depth))
        _numbers(made)
        if self._source.old:
            _nullable(node, made)
        unwritable = [name for name in made.get("properties", {}) if self._read_only(node["properties"][name])]
        for name in unwritable:
            del made["properties"][name]
        if unwritable and isinstance(required := made.get("required"), list):
            made["required"] = [name for name in required if name not in unwritable]
        return made

    def _keys(self, node: Mapping[str, Any], where: str, depth: int) -> Iterator[tuple[str, Any]]:
        for key, value in node.items():
            place = f"{where}/{key}"
            if key in _DROPPED or key.startswith("x-"):
                continue
            if key in _SCHEMAS and isinstance(value, Mapping):
                yield key, self.converted(value, place, depth + 1)
            elif key in _LISTS and isinstance(value, list):
                yield key, [self.converted(each, place, depth + 1) for each in value]
            elif key in _MAPPINGS and isinstance(value, Mapping):
                yield (
                    key,
                    {str(name): self.converted(each, f"{place}/{name}", depth + 1) for name, each in value.items()},
                )
            else:
                yield key, value

    def _read_only(self, node: object) -> bool:
        found, _ = self._source.resolved(node, "a property")
        return isinstance(found, Mapping) and found.get("readOnly") is True


def _numbers(made: dict[str, Any]) -> None:
    """An exclusive bound as a number: OpenAPI 3.0 has a flag, and some descriptions of 3.1 still have one."""
    for bound, plain in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        flag = made.get(bound)
        if isinstance(flag, bool):
            del made[bound]
            if flag and plain in made:
                made[bound] = made.pop(plain)


def _nullable(node: Mapping[str, Any], made: dict[str, Any]) -> None:
    if node.get("nullable") is True and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
        if isinstance(made.get("enum"), list) and None not in made["enum"]:
            made["enum"] = [*made["enum"], None]


def kind(schema: object) -> str:
    """The one type of a schema, besides null; "": it has none, or several."""
    found = schema.get("type") if isinstance(schema, Mapping) else None
    kinds = [each for each in (found if isinstance(found, list) else [found]) if each != "null"]
    return kinds[0] if len(kinds) == 1 and kinds[0] in ANY else ""
