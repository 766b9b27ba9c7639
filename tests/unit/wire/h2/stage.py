"""The server's side of HTTP/2 on a link without a socket."""

from __future__ import annotations

import asyncio

from harness.frames import GET, Fields, Frame, Reader, block, take_frames
from harness.scripted import ScriptedTransport
from unit.wire.h1.stage import Service

from gateway.core.limits import Limits
from gateway.wire.buffers import BufferPool
from gateway.wire.h2.codes import DATA, HEADERS, PREFACE
from gateway.wire.h2.frames import frame, settings
from gateway.wire.h2.server import H2Server
from gateway.wire.h2.session import Shared


class CallerStage:
    """A connection of a caller whose preface and SETTINGS have come."""

    def __init__(self, limits: Limits | None = None, *, greeted: bool = True, window: int | None = None) -> None:
        self.now = 1000.0
        """On the clock of the budgets."""
        self.service = Service(limits or Limits())
        self.buffers = BufferPool()
        loop = asyncio.get_running_loop()
        self.server = H2Server(loop, self.buffers, Shared(), self.service, None, lambda: self.now)
        self.transport = ScriptedTransport(self.server, peername=("192.0.2.1", 5000))
        self.reader = Reader()
        if greeted:
            self.say(PREFACE + settings([] if window is None else [(4, window)]))
            self.server.flush()
            self.transport.taken.clear()

    def say(self, data: bytes) -> None:
        self.transport.say(data)

    def request(self, ident: int = 1, fields: Fields = GET, *, ended: bool = True) -> None:
        self.say(frame(HEADERS, 5 if ended else 4, ident, block(fields)))

    def data(self, ident: int, payload: bytes, *, ended: bool = False) -> None:
        self.say(frame(DATA, 1 if ended else 0, ident, payload))

    def frames(self) -> list[Frame]:
        """What was written since the last call."""
        self.server.flush()
        return take_frames(self.transport.taken)

    async def turn(self) -> None:
        for _ in range(8):
            await asyncio.sleep(0)

    async def respond(self) -> None:
        """Let the exchanges that run respond."""
        self.service.go_on.set()
        await self.turn()
        self.service.go_on.clear()

    def close(self) -> None:
        self.transport.lose()
