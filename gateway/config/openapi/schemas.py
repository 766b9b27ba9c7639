"""Schemas of a description as JSON Schemas (2020-12): references by name, so that a schema may contain itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.config.openapi.source import MAX_DEPTH, InvalidDescriptionError, Source

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
_CHOICES: Final = ("allOf", "anyOf", "oneOf")
_LISTS: Final = (*_CHOICES, "prefixItems")
_MAPPINGS: Final = ("properties", "patternProperties", "dependentSchemas", "$defs")
_SCALARS: Final = frozenset(("string", "number", "integer", "boolean"))
_DEEP: Final = 6
"""Levels of one schema; what is deeper gets a name of its own, because a configuration file is not nested so deeply."""


class Schemas:
    """Those of one action. ``definitions`` grows by what is referred to."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._names: dict[str, str] = {}
        self._flat: dict[int, Mapping[str, Any]] = {}
        """By the identities of nodes of the description: a schema that many others have is read once."""
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

    def flat(self, node: object, where: str, depth: int = 0) -> Mapping[str, Any]:
        """What ``node`` says of its one type: with all of `allOf`, and with `anyOf` and `oneOf` where they have a one
        choice besides null: many descriptions write a value that may be null so. It is `nullable` then. A ``node`` that
        is no mapping is an empty schema.

        Raises `InvalidDescriptionError`.
        """
        found, where = self._source.resolved(node, where)
        if not isinstance(found, Mapping):
            return {}
        if depth > MAX_DEPTH:
            raise InvalidDescriptionError(f"{where} is nested deeper than {MAX_DEPTH} levels; correct the description")
        if id(found) not in self._flat:
            self._flat[id(found)] = {}  # known before it is complete, because it may contain itself
            self._flat[id(found)] = self._flattened(found, where, depth)
        return self._flat[id(found)]

    def _flattened(self, node: Mapping[str, Any], where: str, depth: int) -> Mapping[str, Any]:
        made = {key: value for key, value in node.items() if key not in _CHOICES}
        for key in _CHOICES:
            listed = node.get(key)
            branches = [self.flat(each, where, depth + 1) for each in listed] if isinstance(listed, list) else []
            chosen = branches if key == "allOf" else [each for each in branches if not _is_null(each)]
            if key != "allOf" and len(chosen) != 1:
                continue
            for each in reversed(chosen):
                made = _both(each, made)
            if len(chosen) < len(branches):
                made["nullable"] = True
        return made

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


def _both(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with the keywords of both. Where they have one keyword it is that of ``second``, but members add up."""
    made = {**first, **second}
    one, other = first.get("properties"), second.get("properties")
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        made["properties"] = {**one, **other}
    needed, more = first.get("required"), second.get("required")
    if isinstance(needed, list) and isinstance(more, list):
        made["required"] = [*needed, *more]
    return made


def _is_null(schema: Mapping[str, Any]) -> bool:
    """Whether null is all that it accepts."""
    return schema.get("type") in ("null", ["null"]) or ("const" in schema and schema["const"] is None)


def kind(schema: object) -> str:
    """The one type of a schema, besides null; "": it has none, or several."""
    found = schema.get("type") if isinstance(schema, Mapping) else None
    kinds = [each for each in (found if isinstance(found, list) else [found]) if each != "null"]
    return kinds[0] if len(kinds) == 1 and kinds[0] in ANY else ""


def may_be_null(flat: Mapping[str, Any]) -> bool:
    """Whether a schema that `Schemas.flat` has made accepts null."""
    found = flat.get("type")
    return flat.get("nullable") is True or (isinstance(found, list) and "null" in found)
