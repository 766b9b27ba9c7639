"""Streams of events that stop after three events, or go on with comments alone: when the callers learn it, and whether
the places of these streams are free again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, Self

import http1
from experiments.callers import dial, request
from experiments.trial import percentile
from failures.proxies import each_kind, started
from stage import HOST, listener, port_of, until

STREAMS = 20
"""As many as the limit of each proxy allows."""
EVENTS, EVERY = 3, 0.1
COMMENTS = 0.5
"""Seconds from one comment to the next."""
GAP = 2.0
"""Seconds of silence that each proxy is set up to bear."""
PATIENCE = 8.0
"""Seconds after which callers are asked what they know, unless all know it before."""
FREED = 1.0
"""Seconds from there until no stream may hold a place."""
HEAD = http1.head(b"200 OK", b"text/event-stream", b"Transfer-Encoding: chunked")
EVENT, COMMENT = http1.chunk(b'data: {"token": "x"}\n\n'), http1.chunk(b": keepalive\n\n")
ERROR = b"event: error"
KINDS = {"silence": "nothing follows", "comments": f"a comment follows each {COMMENTS:g} s"}


class Source:
    """The upstream: ``/events`` gives three events and stalls, all else 200 at once."""

    def __init__(self, *, comments: bool) -> None:
        self.comments = comments
        self.open = 0
        """Streams that are not over."""

    async def __aenter__(self) -> Self:
        sock = listener()
        self.port = port_of(sock)
        self._server = await asyncio.get_running_loop().create_server(lambda: _Line(self), sock=sock)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()


class _Line(http1.Answering):
    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._task: asyncio.Task[None] | None = None

    def asked(self, target: bytes) -> None:
        if target == b"/events":
            self._source.open += 1
            self._task = asyncio.get_running_loop().create_task(self._stream())
        else:
            self.transport.write(http1.response(b"ok"))

    async def _stream(self) -> None:
        self.transport.write(HEAD)
        for _ in range(EVENTS):
            self.transport.write(EVENT)
            await asyncio.sleep(EVERY)
        while self._source.comments:
            await asyncio.sleep(COMMENTS)
            self.transport.write(COMMENT)

    def connection_lost(self, _: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()
            self._source.open -= 1


class Listener(asyncio.Protocol):
    """A caller of one stream; ``heard`` is when its last event came, ``learnt`` when it knew that no other follows."""

    def __init__(self) -> None:
        self._tail = b""
        self.events = 0
        self.heard = 0.0
        self.learnt: float | None = None
        self.looks_whole = False
        """The stream ended as a complete one does, without a word of what happened."""

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        if count := data.count(b'data: {"token"'):
            self.events += count
            self.heard = now
        self._tail = (self._tail + data)[-300:]
        if ERROR in self._tail:
            self._learn(now)
        elif self._tail.endswith(http1.LAST):
            self.looks_whole = self.learnt is None
            self._learn(now)

    def connection_lost(self, _: Exception | None) -> None:
        self._learn(time.monotonic())

    def _learn(self, now: float) -> None:
        if self.learnt is None:
            self.learnt = now


def figures(listeners: Sequence[Listener], held: int, another: int) -> dict[str, float | None]:
    """``held``: streams open at the upstream in the end; ``another``: the status of a caller who came then."""
    waited = [each.learnt - each.heard for each in listeners if each.learnt is not None]
    return {
        "learn %": 100 * len(waited) / len(listeners),
        "after s, median": percentile(waited, 0.5) if waited else None,
        "after s, longest": max(waited) if waited else None,
        "look complete": float(sum(each.looks_whole for each in listeners)),
        "places held": float(held),
        "another caller gets": float(another),
    }


async def trial(name: str, kind: str, scale: float, ready: asyncio.Barrier) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(Source(comments=kind == "comments"))
        values = {"ORIGIN": str(source.port), "STREAMS": str(STREAMS)}
        proxy = await stack.enter_async_context(started(name, "stall", **values))
        await ready.wait()
        loop, listeners, transports = asyncio.get_running_loop(), [], []
        try:
            for _ in range(STREAMS):
                transport, listener_ = await loop.create_connection(Listener, HOST, proxy.port)
                transport.write(http1.request("/events", "tuning.test"))
                listeners.append(listener_)
                transports.append(transport)
            await until(lambda: all(each.learnt for each in listeners), max(PATIENCE * scale, GAP * 2), 0.01)
            await until(lambda: not source.open, FREED, 0.01)
            another = await _another(proxy.port)
            return {"figures": figures(listeners, source.open, another)}
        finally:
            for transport in transports:
                transport.abort()


async def _another(port: int) -> int:
    """The status that one more caller gets; 0 for none within a second."""
    line = await dial(port)
    try:
        with suppress(TimeoutError):
            return await asyncio.wait_for(line.ask(request()), 1.0)
        return 0
    finally:
        line.transport.abort()


async def measured(names: Sequence[str], scale: float) -> dict[str, dict[str, dict[str, Any]]]:
    """By kind of stall and proxy."""
    titles = {kind: f"stall: {kind}" for kind in KINDS}
    return await each_kind(titles, names, lambda kind, name, ready: trial(name, kind, scale, ready))
