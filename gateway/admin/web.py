"""The REST API on its own listener: aiohttp.web around the table of routes.

Everything is closed that the table does not open. Every answer is JSON, every error in the shape of the data plane's,
and nothing of a request's body ever stands in an answer or in a log.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from gateway.admin import openapi
from gateway.admin.live import Actor
from gateway.admin.problem import AdminError, forbidden, unauthenticated, unavailable, validation
from gateway.admin.routes import BASE, ROUTES, Call, Health, Route
from gateway.admin.service import Administration
from gateway.store.problem import StoreError, StoreUnavailable

_log = logging.getLogger(__name__)

_MAX_BODY: Final = 1 << 20
_REQUEST_SECONDS: Final = 20.0
_MAX_ID: Final = 128
_ID: Final = web.RequestKey("id", str)
_NOBODY: Final = Actor("", False)
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Server": "breakwater",
    "X-Content-Type-Options": "nosniff",
}
_TITLES: Final = {404: "Not Found", 405: "Method Not Allowed", 413: "Content Too Large", 415: "Unsupported Media Type"}

_Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(administration: Administration, health: Health, hosts: Iterable[str] = ()) -> web.Application:
    """``hosts``: names by which it may be called, besides those of this machine."""
    allowed = _LOCAL | {host.lower() for host in hosts}

    @web.middleware
    async def guard(request: web.Request, handler: _Next) -> web.StreamResponse:
        request[_ID] = _request_id(request)
        try:
            if _host(request) not in allowed:
                raise AdminError(
                    421, "misdirected", "Misdirected Request", "This name is not in admin.hosts; add it there"
                )
            async with asyncio.timeout(_REQUEST_SECONDS):
                answer = await handler(request)
        except AdminError as error:
            answer = _refusal(request, error)
        except web.HTTPException as error:
            answer = _refusal(request, _of_http(error), error.headers.get("Allow", ""))
        except StoreUnavailable as error:
            answer = _refusal(request, unavailable(str(error)))
        except StoreError as error:
            answer = _refusal(request, AdminError(500, "store", "Internal Server Error", str(error)))
        except TimeoutError:
            answer = _refusal(
                request, AdminError(408, "client_timeout", "Request Timeout", "The request took too long")
            )
        except asyncio.CancelledError:
            raise
        except Exception:
            _log.exception("request %s to the control plane failed", request[_ID])
            answer = _refusal(
                request, AdminError(500, "internal", "Internal Server Error", "The gateway failed; its log tells more")
            )
        answer.headers.update(_HEADERS)
        answer.headers["X-Request-Id"] = request[_ID]
        return answer

    made = web.Application(middlewares=[guard], client_max_size=_MAX_BODY)
    for route in ROUTES:
        made.router.add_route(route.method, BASE + route.path, _handler(route, administration, health))
    described = orjson.dumps(openapi.document(ROUTES))

    async def describe(_: web.Request) -> web.Response:
        return web.Response(body=described, content_type="application/json")

    made.router.add_route("GET", f"{BASE}/openapi.json", describe)
    return made


class AdminListener:
    """The API on one address. Closed until `start`."""

    def __init__(
        self, administration: Administration, health: Health, host: str, port: int, hosts: Iterable[str] = ()
    ) -> None:
        self._host = host
        self._port = port
        self._runner = web.AppRunner(
            application(administration, health, {*hosts, host}),
            access_log=None,
            handle_signals=False,
            keepalive_timeout=30.0,
            shutdown_timeout=2.0,
            handler_cancellation=False,
        )

    async def start(self) -> None:
        """Raises OSError when the address can not be opened."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()

    @property
    def url(self) -> str:
        """Where it listens; with the port that was taken when any would do."""
        host, port = self._runner.addresses[0][:2] if self._runner.addresses else (self._host, self._port)
        return f"http://[{host}]:{port}" if ":" in str(host) else f"http://{host}:{port}"

    async def aclose(self) -> None:
        await self._runner.cleanup()


