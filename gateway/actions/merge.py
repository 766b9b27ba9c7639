"""What is sent for a call: connection, action and input become one request.

There are two rules. ``layered``: connection < action < input, so that a later layer replaces what an earlier one has
set, and null removes it; method and path come from the action alone. ``strict``: what the connection sets is not
overridden, except reserved fields that the action sets. Where a call goes is the connection's alone in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal
from urllib.parse import quote, unquote, urlencode, urlsplit

import orjson

from gateway.actions.errors import MISCONFIGURED, InvalidCallError
from gateway.actions.fields import FieldLayers, Layered, check_value
from gateway.config.actions import Action, Body, Connection, Parameter
from gateway.config.placeholders import PLACEHOLDER, placeholders

CONNECTION: Final = "connection"
ACTION: Final = "action"
INPUT: Final = "input"
AUTH: Final = "auth"
LAYERS: Final = ("headers", "query", "cookies", "body")
"""Members of an input that are a layer of their own, of an action that declares no parameters."""

_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_COOKIE_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_IN_COOKIES: Final = re.compile(r'[\x00-\x20",;\\\x7f-\U0010ffff]')
_METHOD: Final = re.compile(r"[A-Z]{1,20}")
_SEPARATOR: Final = re.compile(r"[/\\]")
_DOTS: Final = frozenset((".", ".."))
_BODILESS: Final = frozenset(("GET", "HEAD"))
_TYPES: Final = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "text": "text/plain; charset=utf-8",
}
_IN_PATH: Final = "!$&'()*+,;=:@-._~/%"


@dataclass(frozen=True, slots=True)
class Merged:
    """A request without its credentials. ``path``: percent-encoded, with the base path of the connection."""

    method: str
    path: str
    query: tuple[Layered, ...]
    headers: tuple[Layered, ...]
    body: bytes = field(default=b"", repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """In origin-form (RFC 9112 3.2.1)."""
        query = urlencode([(each.name, each.value) for each in self.query], quote_via=quote)
        return f"{self.path}?{query}" if query else self.path

    def with_header(self, name: str, value: str, layer: str) -> Merged:
        """With this field instead of all of its name. Raises `InvalidCallError` for what no field can carry."""
        check_value(name, value, layer)
        rest = tuple(each for each in self.headers if each.name.lower() != name.lower())
        return replace(self, headers=(*rest, Layered(name, value, layer)))

    def header(self, name: str) -> str:
        """The value of this field; empty: there is none."""
        return next((each.value for each in self.headers if each.name.lower() == name.lower()), "")


def merge(connection: Connection, action: Action, given: Mapping[str, Any]) -> Merged:
    """The request for ``action`` with the input ``given``, which fits its schema. Raises `InvalidCallError`."""
    if not _METHOD.fullmatch(action.method):
        raise InvalidCallError("the method is no word of capital letters; write GET or POST", code=MISCONFIGURED)
    strict = connection.merge == "strict"
    warnings: list[str] = []
    values = _Values(action, given)
    fields = _fields(connection, action, values, strict=strict)
    body, content_type = _body(connection, action, values, strict=strict)
    if body and action.method in _BODILESS:
        warnings.append(f"a {action.method} request has no body; the body is left out")
        body = b""
    if body and fields.get("content-type") is None:
        fields.put({"Content-Type": content_type}, ACTION)
    return Merged(
        action.method,
        _path(connection, action, values),
        tuple(_query(connection, action, values, strict=strict)),
        fields.permitted(warnings),
        body,
        tuple(warnings),
    )


class _Values:
    """The input of a call: values of parameters by place, and the layers of an action without parameters."""

    def __init__(self, action: Action, given: Mapping[str, Any]) -> None:
        self._given = given
        self._declared = {each.name: each for each in action.parameters}
        free = not action.parameters and action.input_schema is None
        self._layers = {name: given[name] for name in LAYERS if free and name in given}
        self._in_templates = set(
            placeholders((action.path, action.headers, action.query, action.body and action.body.value))
        )
        self.bodiless = action.method in _BODILESS | {"DELETE"}

    def named(self, name: str) -> Any:
        """The value that stands for ``{name}`` in a template. Raises `InvalidCallError` when there is none."""
        value = self._given.get(name)
        if value is None:
            declared = self._declared.get(name)
            value = None if declared is None else declared.default
        if value is None:
            raise InvalidCallError(f"the input has no {name}, which the action needs; give it", [(name, "is missing")])
        return value

    def omits(self, template: Any) -> bool:
        """Whether it is ``{name}`` alone, of a parameter that is not required and was not given: it is left out."""
        whole = PLACEHOLDER.fullmatch(template) if isinstance(template, str) else None
        declared = self._declared.get(whole[1]) if whole else None
        if declared is None or declared.required or declared.default is not None:
            return False
        return self._given.get(declared.name) is None

    def at(self, place: str) -> dict[str, Any]:
        """The values that go to ``path``, ``query``, ``header`` or ``body``, by name."""
        found = {each.name: each.default for each in self._declared.values() if each.default is not None}
        found |= {name: value for name, value in self._given.items() if name not in self._layers}
        return {name: value for name, value in found.items() if self._place(name) == place}

    def layer(self, name: str) -> Mapping[str, Any]:
        """The layer of this name: a mapping. Raises `InvalidCallError` for another type."""
        found = self._layers.get(name, {})
        if not isinstance(found, Mapping):
            raise InvalidCallError(f"{name} of the input must be an object; write one", [(name, "no object")])
        return found

    @property
    def body(self) -> tuple[bool, Any]:
        """Whether the input has a body as a layer, and that body."""
        return "body" in self._layers, self._layers.get("body")

    def _place(self, name: str) -> str:
        declared: Parameter | None = self._declared.get(name)
        if declared is not None:
            return declared.place
        if name in self._in_templates:
            return "template"
        return "query" if self.bodiless else "body"


def _texts(values: Mapping[str, Any], what: str, joined: str) -> dict[str, str | None]:
    """Each value as text, a list with ``joined`` between its members; None stays."""
    found: dict[str, str | None] = {}
    for name, value in values.items():
        if isinstance(value, list | tuple):
            found[name] = joined.join(text(each, f"{what}.{name}") for each in value)
        else:
            found[name] = None if value is None else text(value, f"{what}.{name}")
    return found


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


def _filled(template: str, values: _Values) -> str:
    return PLACEHOLDER.sub(lambda match: text(values.named(match[1]), match[1]), template)


def _fields(connection: Connection, action: Action, values: _Values, *, strict: bool) -> FieldLayers:
    layers = FieldLayers(action.fields or connection.fields)
    own = {name: _filled(value, values) for name, value in action.headers.items() if not values.omits(value)}
    given = _texts(values.layer("headers"), "headers", ", ") | _texts(values.at("header"), "headers", ", ")
    cookies = _texts(values.layer("cookies"), "cookies", ",")
    for name, value in cookies.items():
        if not _COOKIE_NAME.fullmatch(name) or _NOT_IN_COOKIES.search(value or ""):
            message = "a cookie has a character that no cookie may have (RFC 6265 4.1.1); remove it"
            raise InvalidCallError(message, [("cookies", "has such a character")])
    jar = "; ".join(f"{name}={value}" for name, value in cookies.items() if value is not None)
    given |= {"Cookie": jar} if jar else {}
    if not strict:
        layers.put(connection.headers, CONNECTION)
        layers.put(own, ACTION)
        layers.put(given, INPUT)
        return layers
    layers.put(own, ACTION)
    layers.put(given, INPUT)
    policy = action.fields or connection.fields
    reserved = {name: value for name, value in own.items() if name.lower() in policy.reserved}
    layers.put(connection.headers, CONNECTION)
    layers.put(reserved, ACTION)
    return layers


def _query(connection: Connection, action: Action, values: _Values, *, strict: bool) -> Iterator[Layered]:
    own = {name: _filled(value, values) for name, value in action.query.items() if not values.omits(value)}
    given = {**values.layer("query"), **values.at("query")}
    found: dict[str, tuple[Any, str]] = {}
    order = [(connection.query, CONNECTION), (own, ACTION), (given, INPUT)]
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


def _path(connection: Connection, action: Action, values: _Values) -> str:
    """Each value is one part of a segment: it cannot begin another one or the query. Nor can it go up, for those that
    decode %2F and a backslash before they look for segments of dots."""

    def placed(match: re.Match[str]) -> str:
        value = text(values.named(match[1]), match[1])
        if not value:
            raise InvalidCallError(f"{match[1]} is empty, and stands in the path; give it", [(match[1], "is empty")])
        return quote(value, safe="")

    path = PLACEHOLDER.sub(placed, quote(action.path, safe=_IN_PATH + "{}"))
    path = path.replace("{", "%7B").replace("}", "%7D")
    if any(segment in _DOTS for segment in _SEPARATOR.split(unquote(path))):
        raise InvalidCallError("the path would have a segment of dots, which leads elsewhere; give other values")
    base = urlsplit(connection.base_url).path.rstrip("/")
    return f"{base}/{path.lstrip('/')}"


def _body(connection: Connection, action: Action, values: _Values, *, strict: bool) -> tuple[bytes, str]:
    """The body, and its content type."""
    is_layer, given = values.body
    body = action.body
    if is_layer:
        body = None if given is None else Body("text" if isinstance(given, str) else "json", given)
    members = values.at("body")
    defaults = {} if values.bodiless and body is None and not members else connection.body
    if strict and defaults and body is not None and body.kind == "text":
        body = None  # as any other body that is no object
    if members or (defaults and (body is None or body.kind != "text")):
        kind: Literal["form", "json"] = "form" if body is not None and body.kind == "form" else "json"
        value = {} if body is None else body.value if is_layer else _resolved(body.value, values)
        inner = dict(value) if isinstance(value, Mapping) else {}
        if body is not None and not isinstance(value, Mapping) and not (strict and defaults):
            raise InvalidCallError(
                "the body is no object, and cannot have the members that the input or the connection adds",
                code=MISCONFIGURED,
            )
        inner = {**inner, **members, **defaults} if strict else {**defaults, **inner, **members}
        body = Body(kind, inner, "" if body is None else body.content_type)
    elif body is not None:
        body = replace(body, value=_resolved(body.value, values)) if not is_layer else body
    if body is None:
        return b"", ""
    return _encoded(body), body.content_type or _TYPES[body.kind]


def _resolved(value: Any, values: _Values) -> Any:
    """A template of a body: a text that is ``{name}`` alone becomes the value itself."""
    match value:
        case str():
            whole = PLACEHOLDER.fullmatch(value)
            return values.named(whole[1]) if whole else _filled(value, values)
        case Mapping():
            return {name: _resolved(each, values) for name, each in value.items() if not values.omits(each)}
        case list() | tuple():
            return [_resolved(each, values) for each in value]
    return value


def _encoded(body: Body) -> bytes:
    if body.kind == "json":
        try:
            return orjson.dumps(body.value)
        except orjson.JSONEncodeError:
            message = (
                "the body holds what JSON cannot carry, as half a character or a number that is too large; remove it"
            )
            raise InvalidCallError(message, [("body", "cannot be written as JSON")]) from None
    if body.kind == "text":
        return text(body.value, "body").encode()
    pairs = [
        (text(name, "body"), text(each, f"body.{name}"))
        for name, value in dict(body.value or {}).items()
        if value is not None
        for each in (value if isinstance(value, list | tuple) else [value])
    ]
    return urlencode(pairs).encode()
