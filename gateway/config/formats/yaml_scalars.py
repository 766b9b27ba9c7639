"""Plain scalars by the core schema of YAML 1.2: ``yes``, ``on`` and ``12:30`` are text, ``0o17`` is a number."""

from __future__ import annotations

import re

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
# YAML 1.2.2, 10.3.2: tag resolution of the core schema
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_DIGITS = 300  # a longer whole number fits no setting and would only cost time


def resolve(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar; text when it has no other type.

    >>> [resolve(text) for text in ("5", "0x1f", "1e3", "True", "~", "yes", "1:30")]
    [5, 31, 1000.0, True, None, 'yes', '1:30']
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if len(text) <= _DIGITS and _INT.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if len(text) <= _DIGITS and _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL.fullmatch(text):
        return float(text.replace(".", ""))
    return text
