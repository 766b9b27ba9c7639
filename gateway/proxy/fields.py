"""The header fields that a proxy sets on each request: those that never change, and those that say who asks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from gateway import errors
from gateway.config.document import AuthField, Header, Missing, Part
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.core.principal import Principal
from gateway.errors import GatewayError

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class ConfiguredFields:
    """``fixed`` are (name, value); `lines` makes the rest for one caller; ``names`` are those of both."""

    __slots__ = ("_personal", "fixed", "names")

    def __init__(self, headers: Iterable[Header]) -> None:
        self.fixed: list[tuple[bytes, bytes]] = []
        self._personal: list[tuple[bytes, tuple[Part, ...]]] = []
        for header in headers:
            name = header.name.encode()
            if all(isinstance(part, str) for part in header.parts):
                self.fixed.append((name, "".join(map(str, header.parts)).encode("latin-1")))
            else:
                self._personal.append((name, header.parts))
        self.names = [name for name, _ in self.fixed] + [name for name, _ in self._personal]

    def lines(self, principal: Principal | None) -> bytes:
        """Whole field lines; a field that is empty for this caller is left out."""
        if not self._personal:
            return b""
        values = ((name, _value(parts, principal)) for name, parts in self._personal)
        return b"".join(b"%b: %b\r\n" % (name, value) for name, value in values if value)


def _value(parts: tuple[Part, ...], principal: Principal | None) -> bytes:
    text = "".join(_claim(part.field, principal) if isinstance(part, AuthField) else str(part) for part in parts)
    return text.strip(" \t").encode("latin-1", "ignore")


def _claim(path: str, principal: Principal | None) -> str:
    """The claim as text; "" for what is not there, is no plain value, or could not stand in a header."""
    value: object = principal.claims if principal is not None else {}
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value) if isinstance(value, str | int | float) else ""
    return "" if _CONTROL.search(text) else text


def require_templates(headers: Iterable[Header]) -> Layer:
    """Refuse with ``template_missing`` while a variable or secret that the headers name is not set."""
    missing = any(isinstance(part, Missing) for header in headers for part in header.parts)

    def layer(next_handler: Handler) -> Handler:
        async def refuse(ex: Exchange) -> None:
            raise GatewayError(errors.TEMPLATE_MISSING)

        return refuse if missing else next_handler

    return layer
