"""JSON Merge Patch (RFC 7396)."""

from __future__ import annotations

from collections.abc import Mapping


def merged(target: Mapping[str, object], patch: Mapping[str, object]) -> dict[str, object]:
    """``target`` with the changes of ``patch``: null removes a key, mappings are merged, all else is replaced."""
    found = dict(target)
    for key, value in patch.items():
        before = found.get(key)
        if value is None:
            found.pop(key, None)
        elif isinstance(value, Mapping):
            found[key] = merged(before if isinstance(before, Mapping) else {}, value)
        else:
            found[key] = value
    return found
