"""A back end that breaks easily, played true to life: what the gateway is for.

It bears `BEARS` requests at once. With more inside, every new one takes longer in proportion; beyond `BREAKS` it fails
with 500. It does not know that a gateway stands before it, and imports nothing of it. HTTP comes from aiohttp,
because the back end of a demo should not share the faults of the gateway's own wire code.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import partial

from aiohttp import web

BEARS = 5
BREAKS = 8
TOKEN_INTERVAL = 0.1
"""Seconds between two tokens of `/tokens`."""
PATIENCE = 0.01
"""Seconds for which `Sidecar.aclose` waits, twice, before it cuts a request."""


@dataclass(slots=True)
class Stats:
    """What the sidecar saw; requests for `/stats` and `/fail` count only as connections."""

    seen: int = 0
    peak: int = 0
    """Most requests inside at once."""
    inside: int = 0
    failed: int = 0
    """Responses with 500."""
    abandoned: int = 0
    """Requests whose caller left before the response was complete."""
    connections: int = 0


class Sidecar:
    """The server: ``await start()`` gives its port, ``await aclose()`` ends it and every connection."""

    def __init__(self) -> None:
        self.stats = Stats()
        self._to_fail = 0
        self._http: web.Server | None = None
        self._listener: asyncio.Server | None = None
        self._routes: dict[tuple[str, str], Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]] = {
            ("GET", "/json"): self._json,
            ("GET", "/slow"): self._slow,
            ("GET", "/tokens"): self._tokens,
            ("POST", "/echo"): self._echo,
        }

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        self._http = web.Server(self.serve, handler_cancellation=True, access_log=None)
        make_connection = partial(self._connection, self._http)
        self._listener = await asyncio.get_running_loop().create_server(make_connection, host, port)
        bound: int = self._listener.sockets[0].getsockname()[1]
        return bound

    def _connection(self, http: web.Server) -> asyncio.Protocol:
        self.stats.connections += 1
        return http()

    async def aclose(self) -> None:
        if self._listener is None or self._http is None:
            return
        self._listener.close()
        await self._http.shutdown(PATIENCE)
        await self._listener.wait_closed()

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """The response to one request; `/stats` and `/fail` always work, whatever the sidecar suffers."""
        if request.path == "/stats":
            return _document(200, asdict(self.stats))
        try:
            if (request.method, request.path) == ("POST", "/fail"):
                self._to_fail = int(_number(request, "count", 1))
                return _document(200, {"answers_that_will_fail": self._to_fail})
            return await self._serve_inside(request)
        except ValueError as error:
            return _document(400, {"error": str(error)})

    async def _serve_inside(self, request: web.BaseRequest) -> web.StreamResponse:
        self.stats.seen += 1
        self.stats.inside += 1
        self.stats.peak = max(self.stats.peak, self.stats.inside)
        try:
            return await self._respond(request)
        except (asyncio.CancelledError, ConnectionError):
            self.stats.abandoned += 1
            raise
        finally:
            self.stats.inside -= 1

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        """Fail on demand or when overrun, else do the route's work."""
        route = self._routes.get((request.method, request.path))
        if self._to_fail > 0:
            self._to_fail -= 1
            return self._fail("failing on demand")
        if self.stats.inside > BREAKS:
            return self._fail(f"overrun: {self.stats.inside} requests at once")
        if route is None:
            return _document(404, {"error": f"no {request.method} {request.path} here"})
        return await route(request)

    def _fail(self, why: str) -> web.Response:
        self.stats.failed += 1
        return _document(500, {"error": why})

    async def _work(self, seconds: float) -> None:
        """Take ``seconds``, and longer in proportion when more than `BEARS` requests are inside."""
        await asyncio.sleep(seconds * max(1.0, self.stats.inside / BEARS))

    async def _json(self, request: web.BaseRequest) -> web.Response:
        await self._work(0.01)
        return _document(200, {"message": "hello from the sidecar"})

    async def _slow(self, request: web.BaseRequest) -> web.Response:
        seconds = _number(request, "seconds", 2)
        await self._work(seconds)
        return _document(200, {"message": f"that was {seconds:g} seconds of work"})

    async def _echo(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        return _document(200, {"bytes": len(body), "body": body.decode("utf-8", "replace")})

    async def _tokens(self, request: web.BaseRequest) -> web.StreamResponse:
        """Server-sent events, one token each `TOKEN_INTERVAL`, every one sent as soon as it exists."""
        count = int(_number(request, "n", 20))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        for number in range(count):
            await self._work(TOKEN_INTERVAL)
            await response.write(f'data: {{"token": "word-{number}"}}\n\n'.encode())
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


def _document(status: int, document: object) -> web.Response:
    """``document`` as one line of JSON."""
    return web.json_response(text=json.dumps(document) + "\n", status=status)


def _number(request: web.BaseRequest, name: str, default: float) -> float:
    """The query's value of ``name``. Raises ValueError when it is not a number."""
    return float(request.query.get(name, default))
