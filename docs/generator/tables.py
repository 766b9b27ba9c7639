"""Tables of Markdown, and JSON Schema in words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

Schema = dict[str, Any]
"""A node of a JSON Schema (2020-12)."""

_REFERENCE = r"\$\{"
"""Pattern of the alternative that admits ``${VARIABLE}``; it goes without saying."""
_PLAIN = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true` or `false`"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def code(value: object) -> str:
    """``value`` as it may be written in YAML: JSON, but for text that needs no quotes and for whole floats."""
    if isinstance(value, float):
        return f"`{value:g}`"
    if isinstance(value, str) and value and value[0] not in "-@*&!%[{\"'#|>` $" and not _looks_otherwise(value):
        return f"`{value}`"
    return f"`{json.dumps(value)}`"


def _looks_otherwise(text: str) -> bool:
    return text in ("true", "false", "null") or text.replace(".", "").isdigit() or ": " in text or " #" in text


def kind(node: Schema) -> str:
    """The type of ``node`` with its unit and bounds: ``whole number of bytes, 64 to 1048576``."""
    alternatives = [one for one in node.get("anyOf", [node]) if one.get("pattern") != _REFERENCE]
    told = list(dict.fromkeys(_one(one | _unit(node)) for one in alternatives))
    return " or ".join(told)


def _unit(node: Schema) -> Schema:
    return {"x-unit": node["x-unit"]} if "x-unit" in node else {}


def _one(node: Schema) -> str:
    if "$ref" in node or "oneOf" in node:
        return "mapping"
    if "anyOf" in node:
        # A key that may be null has the alternatives of its type in one of its own.
        return kind(node)
    if "const" in node:
        return code(node["const"])
    if "enum" in node:
        return " or ".join(map(code, node["enum"]))
    match node.get("type"):
        case "array":
            of = {"text": "texts", "mapping": "mappings", "any JSON": "any JSON"}
            return "list of " + of.get(kind(node.get("items", {})), "texts")
        case "object":
            return "mapping"
        case "null":
            return "`null`"
        case str(name):
            unit = f" of {node['x-unit']}" if "x-unit" in node else ""
            return _PLAIN[name] + unit + _bounds(node)
    return "any JSON"


def _bounds(node: Schema) -> str:
    least, most = node.get("minimum"), node.get("maximum")
    if "exclusiveMinimum" in node:
        return f", above {node['exclusiveMinimum']:g}" + ("" if most is None else f", to {most}")
    if least is None:
        return ""
    return f", {least} or more" if most is None or most > 1 << 60 else f", {least} to {most}"
