"""The REST API on its own listener: aiohttp.web around the table of routes.

Everything is closed that the table does not open. Every answer is JSON, every error in the shape of the data plane's,
and nothing of a request's body or head ever stands in an answer or in a log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

import orjson
from aiohttp import http_exceptions, web

from gateway.admin.devices import LIFETIME
from gateway.admin.errors import AdminError, unauthenticated, unavailable, validation
from gateway.admin.live import Actor
from gateway.admin.seats import Seat, Seats
from gateway.admin.service import Administration
from gateway.api import openapi
from gateway.api.input import parse_body, parse_query, parse_version
from gateway.api.static import HEADERS as PAGE_HEADERS
from gateway.api.static import Asset, Page
from gateway.api.table import BASE, ROUTES, Call, Health, Route, Text, Welcome
from gateway.config import places
from gateway.core.address import Address
from gateway.store.problem import StoreError, StoreUnavailable

_log = logging.getLogger(__name__)

_MAX_BODY: Final = 1 << 20
_MAX_STRANGERS_BODY: Final = 1 << 14
"""Of a route that nobody has to log in for: what is parsed there costs the time of all."""
_BACKLOG: Final = 512
"""Connections that the kernel keeps until they are accepted: a burst must not cost a caller a second of waiting."""
_WHO_SECONDS: Final = 1.0
"""How long a health check waits to learn who asks: without the database it is answered as to a stranger."""
_MAX_ID: Final = 128
_ID: Final = web.RequestKey("id", str)
_NOBODY: Final = Actor("", False)
_DEVICE: Final = "gateway_device"
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Server": "breakwater",
    "X-Content-Type-Options": "nosniff",
}
_BELOW: Final = f"The control plane lives below {BASE}; see {BASE}/openapi.json"
_OF_STATUS: Final = {
    404: ("Not Found", _BELOW),
    405: ("Method Not Allowed", "This path has other methods; the Allow header names them"),
    413: ("Content Too Large", f"A body may have {_MAX_BODY} bytes, {_MAX_STRANGERS_BODY} without a login; shorten it"),
    417: ("Expectation Failed", "Only Expect: 100-continue is met; leave others out"),
}

_BROKEN_OFF: Final = (web.RequestPayloadError, http_exceptions.HttpProcessingError, ConnectionError)
_INTERNAL: Final = AdminError(500, "internal", "Internal Server Error", "The gateway failed; its log tells more")
_NO_REQUEST: Final = AdminError(400, "bad_request", "Bad Request", "This is no HTTP/1.1 request; see RFC 9112")
_HEAD_TOO_LARGE: Final = AdminError(
    431, "headers_too_large", "Request Header Fields Too Large", "A line of the head may have 8190 bytes; shorten it"
)

_Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds: for a whole head, between requests, for a body, for all of a request, and until a response was taken."""

    head: float = 10.0
    """From the connection, or from the first byte of a later head, to its end; however slowly the bytes come."""
    idle: float = 30.0
    body: float = 10.0
    request: float = 20.0
    answer: float = 20.0
    shutdown: float = 2.0


_TIMES: Final = Times()


def application(
    administration: Administration, health: Health, hosts: Iterable[str] = (), times: Times = _TIMES
) -> web.Application:
    """``hosts``: names by which it may be called, besides those of this machine."""
    allowed = _LOCAL | {host.lower() for host in hosts}

    @web.middleware
    async def guard(request: web.Request, handler: _Next) -> web.StreamResponse:
        try:
            if _host(request) not in allowed:
                raise AdminError(
                    421, "misdirected", "Misdirected Request", "This name is not in admin.hosts; add it there"
                )
            async with asyncio.timeout(times.request):
                return _dressed(request, await handler(request))
        except AdminError as error:
            return _refusal(request, error)
        except web.HTTPException as error:
            return _refusal(request, _of_http(error), error.headers.get("Allow", ""))
        except StoreUnavailable as error:
            return _refusal(request, unavailable(str(error)))
        except StoreError as error:
            return _refusal(request, AdminError(500, "store", "Internal Server Error", str(error)))
        except TimeoutError:
            details = "It took too long; look whether it was done before you send it again"
            return _refusal(request, unavailable(details))
        except Exception:
            _log.exception("request %s to the control plane failed", _request_id(request))
            return _refusal(request, _INTERNAL)

    made = web.Application(middlewares=[guard], client_max_size=_MAX_BODY)
    described = openapi.document(ROUTES)
    for route in ROUTES:
        handler = _handler(route, administration, health, described, times)
        for method in (route.method, "HEAD") if route.method == "GET" else (route.method,):
            made.router.add_route(method, BASE + route.path, handler)
    _show(Page.load(), made.router)

    async def end_streams(_: web.Application) -> None:
        await administration.live_feed.aclose()

    made.on_shutdown.append(end_streams)
    return made


