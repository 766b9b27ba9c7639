"""A back end that breaks easily, played true to life: what the gateway is for.

It bears `BEARS` requests at once. With more inside, every new one takes longer in proportion; beyond `BREAKS` it fails
with 500. It does not know that a gateway stands before it, and imports nothing of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

from gateway.demo.http import Connection, Request

BEARS = 5
BREAKS = 8
TOKEN_INTERVAL = 0.1
"""Seconds between two tokens of `/tokens`."""


@dataclass(slots=True)
class Stats:
    """What the sidecar saw; requests for `/stats` and `/fail` count only as connections."""

    seen: int = 0
    peak: int = 0
    """Most requests inside at once."""
    inside: int = 0
    failed: int = 0
    """Answers with 500."""
    abandoned: int = 0
    """Requests whose client left before the answer."""
    connections: int = 0


class Sidecar:
    """The server: ``await start()`` gives its port, ``await aclose()`` ends it and every connection."""

    def __init__(self) -> None:
        self.stats = Stats()
        self._to_fail = 0
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._routes: dict[tuple[str, str], Callable[[Request, Connection], Awaitable[None]]] = {
            ("GET", "/json"): self._json,
            ("GET", "/slow"): self._slow,
            ("GET", "/tokens"): self._tokens,
            ("POST", "/echo"): self._echo,
        }

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        self._server = await asyncio.get_running_loop().create_server(self._connection, host, port)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    def _connection(self) -> Connection:
        self.stats.connections += 1
        return Connection(self.serve, self._connections)

    async def aclose(self) -> None:
        if self._server is None:
            return
        self._server.close()
        live = list(self._connections)
        for connection in live:
            connection.abort()
        await asyncio.gather(*(connection.task for connection in live), return_exceptions=True)
        await self._server.wait_closed()

    async def serve(self, request: Request, connection: Connection) -> None:
        """Answer one request; `/stats` and `/fail` always work, whatever the sidecar suffers."""
        if request.path == "/stats":
            connection.reply(200, asdict(self.stats))
        elif (request.method, request.path) == ("POST", "/fail"):
            self._to_fail = int(request.number("count", 1))
            connection.reply(200, {"answers_that_will_fail": self._to_fail})
        else:
            await self._serve_inside(request, connection)

    async def _serve_inside(self, request: Request, connection: Connection) -> None:
        self.stats.seen += 1
        self.stats.inside += 1
        self.stats.peak = max(self.stats.peak, self.stats.inside)
        try:
            await self._answer(request, connection)
        except asyncio.CancelledError:
            self.stats.abandoned += 1
            raise
        finally:
            self.stats.inside -= 1

    async def _answer(self, request: Request, connection: Connection) -> None:
        """Fail when told to or overrun, else do the route's work."""
        route = self._routes.get((request.method, request.path))
        if self._to_fail > 0:
            self._to_fail -= 1
            self._fail(connection, "failing on demand")
        elif self.stats.inside > BREAKS:
            self._fail(connection, f"overrun: {self.stats.inside} requests at once")
        elif route is None:
            connection.reply(404, {"error": f"no {request.method} {request.path} here"})
        else:
            await route(request, connection)

    def _fail(self, connection: Connection, why: str) -> None:
        self.stats.failed += 1
        connection.reply(500, {"error": why})

    async def _work(self, seconds: float) -> None:
        """Take ``seconds``, and longer in proportion when more than `BEARS` requests are inside."""
        await asyncio.sleep(seconds * max(1.0, self.stats.inside / BEARS))

    async def _json(self, request: Request, connection: Connection) -> None:
        await self._work(0.01)
        connection.reply(200, {"message": "hello from the sidecar"})

    async def _slow(self, request: Request, connection: Connection) -> None:
        seconds = request.number("seconds", 2)
        await self._work(seconds)
        connection.reply(200, {"message": f"that was {seconds:g} seconds of work"})

    async def _echo(self, request: Request, connection: Connection) -> None:
        connection.reply(200, {"bytes": len(request.body), "body": request.body.decode("utf-8", "replace")})

    async def _tokens(self, request: Request, connection: Connection) -> None:
        """Server-sent events, one token each `TOKEN_INTERVAL`, every one sent as soon as it exists."""
        connection.begin_stream("text/event-stream")
        for number in range(int(request.number("n", 20))):
            await self._work(TOKEN_INTERVAL)
            connection.chunk(f'data: {{"token": "word-{number}"}}\n\n'.encode())
        connection.chunk(b"data: [DONE]\n\n")
        connection.chunk(b"")
