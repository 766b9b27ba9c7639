"""The API as an application of aiohttp.web, made from the table of routes.

A path that is not in the table is closed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Mapping
from typing import Final, TypeVar

from aiohttp import HttpVersion11, web

from gateway.admin.errors import AdminError, unavailable
from gateway.admin.service import Administration
from gateway.api import openapi
from gateway.api.call import Bytes, Health
from gateway.api.connection import Connection
from gateway.api.request import host, read_call
from gateway.api.responses import INTERNAL, MAX_BODY, EventStream, dressed, of_http, refusal, request_id, respond
from gateway.api.route import Route
from gateway.api.static import Handler, StaticFiles, add_static_files
from gateway.api.table import ROUTES
from gateway.api.times import TIMES, Times
from gateway.store.errors import StoreError, StoreUnavailable

_log = logging.getLogger(__name__)

Done = TypeVar("Done")

_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def application(
    administration: Administration, health: Health, hosts: Iterable[str] = (), times: Times = TIMES
) -> web.Application:
    """``hosts``: names by which it may be called, in addition to those of this machine."""
    allowed = _LOCAL | {host.lower() for host in hosts}
    longer = {route.full_path: route.seconds for route in ROUTES if route.seconds}

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if host(request) not in allowed:
                raise AdminError(
                    421, "misdirected", "Misdirected Request", "This name is not in admin.hosts; add it there"
                )
            async with asyncio.timeout(longer.get(_pattern(request), times.request)):
                return dressed(request, await handler(request))
        except AdminError as error:
            return refusal(request, error)
        except web.HTTPException as error:
            return refusal(request, of_http(error), error.headers.get("Allow", ""))
        except StoreUnavailable as error:
            return refusal(request, unavailable(str(error)))
        except StoreError as error:
            return refusal(request, AdminError(500, "store", "Internal Server Error", str(error)))
        except TimeoutError:
            details = "It took too long; look whether it was done before you send it again"
            return refusal(request, unavailable(details))
        except Exception:
            _log.exception("request %s to the control plane failed", request_id(request))
            return refusal(request, INTERNAL)

    made = web.Application(middlewares=[guard], client_max_size=MAX_BODY)
    described = openapi.document(ROUTES)
    for route in ROUTES:
        handler = _handler(route, administration, health, described, times)
        readable = route.method == "GET" and not route.from_elsewhere
        for method in (route.method, "HEAD") if readable else (route.method,):
            made.router.add_route(method, route.full_path, handler)
    add_static_files(StaticFiles.load(), made.router)

    async def end_streams(_: web.Application) -> None:
        await administration.live_feed.aclose()

    made.on_shutdown.append(end_streams)
    return made


def _pattern(request: web.Request) -> str:
    """The path of its route, with the names of parameters; empty without a route."""
    resource = request.match_info.route.resource
    return "" if resource is None else resource.canonical


async def _while_there(request: web.Request, work: Awaitable[Done]) -> Done:
    """The result of ``work``, which is cancelled when the client leaves."""
    connection = request.protocol
    assert isinstance(connection, Connection)
    return await connection.while_there(work)


def _handler(
    route: Route, administration: Administration, health: Health, described: Mapping[str, object], times: Times
) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        call = await read_call(request, route, administration, health, described, times.body)
        result = await (_while_there(request, route.handler(call)) if route.ends_with_caller else route.handler(call))
        if isinstance(body := result[1], Bytes) and request.version < HttpVersion11:
            # There a body that ends with its connection is whole, so that a part of it must not begin to go.
            result = result[0], await _while_there(request, body.whole())
        if (stream := route.stream) is not None:
            return EventStream(lambda: stream(call), times.answer)
        return respond(request, result, times.answer)

    return handle