def _show(page: Page, router: web.UrlDispatcher) -> None:
    """The live page for browsers; what it shows comes from the API."""

    def serve(asset: Asset) -> _Next:
        async def handle(request: web.Request) -> web.StreamResponse:
            known = request.headers.get("If-None-Match", "")
            headers = {**PAGE_HEADERS, "ETag": asset.etag}
            if asset.etag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
                return web.Response(status=304, headers=headers)
            return web.Response(body=asset.content, headers={**headers, "Content-Type": asset.kind})

        return handle

    async def lead(_: web.Request) -> web.StreamResponse:
        return web.Response(status=308, headers={**PAGE_HEADERS, "Location": Page.BASE})

    for path in ("/", Page.BASE.rstrip("/")):
        router.add_get(path, lead)
    for name, asset in page.assets.items():
        router.add_get(Page.BASE + name, serve(asset))


class _Events(web.StreamResponse):
    """Server-Sent Events, written where another answer ends. Who does not take one in time is cut."""

    def __init__(self, events: Callable[[], AsyncIterator[bytes]], seconds: float) -> None:
        super().__init__(headers={"Content-Type": "text/event-stream"})
        self._events = events
        self._seconds = seconds

    async def pump(self, request: web.BaseRequest) -> None:
        """Raises TimeoutError for a slow reader, ConnectionError for one who left."""
        await self.prepare(request)
        if request.method == "HEAD":
            return
        events = self._events()
        try:
            async for event in events:
                async with asyncio.timeout(self._seconds):
                    await self.write(event)
        except (AdminError, StoreError) as error:
            _log.debug("a live view ends: %s", error)  # the reader comes again, and is told in the usual shape
        finally:
            await cast(Any, events).aclose()


