"""Templates of an action, taken apart once: texts with ``{name}`` where values of the input go."""

from __future__ import annotations

import re
from typing import Any, Final, Protocol
from urllib.parse import quote, unquote

from gateway.actions.errors import InvalidCallError
from gateway.config.placeholders import parts

_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9_.~-]*")  # RFC 3986 2.3
_SEPARATOR: Final = re.compile(r"[/\\]")
_DOTS: Final = frozenset((".", ".."))
_IN_PATH: Final = "!$&'()*+,;=:@-._~/%"


class Named(Protocol):
    """The input of a call."""

    def named(self, name: str) -> Any:
        """The value that stands for ``{name}``. Raises `InvalidCallError` when there is none."""
        ...


def text(value: Any, where: str) -> str:
    """A value as it stands in a path, a query or a field: a text, a number, or true or false."""
    match value:
        case str():
            if _SURROGATE.search(value):
                raise InvalidCallError(f"{where} holds half a character; remove it", [(where, "is no valid text")])
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
    raise InvalidCallError(
        f"{where} must be a text, a number, or true or false", [(where, "cannot be written as text")]
    )


def encoded(value: str) -> str:
    """Percent-encoded (RFC 3986 2.1), all but unreserved characters."""
    return value if _UNRESERVED.fullmatch(value) else quote(value, safe="")


class Template:
    """One text. ``names``: of the values that go into it, in order."""

    __slots__ = ("_parts", "names", "whole")

    def __init__(self, template: str) -> None:
        self._parts = parts(template)
        self.names = tuple(self._parts[1::2])
        self.whole = self.names[0] if len(self.names) == 1 and not self._parts[0] and not self._parts[2] else ""
        """The name that it consists of; empty: there is more in it."""

    def filled(self, values: Named) -> str:
        """Raises `InvalidCallError` for a value that is missing, or is no text."""
        if not self.names:
            return self._parts[0]
        filled = self._parts.copy()
        filled[1::2] = [text(values.named(name), name) for name in self.names]
        return "".join(filled)


class PathTemplate:
    """The path of an action below the path of ``base``, a URL without a query.

    Each value is one part of a segment: it cannot begin another one or the query. Nor can it go up, for those that
    decode %2F and a backslash before they look for segments of dots.
    """

    __slots__ = ("_base", "_names", "_parts")

    def __init__(self, template: str, base: str) -> None:
        quoted = parts(quote(template, safe=_IN_PATH + "{}"))
        quoted[::2] = [part.replace("{", "%7B").replace("}", "%7D") for part in quoted[::2]]
        self._parts = quoted
        self._names = tuple(quoted[1::2])
        self._base = base.rstrip("/")

    def filled(self, values: Named) -> str:
        """Percent-encoded. Raises `InvalidCallError` for a value that is missing, empty or no text, and for dots."""
        path = self._parts[0]
        if self._names:
            filled = self._parts.copy()
            filled[1::2] = [_segment(name, values) for name in self._names]
            path = "".join(filled)
        # Without a dot, encoded or not, there is nothing to decode.
        if ("." in path or "%2" in path) and any(part in _DOTS for part in _SEPARATOR.split(unquote(path))):
            raise InvalidCallError("the path would have a segment of dots, which leads elsewhere; give other values")
        return f"{self._base}/{path.lstrip('/')}"


def _segment(name: str, values: Named) -> str:
    value = text(values.named(name), name)
    if not value:
        raise InvalidCallError(f"{name} is empty, and stands in the path; give it", [(name, "is empty")])
    return encoded(value)
