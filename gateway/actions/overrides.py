"""What a caller sets instead of the action, before anything is merged; and the URLs of further pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urljoin, urlsplit

from gateway.actions.errors import InvalidCallError
from gateway.actions.fields import Layered
from gateway.actions.merge import Merged
from gateway.config.actions import Action, Body, Connection
from gateway.config.placeholders import quoted
from gateway.ipc.calls import Overrides
from gateway.upstream.origin import DEFAULT_PORTS

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
LINK: Final = "link"
"""The layer of what the page before has said."""


def check_method(method: str, path: str = "method") -> None:
    """Raises `InvalidCallError` for a method that no call has."""
    if method not in METHODS:
        message = f"the method must be one of {', '.join(METHODS)}; write one of these"
        raise InvalidCallError(message, [(path, "is none of these")])


def literal(path: str) -> str:
    """``path`` whose braces are no places for parameters."""
    return path.replace("{", "%7B").replace("}", "%7D")


def overridden(action: Action, connection: Connection, given: Overrides) -> Action:
    """``action`` with what a call sets instead. Raises `InvalidCallError`.

    What is merged afterwards is the same as for an action that was stored so: with ``merge: strict`` the connection
    still wins. Texts of a caller are no templates.
    """
    if given.method:
        check_method(given.method, "overrides.method")
    path, query = action.path, dict(action.query)
    if given.endpoint:
        own, more = below(connection, given.endpoint, "overrides.endpoint")
        path, query = literal(own), query | _quoted(dict(more))
    body = action.body
    if given.body is not None:
        body = Body("text" if isinstance(given.body, str) else "json", _literal(given.body))
    return replace(
        action,
        method=given.method or action.method,
        path=path,
        headers={**_without(action.headers, given.headers), **_quoted(given.headers)},
        query={**query, **_quoted(given.query)},
        body=body,
        retry=given.retry or action.retry,
    )


def at_link(merged: Merged, connection: Connection, link: str) -> Merged:
    """``merged`` with the path and the query of ``link``, which may be relative to it (RFC 3986 5.1).

    Raises `InvalidCallError` when that leads elsewhere: the credentials of the connection are for its base URL alone.
    """
    own = urlsplit(connection.base_url)
    try:
        url = urljoin(f"{own.scheme}://{own.netloc}{merged.target}", link)
    except ValueError:
        raise InvalidCallError("the link to the next page is no URL", [("link", "is no URL")]) from None
    base = own.path.rstrip("/")
    path, query = below(connection, url, "link")
    fields = tuple(Layered(name, value, LINK) for name, value in query)
    return replace(merged, path=f"{base}/{path.lstrip('/')}", query=fields)


def below(connection: Connection, url: str, where: str) -> tuple[str, list[tuple[str, str]]]:
    """The path behind the base path of the connection, and the query. A path alone is behind it already."""
    own = urlsplit(connection.base_url)
    base = own.path.rstrip("/")
    try:
        parts = urlsplit(url)
        elsewhere = bool(parts.netloc or parts.scheme) and _origin(parts) != _origin(own)
    except ValueError:
        raise InvalidCallError(f"{where} is no URL; write a path, or one", [(where, "is no URL")]) from None
    path = parts.path
    if parts.scheme and not elsewhere:
        elsewhere = path != base and not path.startswith(f"{base}/")
        path = path.removeprefix(base)
    if elsewhere:
        message = f"{where} leads away from the base URL of the connection; write a URL below it"
        raise InvalidCallError(message, [(where, "leads elsewhere")])
    if any(segment in (".", "..") for segment in unquote(path).replace("\\", "/").split("/")):
        raise InvalidCallError(f"{where} has a segment of dots; write the path that is meant", [(where, "has dots")])
    return quote(path, safe="!$&'()*+,;=:@-._~/%{}") or "/", parse_qsl(parts.query, keep_blank_values=True)


def _without(own: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """``own`` without the fields that ``given`` has in another case."""
    names = {name.lower() for name in given}
    return {name: value for name, value in own.items() if name.lower() not in names}


def _origin(parts: SplitResult) -> tuple[str, str, int | None, bool]:
    """What must be equal; the last one: whether there is a name of a user, which no base URL has."""
    return parts.scheme, parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme), "@" in parts.netloc


def _quoted(fields: Mapping[str, str]) -> dict[str, str]:
    return {name: quoted(value) for name, value in fields.items()}


def _literal(value: object) -> object:
    """A template that stands for ``value`` alone."""
    match value:
        case str():
            return quoted(value)
        case Mapping():
            return {name: _literal(each) for name, each in value.items()}
        case list() | tuple():
            return [_literal(each) for each in value]
    return value
