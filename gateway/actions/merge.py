"""What is sent for a call: connection, action and input become one request.

There are two rules. ``layered``: connection < action < input, so that a later layer replaces what an earlier one has
set, and null removes it; method and path come from the action alone. ``strict``: what the connection sets is not
overridden, except reserved fields that the action sets. Where a call goes is the connection's alone in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import orjson

from gateway.actions import multipart
from gateway.actions.errors import MISCONFIGURED, InvalidCallError
from gateway.actions.fields import FieldLayers, Layered, check_value
from gateway.actions.template import PathTemplate, Template, encoded, text
from gateway.actions.values import BODILESS, Declared, Values
from gateway.config.actions import Action, Body, BodyKind, Connection

CONNECTION: Final = "connection"
ACTION: Final = "action"
INPUT: Final = "input"
AUTH: Final = "auth"

_COOKIE_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_IN_COOKIES: Final = re.compile(r'[\x00-\x20",;\\\x7f-\U0010ffff]')
_METHOD: Final = re.compile(r"[A-Z]{1,20}")
_TYPES: Final = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "text": "text/plain; charset=utf-8",
    "multipart": multipart.TYPE,
}
_FORMS: Final = frozenset(("form", "multipart"))


@dataclass(slots=True)
class Merged:  # not frozen, because each call makes one, and setting frozen fields costs more than all else in it
    """A request without its credentials. ``path``: percent-encoded, with the base path of the connection."""

    method: str
    path: str
    query: tuple[Layered, ...]
    headers: tuple[Layered, ...]
    body: bytes = field(default=b"", repr=False)
    warnings: tuple[str, ...] = ()
    content_type: str | None = None
    """Of the body, when all calls with a body of this type have these ``headers``; "" without a body. None: ``headers``
    follow from the input too."""

    @property
    def target(self) -> str:
        """In origin-form (RFC 9112 3.2.1)."""
        if not self.query:
            return self.path
        return f"{self.path}?{'&'.join([f'{encoded(name)}={encoded(value)}' for name, value, _ in self.query])}"

    def with_header(self, name: str, value: str, layer: str) -> Merged:
        """With this field instead of all of its name. Raises `InvalidCallError` for what no field can carry."""
        check_value(name, value, layer)
        rest = tuple(each for each in self.headers if each.name.lower() != name.lower())
        return replace(self, headers=(*rest, Layered(name, value, layer)), content_type=None)

    def header(self, name: str) -> str:
        """The value of this field; empty: there is none."""
        return next((each.value for each in self.headers if each.name.lower() == name.lower()), "")


def merge(connection: Connection, action: Action, given: Mapping[str, Any]) -> Merged:
    """The request for ``action`` with the input ``given``, which fits its schema. Raises `InvalidCallError`."""
    return Recipe(connection, action).merge(given)


class Recipe:
    """Merges the calls of one action: what does not depend on their input is found once."""

    def __init__(self, connection: Connection, action: Action) -> None:
        self._connection = connection
        self._action = action
        self._strict = connection.merge == "strict"
        self._declared = Declared(action)
        self._path = PathTemplate(action.path, urlsplit(connection.base_url).path)
        self._headers = {name: Template(value) for name, value in action.headers.items()}
        self._query = {name: Template(value) for name, value in action.query.items()}
        self._asks = bool(action.query or connection.query)
        self._fixed = not any(each.names for each in self._headers.values())
        """Whether no template of a header field depends on the input."""
        self._kept: dict[str, tuple[tuple[Layered, ...], tuple[str, ...]]] = {}
        """Header fields that do not depend on the input, and warnings about them, by the content type of the body: one
        that the action or the kind of its body has."""

    def merge(self, given: Mapping[str, Any]) -> Merged:
        """The request with the input ``given``, which fits the schema. Raises `InvalidCallError`."""
        method = self._action.method
        if not _METHOD.fullmatch(method):
            raise InvalidCallError("the method is no word of capital letters; write GET or POST", code=MISCONFIGURED)
        values = Values(self._declared, given)
        fields = None if self._fixed and not values.changes_fields else self._fields(values)
        body, content_type = _body(self._connection, self._action, values, strict=self._strict)
        warnings: list[str] = []
        if body and method in BODILESS:
            warnings.append(f"a {method} request has no body; the body is left out")
            body = b""
        content_type = content_type if body else ""
        path = self._path.filled(values)
        query = tuple(self._parameters(values)) if self._asks or values.changes_query else ()
        if fields is not None:
            headers = _permitted(fields, content_type, warnings)
            return Merged(method, path, query, headers, body, tuple(warnings))
        headers, more = self._kept.get(content_type) or self._keep(content_type, values)
        return Merged(method, path, query, headers, body, (*warnings, *more), content_type)

    def _keep(self, content_type: str, values: Values) -> tuple[tuple[Layered, ...], tuple[str, ...]]:
        warnings: list[str] = []
        headers = _permitted(self._fields(values), content_type, warnings)
        self._kept[content_type] = found = headers, tuple(warnings)
        return found

    def _fields(self, values: Values) -> FieldLayers:
        connection = self._connection
        policy = self._action.fields or connection.fields
        layers = FieldLayers(policy)
        own = values.texts(self._headers)
        given = _texts(values.layer("headers"), "headers", ", ") | _texts(values.at("header"), "headers", ", ")
        cookies = _texts(values.layer("cookies"), "cookies", ",")
        for name, value in cookies.items():
            if not _COOKIE_NAME.fullmatch(name) or _NOT_IN_COOKIES.search(value or ""):
                message = "a cookie has a character that no cookie may have (RFC 6265 4.1.1); remove it"
                raise InvalidCallError(message, [("cookies", "has such a character")])
        jar = "; ".join(f"{name}={value}" for name, value in cookies.items() if value is not None)
        given |= {"Cookie": jar} if jar else {}
        if not self._strict:
            layers.put(connection.headers, CONNECTION)
            layers.put(own, ACTION)
            layers.put(given, INPUT)
            return layers
        layers.put(own, ACTION)
        layers.put(given, INPUT)
        reserved = {name: value for name, value in own.items() if name.lower() in policy.reserved}
        layers.put(connection.headers, CONNECTION)
        layers.put(reserved, ACTION)
        return layers

    def _parameters(self, values: Values) -> Iterator[Layered]:
        """Those of the query."""
        strict = self._strict
        own = values.plain(self._query)
        given = {**values.layer("query"), **values.at("query")}
        found: dict[str, tuple[Any, str]] = {}
        order = [(self._connection.query, CONNECTION), (own, ACTION), (given, INPUT)]
        for layer, name in (*order[1:], order[0]) if strict else order:
            for key, value in layer.items():
                if value is None:
                    found.pop(key, None)
                else:
                    found[key] = (value, name)
        for key, (value, name) in found.items():
            text(key, "query")
            several = isinstance(value, list | tuple)
            if several and strict:
                yield Layered(key, ",".join(text(each, f"query.{key}") for each in value), name)
            elif several:
                yield from (Layered(key, text(each, f"query.{key}"), name) for each in value)
            else:
                yield Layered(key, text(value, f"query.{key}"), name)


def _permitted(fields: FieldLayers, content_type: str, warnings: list[str]) -> tuple[Layered, ...]:
    """Those that may be sent, with the content type of the body (empty: no body) where no layer has one."""
    if content_type and fields.get("content-type") is None:
        fields.put({"Content-Type": content_type}, ACTION)
    return fields.permitted(warnings)


def _texts(values: Mapping[str, Any], what: str, joined: str) -> dict[str, str | None]:
    """Each value as text, a list with ``joined`` between its members; None stays."""
    found: dict[str, str | None] = {}
    for name, value in values.items():
        if isinstance(value, list | tuple):
            found[name] = joined.join(text(each, f"{what}.{name}") for each in value)
        else:
            found[name] = None if value is None else text(value, f"{what}.{name}")
    return found


def _body(connection: Connection, action: Action, values: Values, *, strict: bool) -> tuple[bytes, str]:
    """The body, and its content type."""
    is_layer, given = values.body
    body = action.body
    if body is not None and values.leaves_out(body.value):
        body = None
    if is_layer:
        body = None if given is None else Body("text" if isinstance(given, str) else "json", given)
    members = values.at("body")
    defaults = {} if values.declared.bodiless and body is None and not members else connection.body
    if strict and defaults and body is not None and body.kind == "text":
        body = None  # as any other body that is no object
    kind: BodyKind
    if members or (defaults and (body is None or body.kind != "text")):
        kind = body.kind if body is not None and body.kind in _FORMS else "json"
        value = {} if body is None else body.value if is_layer else values.resolved(body.value)
        inner = dict(value) if isinstance(value, Mapping) else {}
        if body is not None and not isinstance(value, Mapping) and not (strict and defaults):
            raise InvalidCallError(
                "the body is no object, and cannot have the members that the input or the connection adds",
                code=MISCONFIGURED,
            )
        value = {**inner, **members, **defaults} if strict else {**defaults, **inner, **members}
    elif body is None:
        return b"", ""
    else:
        kind, value = body.kind, body.value if is_layer else values.resolved(body.value)
    return _encoded(kind, value), (body.content_type if body is not None else "") or _TYPES[kind]


def _encoded(kind: BodyKind, value: Any) -> bytes:
    if kind == "json":
        try:
            return orjson.dumps(value)
        except orjson.JSONEncodeError:
            message = (
                "the body holds what JSON cannot carry, as half a character or a number that is too large; remove it"
            )
            raise InvalidCallError(message, [("body", "cannot be written as JSON")]) from None
    if kind == "text":
        return text(value, "body").encode()
    if kind == "multipart":
        return multipart.encode(value or {})
    pairs = [
        (text(name, "body"), text(each, f"body.{name}"))
        for name, member in dict(value or {}).items()
        if member is not None
        for each in (member if isinstance(member, list | tuple) else [member])
    ]
    return urlencode(pairs).encode()
