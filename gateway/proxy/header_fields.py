"""The header fields that a proxy sets on each request: those that never change, and those that depend on the caller."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import isfinite

from gateway.config.records import AuthField, Header, Part
from gateway.core.principal import Principal

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


class ConfiguredFields:
    """``fixed`` are (name, value); `lines` makes the rest for one caller; ``names`` are those of all, empty ones too.
    Without ``personal`` no caller has lines of its own.

    A field that the configuration names is never taken from the caller, even if its configured value is not sent.
    """

    __slots__ = ("fixed", "names", "personal")

    def __init__(self, headers: Iterable[Header]) -> None:
        self.fixed: list[tuple[bytes, bytes]] = []
        self.personal: list[tuple[bytes, tuple[Part, ...]]] = []
        self.names: list[bytes] = []
        for header in headers:
            name = header.name.encode()
            self.names.append(name)
            if not all(isinstance(part, str) for part in header.parts):
                self.personal.append((name, header.parts))
            elif value := "".join(map(str, header.parts)).encode("latin-1"):
                self.fixed.append((name, value))

    def lines(self, principal: Principal | None) -> bytes:
        """Whole field lines; a field that is empty for this caller, or cannot be sent exactly, is left out."""
        values = ((name, _value(parts, principal)) for name, parts in self.personal)
        return b"".join(b"%b: %b\r\n" % (name, value) for name, value in values if value)


def _value(parts: tuple[Part, ...], principal: Principal | None) -> bytes:
    """Empty when a claim does not fit: a partial value would make a false statement about the caller."""
    text = ""
    for part in parts:
        piece = _claim(part.field, principal) if isinstance(part, AuthField) else str(part)
        if piece is None:
            return b""
        text += piece
    return text.strip(" \t").encode("latin-1")


def _claim(path: str, principal: Principal | None) -> str | None:
    """The claim as text; "" for what is not there, None for what no field can carry exactly.

    A list is its members with commas between them, so that none of them may hold one, or be empty (RFC 9110 5.6.1).
    """
    value: object = principal.claims if principal is not None else {}
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if not isinstance(value, list):
        return "" if value is None else _plain(value)
    members = [_plain(member) for member in value]
    texts = [member for member in members if member and "," not in member]
    return ",".join(texts) if len(texts) == len(members) else None


def _plain(value: object) -> str | None:
    """A text, number or boolean; None when it would not arrive as it is (RFC 9110 5.5)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float) or (isinstance(value, float) and not isfinite(value)):
        return None
    text = str(value)
    if _CONTROL.search(text) or text != text.strip(" \t") or any(ord(character) > 0xFF for character in text):
        return None
    return text