class _Connection(web.RequestHandler):
    """aiohttp's connection, in our words: its own refusals would show its version, and quote what was sent."""

    __slots__ = ("_answer_seconds", "_busy", "_head_seconds", "_head_timer", "_seats", "seat")

    def __init__(self, server: web.Server, times: Times, seats: Seats) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=times.idle,
            lingering_time=2.0,
            access_log=None,  # type: ignore[arg-type] # it is how aiohttp itself turns it off
            auto_decompress=False,
        )
        self._answer_seconds = times.answer
        self._head_seconds = times.head
        self._head_timer: asyncio.TimerHandle | None = None
        self._busy = False
        """A whole head is here whose response is not."""
        self._seats = seats
        self.seat: Seat | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")  # None when the peer has left already, "" on a Unix socket
        seat = Seat(str(peer[0]) if isinstance(peer, tuple) else "", self._cut)
        if self._seats.take(seat):
            self.seat = seat
            self._await_head()
        else:
            self._cut()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._end_head()
        if self.seat is not None:
            self._seats.leave(self.seat)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if data and not self._busy and self._head_timer is None:
            self._await_head()  # the first byte of a later head
        super().data_received(data)
        if self._messages and not self._busy:
            self._busy = True
            self._end_head()
            if self.seat is not None:
                self.seat.waits_since = None

    def waits(self) -> None:
        """The next step is the client's."""
        if self.seat is not None:
            self._seats.waits(self.seat)

    def works(self) -> None:
        """The next step is ours."""
        if self.seat is not None:
            self.seat.waits_since = None

    def _await_head(self) -> None:
        self._head_timer = asyncio.get_running_loop().call_later(self._head_seconds, self._cut)

    def _end_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _cut(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer to whoever takes it in time. What aiohttp refused by itself is refused in our shape."""
        if isinstance(resp, web.HTTPException):
            resp = _refusal(request, _of_http(resp), resp.headers.get("Allow", ""))
        try:
            if isinstance(resp, _Events):
                with contextlib.suppress(ConnectionError):
                    await resp.pump(request)
            self.waits()
            async with asyncio.timeout(self._answer_seconds):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:
            self._cut()
            return resp, True
        finally:
            self._busy = bool(self._messages)  # pipelined ones
            if self._busy:
                self.works()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The answer to bytes that are no request, without them."""
        if status < 500:
            _log.debug("a request could not be read: %s", type(exc).__name__)
            too_long = isinstance(exc, http_exceptions.LineTooLong)
            error = _HEAD_TOO_LARGE if too_long else _NO_REQUEST
        else:
            _log.error("the control plane failed", exc_info=exc)
            error = _INTERNAL
        answer = _refusal(request, error)
        answer.force_close()
        return answer

    def log_exception(self, *args: object, **more: object) -> None:
        """A body that breaks off is no failure of ours, and its traceback would quote it."""
        error = more.get("exc_info")
        if isinstance(error, _BROKEN_OFF):
            _log.debug("a connection ended: %s", type(error).__name__)
        else:
            known = error if isinstance(error, BaseException) else None
            _log.error("a connection to the control plane failed", exc_info=known)


class AdminListener:
    """The API on one address. Closed until `start`. ``seats``: how many connections it holds, and of whom."""

    def __init__(
        self,
        administration: Administration,
        health: Health,
        host: str,
        port: int,
        hosts: Iterable[str] = (),
        times: Times = _TIMES,
        seats: Seats | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._times = times
        self._seats = seats or Seats()
        self._sockets: asyncio.Server | None = None
        self._runner = web.AppRunner(
            application(administration, health, {*hosts, host}, times),
            handle_signals=False,
            shutdown_timeout=times.shutdown,
            handler_cancellation=False,
        )

    async def start(self) -> None:
        """Raises OSError when the address can not be opened."""
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        loop = asyncio.get_running_loop()
        try:
            self._sockets = await loop.create_server(
                lambda: _Connection(server, self._times, self._seats),
                self._host,
                self._port,
                reuse_address=True,
                backlog=_BACKLOG,
            )
        except OSError as error:
            await self.aclose()
            raise places.listen_failure("admin.listen", self._host, self._port, error) from None

    @property
    def url(self) -> str:
        """Where it listens; with the port that was taken when any would do."""
        opened = self._sockets.sockets if self._sockets is not None else ()
        host, port = opened[0].getsockname()[:2] if opened else (self._host, self._port)
        return Address(host, port).url()

    async def aclose(self) -> None:
        """Take no more connections, let requests end for a moment, cut the rest."""
        if self._sockets is not None:
            self._sockets.close()
        await self._runner.cleanup()
        if self._sockets is not None:
            await self._sockets.wait_closed()


def _handler(
    route: Route, administration: Administration, health: Health, described: Mapping[str, object], times: Times
) -> _Next:
    kinds = {name: kind for name, kind, _ in route.query}

    async def handle(request: web.Request) -> web.StreamResponse:
        if not route.open:
            actor = await _actor(request, route, administration)
        else:
            actor = await _if_known(request, administration) if route.told else _NOBODY
        call = Call(
            administration,
            health,
            actor,
            request.remote or "",
            _parameters(request),
            parse_query(request.query.items(), kinds),
            await _body(request, route, times.body) if route.body is not None else {},
            _if_match(request, route),
            request.headers.get("Accept", ""),
            described,
            request.cookies.get(_DEVICE, "") if route.open else "",
        )
        status, body = await route.handler(call)
        if (stream := route.stream) is not None:
            return _Events(lambda: stream(call), times.answer)
        if body is None:
            return web.Response(status=status)
        if isinstance(body, Welcome):
            return _welcomed(request, status, body)
        if isinstance(body, Text):
            return web.Response(status=status, body=body.text.encode(), headers={"Content-Type": body.kind})
        answer = web.Response(status=status, body=orjson.dumps(body), content_type="application/json")
        if isinstance(version := body.get("version"), int):
            answer.headers["ETag"] = f'"{version}"'
        return answer

    return handle


def _welcomed(request: web.Request, status: int, told: Welcome) -> web.Response:
    answer = web.Response(status=status, body=orjson.dumps(told.body), content_type="application/json")
    # No page of another site may use it, and no script can read it. It opens nothing: see `gateway.admin.devices`.
    answer.set_cookie(
        _DEVICE,
        told.device,
        max_age=LIFETIME,
        path=f"{BASE}/auth",
        secure=request.secure,
        httponly=True,
        samesite="Strict",
    )
    return answer


async def _actor(request: web.Request, route: Route, administration: Administration) -> Actor:
    """Who asks: a superuser, or a token with that right; nobody else gets any further."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if len(request.headers.getall("Authorization", [])) != 1 or scheme.lower() != "bearer":
        raise unauthenticated()
    actor = await administration.accounts.authenticate(token.strip(), request.remote or "")
    if actor is None:
        raise unauthenticated("The token is not good: it expired, was revoked, or never was")
    connection = request.protocol
    if isinstance(connection, _Connection) and connection.seat is not None:
        connection.seat.known = True
    route.right(actor)
    return actor


async def _if_known(request: web.Request, administration: Administration) -> Actor:
    """Who asks; nobody without a good token, and while the database is away."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    found = None
    if scheme.lower() == "bearer":
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(_WHO_SECONDS):
                found = await administration.accounts.authenticate(token.strip())
    return found or _NOBODY


async def _body(request: web.Request, route: Route, seconds: float) -> Mapping[str, Any]:
    title = "Unsupported Media Type"
    if request.content_type not in ("application/json", "application/merge-patch+json"):
        raise AdminError(415, "unsupported_media_type", title, "Send JSON, with Content-Type: application/json")
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise AdminError(415, "unsupported_media_type", title, "Send the body as it is, without Content-Encoding")
    limit = _MAX_STRANGERS_BODY if route.open else _MAX_BODY
    if (request.content_length or 0) > limit:
        raise web.HTTPRequestEntityTooLarge(max_size=limit)
    connection = request.protocol
    try:
        async with asyncio.timeout(seconds):
            if isinstance(connection, _Connection):
                connection.waits()
            text = await request.read()
            if isinstance(connection, _Connection):
                connection.works()
    except TimeoutError:
        raise AdminError(408, "client_timeout", "Request Timeout", "The body came too slowly; send it again") from None
    except _BROKEN_OFF:
        raise AdminError(400, "bad_request", "Bad Request", "The body ended early, or in a broken chunk") from None
    if len(text) > limit:
        raise web.HTTPRequestEntityTooLarge(max_size=limit)
    return parse_body(text)


def _parameters(request: web.Request) -> Mapping[str, str]:
    parameters = dict(request.match_info)
    if any("\0" in value for value in parameters.values()):
        raise web.HTTPNotFound
    return parameters


def _if_match(request: web.Request, route: Route) -> int | None:
    text = request.headers.get("If-Match")
    if text is None or route.method in ("GET", "HEAD"):
        return None
    if not route.versioned:
        # To pass over it in silence would lose what another wrote meanwhile.
        raise validation([("If-Match", "is not met for this resource; leave it out")])
    return parse_version(text)


def _host(request: web.Request) -> str:
    name, colon, port = request.headers.get("Host", "").rpartition(":")
    host = name if colon and port.isdigit() else request.headers.get("Host", "")
    return host.lower().strip("[]")


def _request_id(request: web.BaseRequest) -> str:
    if _ID not in request:
        given = request.headers.get("X-Request-Id", "")
        sane = 0 < len(given) <= _MAX_ID and given.isascii() and given.isprintable() and " " not in given
        request[_ID] = given if sane else secrets.token_hex(16)
    return request[_ID]


def _of_http(error: web.HTTPException) -> AdminError:
    title, details = _OF_STATUS.get(error.status, (error.reason, _BELOW))
    return AdminError(error.status, title.lower().replace(" ", "_"), title, details)


def _refusal(request: web.BaseRequest, error: AdminError, allow: str = "") -> web.Response:
    answer = web.Response(
        status=error.status,
        body=orjson.dumps(error.body() | {"request_id": _request_id(request)}),
        content_type="application/json",
        headers={"X-Gateway-Reason": error.code},
    )
    if allow:
        answer.headers["Allow"] = allow
    if error.status == 401:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="gateway"'
    if "retry_after" in error.extra:
        answer.headers["Retry-After"] = str(error.extra["retry_after"])
    return _dressed(request, answer)


_Answer = TypeVar("_Answer", bound=web.StreamResponse)


def _dressed(request: web.BaseRequest, answer: _Answer) -> _Answer:
    for name, value in _HEADERS.items():
        answer.headers.setdefault(name, value)
    answer.headers["X-Request-Id"] = _request_id(request)
    return answer
