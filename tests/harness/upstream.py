"""A scripted upstream on real sockets.

Without a behaviour it is one half of a dialogue: the test takes each connection (`Upstream.link`) and speaks itself.
With one, every connection is served by it in a task of its own.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Self

from harness.message import REQUEST_LINE, Message, Truncated, read_body, read_head
from harness.patience import PATIENCE, eventually
from harness.ports import beside, reserved_port
from harness.stream import Stream


class Link(Stream):
    """One accepted connection, as the upstream sees it."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.requests: list[Message] = []
        """Requests that were read to their end."""

    async def head(self) -> Message:
        """The head of the next request; its body is left on the wire."""
        return await read_head(self, REQUEST_LINE)

    async def body(self, head: Message) -> Message:
        message = await read_body(self, head, "none")
        self.requests.append(message)
        return message

    async def request(self) -> Message:
        """The next request as a whole. Truncated when the connection ends before."""
        return await self.body(await self.head())

    async def gone(self, within: float = PATIENCE) -> str:
        """Wait until the gateway has ended the connection; how it did (``eof``, ``reset``)."""
        await self.rest(within)
        return self.ended

    async def broken(self) -> bool:
        """The gateway ended the connection before the request on it was complete."""
        try:
            await self.request()
        except Truncated:
            return True
        return False


Behaviour = Callable[[Link], Awaitable[None]]


class Upstream:
    """Listens on a free port of 127.0.0.1, or on ``address``. ``links`` are the connections in the order in which they
    were accepted. The free port is kept on every address, so that others of the same test may listen beside it.
    """

    scheme = "http"

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        receive_buffer: int = 0,
        address: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        self.behaviour = behaviour
        self.links: list[Link] = []
        self._taken = 0
        self._kept, self._listener = beside(*address)
        if receive_buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.listen(1024)
        self._listener.setblocking(False)
        self.tasks: set[asyncio.Task[None]] = set()
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{self.scheme}://{address[0]}:{self.port}"

    async def __aenter__(self) -> Self:
        self._spawn(self._accept())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self._listener.close()
        self._kept.close()
        for link in self.links:
            link.close()

    @property
    def accepted(self) -> int:
        return len(self.links)

    @property
    def requests(self) -> list[Message]:
        """Requests read to their end, on all connections."""
        return [message for link in self.links for message in link.requests]

    @property
    def live(self) -> int:
        """Connections that neither side has ended, as far as the script has read."""
        return sum(not link.ended and not link.closed for link in self.links)

    async def link(self, within: float = PATIENCE) -> Link:
        """The next connection that the test has not taken yet."""
        await eventually(lambda: len(self.links) > self._taken, "the gateway dials the upstream", within)
        self._taken += 1
        return self.links[self._taken - 1]

    def _spawn(self, work: Awaitable[None]) -> None:
        self.tasks.add(asyncio.ensure_future(work))

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(self._listener)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._take(sock)

    def _take(self, sock: socket.socket) -> None:
        self._add(Link(sock))

    def _add(self, link: Link) -> None:
        self.links.append(link)
        if self.behaviour is not None:
            self._spawn(self._serve(link, self.behaviour))

    async def _serve(self, link: Link, behaviour: Behaviour) -> None:
        try:
            await behaviour(link)
        except (Truncated, TimeoutError):
            pass
        finally:
            link.close()


class BlackHole:
    """An address that never completes a dial: its accept queue is full, and the kernel drops what comes after."""

    def __init__(self) -> None:
        self._kept, self._listener = beside("127.0.0.1", 0)
        self._listener.listen(0)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._fillers = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(4)]
        for filler in self._fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))

    def close(self) -> None:
        for sock in (*self._fillers, self._listener, self._kept):
            sock.close()


def refused_url() -> str:
    """An address where nothing listens, to the end of this process."""
    return f"http://127.0.0.1:{reserved_port()}"
