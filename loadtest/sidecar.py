"""The scripted upstream of the load tests: an AI sidecar with a capacity, seeded latencies, streams and faults.

    python loadtest/sidecar.py PORT ['{"capacity": 10, "median": 0.1, "sigma": 0.3}']

Up to ``capacity`` requests run at full speed. More of them share the machine and are slower, all of them; beyond
``breaks`` at once the sidecar dies: it resets each connection, and whoever asks until ``restart`` seconds are over.
It ends on SIGTERM, and when its standard input ends, so that it never outlives who started it.

    GET  /answer              a small JSON document after the work of one request
    POST /answer              the same, once the whole body has come; the body is counted and dropped
    GET  /tokens?n=&interval= server-sent events, one token each ``interval`` seconds, then [DONE]
    GET  /bytes?n=            so many bytes, as fast as the reader takes them
    GET  /stats               what it saw; POST /behave {...} changes `Behaviour`; both are no work

The demo's sidecar is a piece to read, with a task for each connection. This one has to bear thousands of requests a
second beside the gateway on a small machine, and so has callbacks alone.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import signal
import sys
from dataclasses import asdict, dataclass, replace
from typing import Any, cast
from urllib.parse import parse_qsl

import http1
import uvloop
from work import Behaviour, Job, Machine

BLOCK = bytes(256 * 1024)
CONTROL = ("/stats", "/behave")
TOKEN = http1.chunk(b'data: {"token": "word"}\n\n')
DONE = http1.chunk(b"data: [DONE]\n\n")
ANSWER = b'{"message": "hello from the sidecar"}\n'


@dataclass(slots=True)
class Stats:
    """``/stats`` and ``/behave`` count only as connections."""

    started: int = 0
    inside: int = 0
    most: int = 0
    answered: int = 0
    abandoned: int = 0
    """Requests whose client left before the answer was whole."""
    failed: int = 0
    """Requests answered with 500, or lost when it died."""
    crashes: int = 0
    connections: int = 0
    """Accepted so far."""
    received: int = 0
    """Bytes of request bodies."""


class Sidecar:
    def __init__(self, loop: asyncio.AbstractEventLoop, behaviour: Behaviour) -> None:
        self.loop = loop
        self.stats = Stats()
        self.machine = Machine(loop, behaviour)
        self.connections: set[Connection] = set()
        self.down = False
        self._random = random.Random(behaviour.seed)  # noqa: S311 - a schedule, not a secret

    @property
    def behaviour(self) -> Behaviour:
        return self.machine.behaviour

    def behave(self, **changes: Any) -> None:
        """TypeError for what is no field of `Behaviour`."""
        self.machine.behaviour = replace(self.behaviour, **changes)

    def seconds(self) -> float:
        """The work of the next request."""
        behaviour = self.behaviour
        return behaviour.median * (math.exp(self._random.gauss(0.0, behaviour.sigma)) if behaviour.sigma else 1.0)

    def enter(self) -> bool:
        """Count one in; False when that was one too many."""
        self.machine.enter()
        stats = self.stats
        stats.started += 1
        stats.inside = self.machine.inside
        stats.most = max(stats.most, stats.inside)
        return not 0 < self.behaviour.breaks < stats.inside

    def leave(self) -> None:
        self.machine.leave()
        self.stats.inside = self.machine.inside

    def crash(self) -> None:
        """Everybody inside is lost, and nobody is served until ``restart`` seconds are over."""
        self.stats.crashes += 1
        self.down = True
        for connection in list(self.connections):
            if not connection.control:
                connection.abort()
        self.loop.call_later(self.behaviour.restart, self._restarted)

    def _restarted(self) -> None:
        self.down = False


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive and bodies by Content-Length; requests come one at a time, as a gateway sends them."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar
        self._head = b""
        self._body = 0
        """Bytes of the request's body that are still to come."""
        self._busy = False
        self._job: Job | None = None
        self._token: asyncio.TimerHandle | None = None
        self._pour = 0
        self._paused = False
        self.control = False
        """Nobody's traffic: what looks at the sidecar, or changes it, outlives its death."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class does not inherit from it
        self._sidecar.stats.connections += 1
        self._sidecar.connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._sidecar.connections.discard(self)
        if self._busy:
            self._sidecar.stats.abandoned += 1
            self._over()

    def abort(self) -> None:
        """Die with the sidecar."""
        if self._busy:
            self._sidecar.stats.failed += 1
            self._over()
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._body:
            self._take_body(data)
            return
        self._head += data
        head, found, rest = self._head.partition(b"\r\n\r\n")
        if found:
            self._head = b""
            self._begin(head, rest)

    def _begin(self, head: bytes, rest: bytes) -> None:
        self._request = head
        self._body = http1.number(head, b"content-length")
        if self._body:
            self._collected = b""
            self._take_body(rest)
        else:
            self._serve(b"")

    def _take_body(self, data: bytes) -> None:
        self._sidecar.stats.received += len(data)
        self._body -= len(data)
        if len(self._collected) < 4096:
            self._collected += data
        if self._body <= 0:
            self._body = 0
            self._serve(self._collected)

    def _serve(self, body: bytes) -> None:
        _, target, _ = self._request.partition(b"\r\n")[0].decode("latin-1").split(" ")
        path, _, query = target.partition("?")
        self.control = path in CONTROL
        if self._sidecar.down and not self.control:
            self._transport.abort()
        elif path == "/stats":
            self._reply(b"200 OK", json.dumps(asdict(self._sidecar.stats)).encode())
        elif path == "/behave":
            self._sidecar.behave(**json.loads(body))
            self._reply(b"200 OK", b"{}")
        else:
            self._work(path, query)

    def _work(self, path: str, query: str) -> None:
        sidecar = self._sidecar
        self._busy = True
        if not sidecar.enter():
            sidecar.crash()
        elif sidecar.behaviour.failing:
            sidecar.stats.failed += 1
            self._over()
            self._reply(b"500 Internal Server Error", b'{"error": "failing on demand"}\n')
        elif path == "/tokens":
            asked = dict(parse_qsl(query))
            self._transport.write(http1.head(b"200 OK", b"text/event-stream", b"Transfer-Encoding: chunked"))
            self._next_token(int(asked["n"]), float(asked["interval"]))
        elif path == "/bytes":
            self._pour = int(dict(parse_qsl(query))["n"])
            length = b"Content-Length: %d" % self._pour
            self._transport.write(http1.head(b"200 OK", b"application/octet-stream", length))
            self._go_on_pouring()
        else:
            self._job = sidecar.machine.work(sidecar.seconds(), self._answer)

    def _answer(self) -> None:
        self._finished()
        self._reply(b"200 OK", ANSWER)

    def _next_token(self, left: int, interval: float) -> None:
        if left:
            self._transport.write(TOKEN)
            pause = interval / self._sidecar.machine.speed
            self._token = self._sidecar.loop.call_later(pause, self._next_token, left - 1, interval)
        else:
            self._finished()
            self._transport.write(DONE + http1.LAST)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._pour:
            self._go_on_pouring()

    def _go_on_pouring(self) -> None:
        while self._pour and not self._paused:
            block = BLOCK if self._pour >= len(BLOCK) else BLOCK[: self._pour]
            self._pour -= len(block)
            self._transport.write(block)
        if not self._pour:
            self._finished()

    def _finished(self) -> None:
        self._sidecar.stats.answered += 1
        self._over()

    def _over(self) -> None:
        """No request is inside here any more, however it ended."""
        self._busy = False
        self._pour = 0
        if self._job is not None:
            self._job.left = True
            self._job = None
        if self._token is not None:
            self._token.cancel()
            self._token = None
        self._sidecar.leave()

    def _reply(self, status: bytes, body: bytes) -> None:
        self._transport.write(http1.response(body, status, b"application/json"))


async def serve(port: int, behaviour: Behaviour) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    sidecar = Sidecar(loop, behaviour)
    server = await loop.create_server(lambda: Connection(sidecar), "127.0.0.1", port, backlog=4096)
    loop.add_signal_handler(signal.SIGTERM, over.set)
    loop.add_reader(sys.stdin.fileno(), over.set)
    await over.wait()
    server.close()


def main() -> None:
    behaviour = Behaviour(**json.loads(sys.argv[2])) if len(sys.argv) > 2 else Behaviour()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1]), behaviour))


if __name__ == "__main__":
    main()
