"""Notices peers that leave while nothing is read from them.

An event loop that has stopped reading a socket does not learn of a FIN or RST. One epoll for all such sockets does: it
waits for EPOLLRDHUP alone, and its own descriptor is one reader of the event loop. A held connection then costs nothing
until its peer leaves; polling each with a timer took a system call every 50 ms, a tenth of a core for 500.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

_MOST = 64
"""Events taken per turn of the event loop; the others stay in the kernel for the next turn."""


class Held(Protocol):
    """A connection that is not read from."""

    def peer_left(self) -> None: ...


class HangupWatch:
    """Calls `Held.peer_left` once when the peer of a socket has closed or reset its side. For one event loop."""

    __slots__ = ("_held", "_loop", "_poller")

    def __init__(self) -> None:
        self._held: dict[int, Held] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._poller: select.epoll | None = None

    def __len__(self) -> int:
        """Sockets that are watched now."""
        return len(self._held)

    def watch(self, descriptor: int, connection: Held) -> bool:
        """Until `forget`. A peer that has left already counts. False when the kernel has no room (EMFILE, ENOSPC)."""
        try:
            if self._poller is None:
                self._poller = select.epoll()
                self._loop = asyncio.get_running_loop()
                self._loop.add_reader(self._poller.fileno(), self._ready)
            self._poller.register(descriptor, select.EPOLLRDHUP | select.EPOLLONESHOT)
        except OSError:
            return False
        self._held[descriptor] = connection
        return True

    def forget(self, descriptor: int, connection: Held) -> None:
        """Read again, or closed. Does nothing when another connection has the descriptor by now."""
        if self._held.get(descriptor) is connection:
            del self._held[descriptor]
            if self._poller is not None:
                with suppress(OSError):  # a closed socket has left the epoll by itself
                    self._poller.unregister(descriptor)

    def close(self) -> None:
        self._held.clear()
        if self._poller is not None and self._loop is not None:
            # uvloop's returns None where the types promise a bool, which compiled code holds it to.
            remove: Callable[[int], object] = self._loop.remove_reader
            remove(self._poller.fileno())
            self._poller.close()
            self._poller = None

    def _ready(self) -> None:
        if self._poller is None:
            return
        for descriptor, _ in self._poller.poll(0, _MOST):
            connection = self._held.get(descriptor)
            if connection is not None:
                self.forget(descriptor, connection)
                try:
                    connection.peer_left()
                except Exception as error:  # the other watchers of this turn are still to be called
                    asyncio.get_running_loop().call_exception_handler(
                        {"message": "a hang-up could not be handled", "exception": error, "protocol": connection}
                    )
