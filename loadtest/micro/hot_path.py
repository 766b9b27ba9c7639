"""What the gateway's own code costs per request: real protocols, layers and log, transports that only count.

    python loadtest/micro/hot_path.py [requests]

Prints the best of seven rounds in microseconds, of one worker and of one that shares its limits. No sockets: what a
kernel adds is not our doing.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from gateway.app import Gateway
from gateway.config.records import CircuitBreaker, Document, Endpoint, Listener, Route, Upstream
from gateway.core.address import Address
from gateway.page.page import Page, create, doorbells
from gateway.policy.stores import Stores
from gateway.wire.h1.client import H1Client
from gateway.wire.h1.head import HeadParser
from gateway.wire.h1.server import H1Server
from gateway.wire.link import Link

HEAD = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 21 Nov 2026 02:45:55 GMT\r\n"
FRAME = b'data: {"choices":[{"delta":{"content":"token token"}}]}\n\n'
FRAMES = 64


@dataclass(frozen=True)
class Dialogue:
    """One exchange as the gateway sees it: a request in one piece, an answer in one or more."""

    request: bytes
    answer: tuple[bytes, ...]
    units: int = 1
    """How many of what is measured one exchange stands for."""

    @property
    def last_asked(self) -> bytes:
        """How the last write to the upstream ends."""
        return self.request[-2:]

    def ends_with(self, data: bytes) -> bool:
        """Whether ``data`` is the last write to the client. The head of a stream may end like its last chunk, where the
        id of the request ends with 0."""
        return data[-5:] == self.answer[-1][-5:] and (len(self.answer) == 1 or data[:5] != b"HTTP/")


GET = Dialogue(
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1:9401\r\n\r\n",
    (HEAD + b"Content-Type: application/json\r\nContent-Length: 153\r\nConnection: keep-alive\r\n\r\n" + b"x" * 153,),
)
POST = Dialogue(
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1:9401\r\nContent-Type: application/json\r\nContent-Length: 1024\r\n\r\n"
    + b"x" * 1024,
    GET.answer,
)
STREAM = Dialogue(
    b"GET /sse HTTP/1.1\r\nHost: 127.0.0.1:9401\r\nAccept: text/event-stream\r\n\r\n",
    (
        HEAD + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        *[b"%x\r\n%b\r\n" % (len(FRAME), FRAME)] * FRAMES,
        b"0\r\n\r\n",
    ),
    units=FRAMES,
)
DIALOGUES = {"small GET": GET, "POST 1 KB": POST, "frame of a stream": STREAM}
SHARED = "small GET, shared limits"
"""As with several workers: limiter and breaker are in the shared page."""
WORKLOADS = DIALOGUES | {SHARED: GET}


class CountingTransport(asyncio.Transport):
    """Takes every byte at once and tells of each write."""

    def __init__(self, on_write: Callable[[bytes], None]) -> None:
        super().__init__()
        self.write = on_write  # type: ignore[method-assign, assignment]

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("127.0.0.1", 1) if name == "peername" else default

    def abort(self) -> None: ...
    def close(self) -> None: ...


def feed(connection: Link, data: bytes) -> None:
    connection.get_buffer(-1)[: len(data)] = data
    connection.buffer_updated(len(data))


class Rehearsal:
    """A gateway between two counting transports: whatever it asks the upstream is answered at once."""

    def __init__(self, gateway: Gateway, each: Callable[[], None] | None = None) -> None:
        """``each`` is called once an exchange: what a slower hot path would do besides."""
        self._loop = asyncio.get_running_loop()
        self._each = each
        self.settle = gateway.recorder.flush
        """Describes all exchanges that have ended: what they leave for later."""
        self._left, self._done = 0, asyncio.Event()
        parser = HeadParser()
        self.upstream = H1Client(self._loop, gateway.buffers, parser)
        self.upstream.connection_made(CountingTransport(self._asked))
        pool = gateway.upstreams["p"].endpoints[0].pool
        pool._open[self.upstream] = float("inf"), "127.0.0.1"  # noqa: SLF001 - as if the pool had dialled it
        self.upstream.on_lost = pool._on_lost  # noqa: SLF001
        self.upstream.on_idle = pool.give_back
        pool.give_back(self.upstream)
        self.downstream = H1Server(self._loop, gateway.buffers, parser, gateway.server, None)
        self.downstream.connection_made(CountingTransport(self._told))

    async def run(self, dialogue: Dialogue, count: int) -> None:
        """``count`` exchanges, one after the other."""
        self._dialogue, self._left = dialogue, count
        self._done.clear()
        feed(self.downstream, dialogue.request)
        await self._done.wait()

    def _asked(self, data: bytes) -> None:
        if data[-2:] == self._dialogue.last_asked:
            self._loop.call_soon(self._answer, 0)

    def _answer(self, part: int) -> None:
        feed(self.upstream, self._dialogue.answer[part])
        if part + 1 < len(self._dialogue.answer):
            self._loop.call_soon(self._answer, part + 1)

    def _told(self, data: bytes) -> None:
        if not self._dialogue.ends_with(data):
            return
        if self._each is not None:
            self._each()
        self._left -= 1
        # Two turns of the loop later, so that the exchange has come to its end.
        if self._left:
            self._loop.call_soon(self._loop.call_soon, feed, self.downstream, self._dialogue.request)
        else:
            self._loop.call_soon(self._loop.call_soon, self._done.set)


@asynccontextmanager
async def rehearsal(each: Callable[[], None] | None = None, stores: Stores | None = None) -> AsyncIterator[Rehearsal]:
    """A gateway with its limits and breakers in ``stores``; None: in its own memory. ``each``: as for `Rehearsal`."""
    route = Route("p", "/", "p", access_rule="true")
    upstream = Upstream(
        "p", (Endpoint("http://127.0.0.1:9"),), max_concurrent=4096, circuit_breaker=CircuitBreaker(True)
    )
    with tempfile.TemporaryDirectory() as folder:
        log = str(Path(folder) / "log")
        document = Document((Listener(Address("127.0.0.1", 0)),), log, routes=(route,), upstreams=(upstream,))
        async with Gateway(document, stores=stores) as gateway:
            stage = Rehearsal(gateway, each)
            yield stage
            stage.downstream.connection_lost(None)
            stage.upstream.connection_lost(None)


def shared() -> Page:
    """The page as the first of two workers has it."""
    return Page(create(), 0, doorbells(5))


async def main(count: int) -> None:
    async with rehearsal() as alone, rehearsal(stores=shared()) as one_of_two:
        best = [float("inf")] * 2
        for _ in range(7):
            for at, stage in enumerate((alone, one_of_two)):
                began = time.perf_counter()
                await stage.run(GET, count)
                best[at] = min(best[at], (time.perf_counter() - began) / count)
    print(f"{best[0] * 1e6:.1f} us a request, {best[1] * 1e6:.1f} with shared limits")


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000))
