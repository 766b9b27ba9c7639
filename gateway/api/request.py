"""Builds the handler's view of a request: the caller, the parameters and the body, each checked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import Final

from aiohttp import web

from gateway.admin.actor import Actor
from gateway.admin.errors import AdminError, unauthenticated, validation
from gateway.admin.service import Administration
from gateway.api.call import Call, Health
from gateway.api.connection import BROKEN_OFF, Connection
from gateway.api.input import parse_body, parse_query, parse_version
from gateway.api.responses import DEVICE, MAX_BODY, MAX_PUBLIC_BODY, request_id
from gateway.api.route import FIELD_VALUE, IDEMPOTENCY_KEY, X_TENANT, Route
from gateway.store.errors import StoreError

_WHO_SECONDS: Final = 1.0
"""How long a health check waits to authenticate the caller: without the database the caller counts as unknown."""
_STRANGER: Final = Actor("", False)


async def read_call(
    request: web.Request,
    route: Route,
    administration: Administration,
    health: Health,
    described: Mapping[str, object],
    body_seconds: float,
) -> Call:
    """The request, checked; access first. Raises `AdminError` and `web.HTTPException`."""
    return Call(
        administration,
        health,
        await _caller(request, route, administration),
        request.remote or "",
        _parameters(request),
        parse_query(_given(request, route), {name: kind for name, kind, _ in route.query}),
        await _body(request, route, body_seconds) if route.body is not None else {},
        _if_match(request, route),
        request.headers.get("Accept", ""),
        described,
        request_id(request),
        request.cookies.get(DEVICE, "") if route.public else "",
        *(_field(request, route, name) for name in (X_TENANT, IDEMPOTENCY_KEY)),
    )


def _given(request: web.Request, route: Route) -> Iterable[tuple[str, str]]:
    """The parameters of the query that are looked at."""
    listed = {name for name, _, _ in route.query}
    return [(n, v) for n, v in request.query.items() if n in listed or not route.from_elsewhere]


def host(request: web.Request) -> str:
    """The name by which the API was called, without port and brackets."""
    name, colon, port = request.headers.get("Host", "").rpartition(":")
    host = name if colon and port.isdigit() else request.headers.get("Host", "")
    return host.lower().strip("[]")


async def _caller(request: web.Request, route: Route, administration: Administration) -> Actor:
    if not route.public:
        return await _actor(request, route, administration)
    return await _if_known(request, administration) if route.tells_superusers else _STRANGER


async def _actor(request: web.Request, route: Route, administration: Administration) -> Actor:
    """The caller: a superuser, or a token with that right; all others are rejected."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if len(request.headers.getall("Authorization", [])) != 1 or scheme.lower() != "bearer":
        raise unauthenticated()
    actor = await administration.authentication.authenticate(token.strip(), request.remote or "")
    if actor is None:
        raise unauthenticated(
            "The token is not valid: it has expired, was revoked, or never existed; log in, or create another one"
        )
    connection = request.protocol
    if isinstance(connection, Connection) and connection.seat is not None:
        connection.seat.known = True
    route.right(actor)
    return actor


async def _if_known(request: web.Request, administration: Administration) -> Actor:
    """The caller; unknown without a valid token, and while the database is unavailable."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    found = None
    if scheme.lower() == "bearer":
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(_WHO_SECONDS):
                found = await administration.authentication.authenticate(token.strip())
    return found or _STRANGER


async def _body(request: web.Request, route: Route, seconds: float) -> Mapping[str, object]:
    title = "Unsupported Media Type"
    if request.content_type not in ("application/json", "application/merge-patch+json"):
        raise AdminError(415, "unsupported_media_type", title, "Send JSON, with Content-Type: application/json")
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise AdminError(415, "unsupported_media_type", title, "Send the body as it is, without Content-Encoding")
    limit = MAX_PUBLIC_BODY if route.public else MAX_BODY
    if (request.content_length or 0) > limit:
        raise web.HTTPRequestEntityTooLarge(max_size=limit)
    connection = request.protocol
    try:
        async with asyncio.timeout(seconds):
            if isinstance(connection, Connection):
                connection.waits()
            text = await request.read()
            if isinstance(connection, Connection):
                connection.works()
    except TimeoutError:
        raise AdminError(408, "client_timeout", "Request Timeout", "The body came too slowly; send it again") from None
    except BROKEN_OFF:
        raise AdminError(400, "bad_request", "Bad Request", "The body ended early, or in a broken chunk") from None
    if len(text) > limit:
        raise web.HTTPRequestEntityTooLarge(max_size=limit)
    return parse_body(text)


def _parameters(request: web.Request) -> Mapping[str, str]:
    parameters = dict(request.match_info)
    if any("\0" in value for value in parameters.values()):
        raise web.HTTPNotFound
    return parameters


def _field(request: web.Request, route: Route, name: str) -> str:
    """The value of a field that the handler reads. Raises `AdminError` for what is ambiguous or no token."""
    values = request.headers.getall(name, ()) if any(name == known for known, _ in route.fields) else ()
    if len(set(values)) > 1:
        raise validation([(name, "stands twice with different values; remove one of the two")])
    value = values[0] if values else ""
    if values and not FIELD_VALUE.fullmatch(value):
        raise validation([(name, "must have 1 to 255 characters of printable ASCII without blanks")])
    return value


def _if_match(request: web.Request, route: Route) -> int | None:
    text = request.headers.get("If-Match")
    if text is None or route.method in ("GET", "HEAD"):
        return None
    if not route.versioned:
        # To ignore it would lose what another caller wrote meanwhile.
        raise validation([("If-Match", "is not met for this resource; leave it out")])
    return parse_version(text)