def _handler(route: Route, administration: Administration, health: Health) -> _Next:
    async def handle(request: web.Request) -> web.StreamResponse:
        actor = _NOBODY if route.open else await _actor(request, administration)
        call = Call(
            administration,
            health,
            actor,
            request.remote or "",
            dict(request.match_info),
            _query(request, route),
            await _body(request) if route.body is not None else {},
            _if_match(request),
        )
        status, body = await route.handler(call)
        if body is None:
            return web.Response(status=status)
        answer = web.Response(status=status, body=orjson.dumps(body), content_type="application/json")
        if isinstance(version := body.get("version"), int):
            answer.headers["ETag"] = f'"{version}"'
        return answer

    return handle


async def _actor(request: web.Request, administration: Administration) -> Actor:
    """Who asks: a superuser, or a token with that right; nobody else gets any further."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if len(request.headers.getall("Authorization", [])) != 1 or scheme.lower() != "bearer":
        raise unauthenticated()
    actor = await administration.accounts.authenticate(token.strip())
    if actor is None:
        raise unauthenticated("The token is not good: it expired, was revoked, or never was")
    if not actor.superuser:
        raise forbidden()
    return actor


async def _body(request: web.Request) -> Mapping[str, Any]:
    if request.content_type not in ("application/json", "application/merge-patch+json"):
        raise AdminError(415, "unsupported_media_type", _TITLES[415], "Send JSON, with Content-Type: application/json")
    text = await request.read()
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise validation([("", f"the body is no JSON: {error.msg} at {place}; mend it there")]) from None
    if not isinstance(body, dict):
        raise validation([("", "the body must be a JSON object; write {...}")])
    return body


def _query(request: web.Request, route: Route) -> dict[str, Any]:
    kinds = {name: kind for name, kind, _ in route.query}
    found: dict[str, Any] = {}
    wrong = []
    for name, text in request.query.items():
        kind = kinds.get(name)
        if kind is None:
            wrong.append((name, f"unknown parameter; there are {', '.join(kinds) or 'none'}"))
        elif name in found:
            wrong.append((name, "stands twice; remove one of the two"))
        elif kind is bool and text not in ("true", "false"):
            wrong.append((name, "must be true or false"))
        elif kind is int and not (text.isascii() and text.isdigit() and 0 < int(text[:12]) <= 1_000_000_000):
            wrong.append((name, "must be a whole number from 1; write it in digits"))
        else:
            found[name] = text == "true" if kind is bool else kind(text)
    if wrong:
        raise validation(wrong)
    return found


def _if_match(request: web.Request) -> int | None:
    text = request.headers.get("If-Match")
    if text is None:
        return None
    version = text.strip().removeprefix('"').removesuffix('"')
    if not (version.isascii() and version.isdigit() and len(version) < 10):
        raise validation([("If-Match", 'must be a version in quotes, as in "3"')])
    return int(version)


def _host(request: web.Request) -> str:
    name, colon, port = request.headers.get("Host", "").rpartition(":")
    host = name if colon and port.isdigit() else request.headers.get("Host", "")
    return host.lower().strip("[]")


def _request_id(request: web.Request) -> str:
    given = request.headers.get("X-Request-Id", "")
    sane = 0 < len(given) <= _MAX_ID and given.isascii() and given.isprintable() and " " not in given
    return given if sane else secrets.token_hex(16)


def _of_http(error: web.HTTPException) -> AdminError:
    title = _TITLES.get(error.status, error.reason)
    code = title.lower().replace(" ", "_")
    return AdminError(error.status, code, title, f"The control plane lives below {BASE}; see {BASE}/openapi.json")


def _refusal(request: web.Request, error: AdminError, allow: str = "") -> web.Response:
    answer = web.Response(
        status=error.status,
        body=orjson.dumps(error.body() | {"request_id": request[_ID]}),
        content_type="application/json",
        headers={"X-Gateway-Reason": error.code},
    )
    if allow:
        answer.headers["Allow"] = allow
    if error.status == 401:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="gateway"'
    if "retry_after" in error.extra:
        answer.headers["Retry-After"] = str(error.extra["retry_after"])
    return answer
