"""Callers: some ask again as soon as they were answered, some come at their times whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Self

import http1
from stage import HOST

GONE = 0
"""Status of an answer that never came whole: the caller left, or the connection broke."""


def request(*fields: str) -> bytes:
    return http1.request("/", "tuning.test", "User-Agent: tuning", "Accept: */*", *fields)


class Line(http1.Asking):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._answer: asyncio.Future[int] | None = None
        self.open = True

    def ask(self, text: bytes) -> asyncio.Future[int]:
        """The status of the whole answer; `GONE` when the connection ends before."""
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(text)
        return self._answer

    def answered(self, head: bytes, body: bytes) -> None:
        self.open = self.open and b"connection: close" not in head.lower()
        self._end(int(head[9:12]))

    def connection_lost(self, _: Exception | None) -> None:
        self.open = False
        self._end(GONE)

    def _end(self, status: int) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(status)


async def dial(port: int) -> Line:
    _, line = await asyncio.get_running_loop().create_connection(Line, HOST, port)
    return line


class Crowd:
    """``async with Crowd(...)``: callers who ask again and again, ``pause`` seconds after each answer."""

    def __init__(self, port: int, size: int, text: bytes, pause: float = 0.0) -> None:
        self._port, self._size, self._text, self._pause = port, size, text, pause
        self.seconds: list[float] = []
        """How long each answer took."""
        self.bad = 0

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._ask()) for _ in range(self._size)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask(self) -> None:
        line = await dial(self._port)
        try:
            while True:
                began = time.monotonic()
                status = await line.ask(self._text)
                self.seconds.append(time.monotonic() - began)
                self.bad += status != 200
                if self._pause:
                    await asyncio.sleep(self._pause)
                if not line.open:
                    line.transport.abort()
                    line = await dial(self._port)
        finally:
            line.transport.abort()


@dataclass(frozen=True, slots=True)
class Answer:
    """``at`` and ``seconds`` count from when the caller meant to ask, not from when it could."""

    at: float
    seconds: float
    status: int


@dataclass(slots=True)
class Arrivals:
    """Callers who come at their times. ``patience``: seconds after which a caller hangs up; 0: it never does."""

    port: int
    patience: float = 0.0
    answers: list[Answer] = field(default_factory=list)
    _free: list[Line] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def come(self, times: list[float], *, wait: float) -> None:
        """One caller at each of ``times`` (seconds from now, rising); then up to ``wait`` seconds for the answers."""
        start = time.monotonic()
        for at in times:
            await asyncio.sleep(max(0.0, start + at - time.monotonic()))
            task = asyncio.create_task(self._one(at, start + at))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=wait)
        await self._leave()

    async def _leave(self) -> None:
        left = set(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for line in self._free:
            line.transport.abort()

    async def _one(self, at: float, meant: float) -> None:
        line = await self._line()
        status = GONE
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + self._left(meant)):
                    status = await line.ask(request())
        finally:
            self.answers.append(Answer(at, time.monotonic() - meant, status))
            if status != GONE and line.open:
                self._free.append(line)
            else:
                line.transport.abort()

    async def _line(self) -> Line:
        """One that waits and was not closed meanwhile, else another."""
        while self._free:
            if (line := self._free.pop()).open:
                return line
        return await dial(self.port)

    def _left(self, meant: float) -> float:
        return meant + self.patience - time.monotonic() if self.patience else 3600.0
