"""Builds responses: their header fields, errors in the shape of the data plane's, and event streams.

No response and no log line quotes a request's body or head.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Final, TypeVar

import orjson
from aiohttp import web

from gateway.admin.call_results import Rest
from gateway.admin.devices import LIFETIME
from gateway.admin.errors import AdminError
from gateway.api.call import Bytes, LoginResult, Result, Text
from gateway.api.dialects import dialect_of
from gateway.api.route import BASE
from gateway.store.errors import StoreError

_log = logging.getLogger(__name__)

MAX_BODY: Final = 1 << 20
MAX_PUBLIC_BODY: Final = 1 << 14
"""Body limit of routes without a login: parsing blocks the event loop for all."""
DEVICE: Final = "gateway_device"
_SLICE: Final = 1 << 17
"""Bytes of a body that a client has the time for one part to read. With more than 64 KiB, aiohttp waits for the client
after each."""
_MAX_ID: Final = 128
_ID: Final = web.RequestKey("id", str)
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
    413: ("Content Too Large", f"A body may have {MAX_BODY} bytes, {MAX_PUBLIC_BODY} without a login; shorten it"),
    417: ("Expectation Failed", "Only Expect: 100-continue is met; leave others out"),
}

INTERNAL: Final = AdminError(500, "internal", "Internal Server Error", "The gateway failed; its log shows more")
NO_REQUEST: Final = AdminError(400, "bad_request", "Bad Request", "This is no HTTP/1.1 request; see RFC 9112")
HEAD_TOO_LARGE: Final = AdminError(
    431, "headers_too_large", "Request Header Fields Too Large", "A line of the head may have 8190 bytes; shorten it"
)


def respond(request: web.Request, result: Result, seconds: float) -> web.StreamResponse:
    """The HTTP response for a handler's result. ``seconds``: a long body is cut when its client reads no piece for so
    long."""
    status, body = result
    if body is None:
        return web.Response(status=status)
    if isinstance(body, LoginResult):
        return _logged_in(request, status, body)
    if isinstance(body, Text):
        return web.Response(status=status, body=body.text.encode(), headers={"Content-Type": body.kind})
    if isinstance(body, Bytes):
        return _foreign(status, body, seconds)
    response = web.Response(status=status, body=orjson.dumps(body), content_type="application/json")
    if isinstance(version := body.get("version"), int):
        response.headers["ETag"] = f'"{version}"'
    return response


def _foreign(status: int, body: Bytes, seconds: float) -> web.StreamResponse:
    """A body that a third party made. No browser shows it as a page of this origin, whatever its media type is."""
    response: web.StreamResponse = (
        web.Response(status=status, body=body.data) if body.rest is None else LongBody(body.data, body.rest, seconds)
    )
    response.headers.update({"Content-Disposition": "attachment", **dict(body.fields)})
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'; frame-ancestors 'none'"
    return response


def _logged_in(request: web.Request, status: int, result: LoginResult) -> web.Response:
    response = web.Response(status=status, body=orjson.dumps(result.body), content_type="application/json")
    # No page of another site may use it, and no script can read it. It opens nothing: see `gateway.admin.devices`.
    response.set_cookie(
        DEVICE,
        result.device,
        max_age=LIFETIME,
        path=f"{BASE}/auth",
        secure=request.secure,
        httponly=True,
        samesite="Strict",
    )
    return response


def of_http(error: web.HTTPException) -> AdminError:
    title, details = _OF_STATUS.get(error.status, (error.reason, _BELOW))
    return AdminError(error.status, title.lower().replace(" ", "_"), title, details)


def refusal(request: web.BaseRequest, error: AdminError, allow: str = "") -> web.Response:
    answer = web.Response(
        status=error.status,
        body=orjson.dumps(dialect_of(request.path).error(error, request_id(request))),
        content_type="application/json",
        headers={"X-Gateway-Reason": error.code},
    )
    if allow:
        answer.headers["Allow"] = allow
    if error.status == 401:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="gateway"'
    if "retry_after" in error.extra:
        answer.headers["Retry-After"] = str(error.extra["retry_after"])
    return dressed(request, answer)


Response_ = TypeVar("Response_", bound=web.StreamResponse)


def dressed(request: web.BaseRequest, answer: Response_) -> Response_:
    for name, value in _HEADERS.items():
        answer.headers.setdefault(name, value)
    answer.headers["X-Request-Id"] = request_id(request)
    return answer


def request_id(request: web.BaseRequest) -> str:
    if _ID not in request:
        given = request.headers.get("X-Request-Id", "")
        sane = 0 < len(given) <= _MAX_ID and given.isascii() and given.isprintable() and " " not in given
        request[_ID] = given if sane else secrets.token_hex(16)
    return request[_ID]


class LongBody(web.StreamResponse):
    """A body that comes piece by piece. One that breaks off ends with its connection, so that no client takes it for
    whole (RFC 9112 8)."""

    def __init__(self, first: bytes, rest: Rest, seconds: float) -> None:
        super().__init__()
        self._first = first
        self._rest = rest
        self._seconds = seconds

    async def pump(
        self, request: web.BaseRequest, while_there: Callable[[Awaitable[bytes]], Coroutine[None, None, bytes]]
    ) -> None:
        """Raises TimeoutError for a slow client, ConnectionError for one that left, and when the body breaks off.

        ``while_there`` awaits what the client waits for, and cancels it when the client leaves: no write shows that
        before the next piece, which may never come.
        """
        try:
            await self.prepare(request)
            piece, self._first = self._first, b""  # not to be kept until the end
            while piece:
                async with asyncio.timeout(self._seconds):
                    await self.write(piece)
                if request.transport is None:  # it left during the write
                    raise ConnectionResetError
                piece = await while_there(self._rest.piece())
        except AdminError as error:
            _log.warning("request %s: the body of the response breaks off: %s", request_id(request), error.details)
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError from None
        finally:
            await self._rest.aclose()


async def send_slices(request: web.BaseRequest, answer: web.Response, seconds: float) -> None:
    """Send a long body up to its last slice, which is left in ``answer``: a client that reads slowly has the time for
    each slice, as it has for each piece of a `LongBody`.

    Raises TimeoutError for a client that does not read a slice within ``seconds``, ConnectionError for one that left.
    """
    body = answer.body
    if not isinstance(body, bytes) or len(body) <= _SLICE or request.method == "HEAD":
        return
    await answer.prepare(request)
    last = (len(body) - 1) // _SLICE * _SLICE
    view = memoryview(body)
    for at in range(0, last, _SLICE):
        async with asyncio.timeout(seconds):
            await answer.write(view[at : at + _SLICE])
    answer.body = body[last:]


class EventStream(web.StreamResponse):
    """Server-Sent Events, written where another response ends. A client that does not read one in time is cut."""

    def __init__(self, events: Callable[[], AsyncGenerator[bytes, None]], seconds: float) -> None:
        super().__init__(headers={"Content-Type": "text/event-stream"})
        self._events = events
        self._seconds = seconds

    async def pump(self, request: web.BaseRequest) -> None:
        """Raises TimeoutError for a slow client, ConnectionError for one that left."""
        await self.prepare(request)
        if request.method == "HEAD":
            return
        events = self._events()
        try:
            async for event in events:
                async with asyncio.timeout(self._seconds):
                    await self.write(event)
        except (AdminError, StoreError) as error:
            _log.debug("a live view ends: %s", error)  # the client reconnects, and gets the usual error body
        finally:
            await events.aclose()
