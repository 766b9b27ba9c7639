"""The upstream of the experiments: it bears so much at once, gets slower above it, and fails or hangs when told to."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Self

import http1
from stage import listener, port_of

OK = http1.response(b"ok")
BROKEN = http1.response(b"no", b"500 Internal Server Error")
QUICK = 0.0


@dataclass(slots=True)
class Behaviour:
    """``work``: seconds for one request, `QUICK`: answered at once. Shares are of all requests, 0 to 1."""

    work: float = QUICK
    capacity: int = 8
    thrash: float = 1.5
    """With n inside, more than the capacity, a request takes ``work * (n / capacity) ** thrash``, by its start."""
    hangs: float = 0.0
    fails: float = 0.0
    dead: bool = False
    """No request is answered at all, until it is alive again; those that hang then stay so."""
    stubborn: bool = False
    """Work goes on when its caller has left, as in servers that notice that only when they answer."""
    random: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 - repeatable, not secret


class Backend:
    """``async with Backend(behaviour) as backend``; counts what came."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.inside = self.most = self.began = self.connections = 0
        """``inside``: requests that are being worked on; ``most`` of them at once."""

    async def __aenter__(self) -> Self:
        sock = listener()
        self.port = port_of(sock)
        self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), sock=sock)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    def begin(self) -> float:
        """One more request; the seconds after which it is answered, infinite: never."""
        told = self.behaviour
        self.inside += 1
        self.began += 1
        self.most = max(self.most, self.inside)
        if told.dead or (told.hangs and told.random.random() < told.hangs):
            return float("inf")
        return told.work * max(1.0, self.inside / told.capacity) ** told.thrash

    def end(self) -> bytes:
        """What the request that has ended is answered."""
        told = self.behaviour
        self.inside -= 1
        return BROKEN if told.fails and told.random.random() < told.fails else OK


class _Connection(http1.Answering):
    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self._backend = backend
        self._timer: asyncio.TimerHandle | None = None
        self._working = False
        backend.connections += 1

    def asked(self, target: bytes) -> None:
        self._working = True
        seconds = self._backend.begin()
        if seconds == QUICK:
            self._answer()
        elif seconds != float("inf"):
            self._timer = asyncio.get_running_loop().call_later(seconds, self._answer)

    def _answer(self) -> None:
        self._working = False
        response = self._backend.end()
        if not self.transport.is_closing():
            self.transport.write(response)

    def connection_lost(self, _: Exception | None) -> None:
        if self._backend.behaviour.stubborn:
            return
        if self._timer is not None:
            self._timer.cancel()
        if self._working:
            self._working = False
            self._backend.inside -= 1
