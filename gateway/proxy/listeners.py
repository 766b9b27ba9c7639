"""The listening sockets of the data plane.

Connections are accepted here and not by the event loop: libuv closes a listener permanently when it runs out of
descriptors at the wrong moment, and accepts a connection before any code can refuse it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any

from gateway.config import places
from gateway.config.records import Listener
from gateway.core.address import Address
from gateway.core.tasks import Tasks

_log = logging.getLogger("gateway")

_BACKLOG = 4096
_PER_TURN = 16
"""Connections accepted per turn of the event loop: traffic that runs already is not kept waiting by new clients."""
_REST_SECONDS = 0.1
"""Pause after an accept that the kernel refused: the reason does not go away sooner, and the loop must not spin."""
_ABORTED = frozenset(
    (errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH)
)
"""Errors of the connection that would have been accepted, not of the listener (accept(2), "Error handling")."""


Accepted = tuple[asyncio.BaseProtocol, Callable[[], object]]
"""The protocol of a new connection, and what is called when that gets no transport."""


class Listeners:
    """Every incoming connection gets the protocol that ``accept`` makes for the listener and the peer's host.

    ``accept`` returns None to refuse it: the connection is then closed before anything is read. Beside the protocol it
    returns what is called when the event loop could not make a transport for the connection. ``starved`` is called when
    the process has no descriptor for a new connection.
    """

    def __init__(
        self,
        accept: Callable[[Listener, str], Accepted | None],
        starved: Callable[[], object] = lambda: None,
    ) -> None:
        self._accept = accept
        self._starved = starved
        self._open: dict[Address, list[socket.socket]] = {}
        self._settings: dict[Address, Listener] = {}
        """What new connections of each open address get."""
        self._resting: dict[socket.socket, asyncio.TimerHandle] = {}
        self._starting = Tasks()
        self._silent_until = 0.0
        self.failures = 0
        """Accepts that the kernel refused for lack of descriptors or memory."""

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """(host, port) of every open socket."""
        return [sock.getsockname()[:2] for sockets in self._open.values() for sock in sockets]

    async def listen(self, listeners: Iterable[Listener]) -> None:
        """Listen on exactly these; what is open already stays open, with its new settings for new connections.

        Of two for one address the last counts. Raises OSError, changing nothing.
        """
        wanted = {listener.address: listener for listener in listeners}
        opened: dict[Address, list[socket.socket]] = {}
        try:
            for address in wanted:
                if address not in self._open:
                    opened[address] = await _bound(address)
        except BaseException:
            for sockets in opened.values():
                _close(sockets)
            raise
        for address in self._open.keys() - wanted.keys():
            self._end(self._open.pop(address))
        self._settings = wanted
        for address, sockets in opened.items():
            for sock in sockets:
                asyncio.get_running_loop().add_reader(sock.fileno(), self._take, sock, address)
        self._open.update(opened)

    def close(self) -> None:
        """Accept nothing more; accepted connections stay open."""
        for sockets in self._open.values():
            self._end(sockets)
        self._open.clear()

    def _end(self, sockets: list[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        for sock in sockets:
            loop.remove_reader(sock.fileno())
            resting = self._resting.pop(sock, None)
            if resting is not None:
                resting.cancel()
        _close(sockets)

    def _take(self, listener: socket.socket, address: Address) -> None:
        for _ in range(_PER_TURN):
            try:
                sock, peer = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _ABORTED:
                    continue
                self._rest(listener, address, error)
                return
            accepted = None
            try:
                accepted = self._accept(self._settings[address], peer[0])
            except Exception:
                self._complain("a new connection was closed", exc_info=True)
            if accepted is None:
                sock.close()
            else:
                self._starting.start(self._connect(*accepted, sock), "accept")

    async def _connect(self, protocol: asyncio.BaseProtocol, lost: Callable[[], object], sock: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, sock)
        except Exception:  # a peer that left in between
            sock.close()
            lost()

    def _rest(self, listener: socket.socket, address: Address, error: OSError) -> None:
        """Whatever is wrong, the kernel keeps the connections that wait: try again in a moment, and do not spin."""
        self.failures += 1
        self._complain(f"new connections wait, because accept failed: {error.strerror}")
        self._starved()
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener.fileno())
        self._resting[listener] = loop.call_later(_REST_SECONDS, self._resume, listener, address)

    def _complain(self, text: str, *, exc_info: bool = False) -> None:
        """In the process's log, once a second."""
        now = monotonic()
        if now >= self._silent_until:
            self._silent_until = now + 1.0
            _log.error("%s", text, exc_info=exc_info)

    def _resume(self, listener: socket.socket, address: Address) -> None:
        del self._resting[listener]
        asyncio.get_running_loop().add_reader(listener.fileno(), self._take, listener, address)


def _close(sockets: Iterable[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


async def _bound(address: Address) -> list[socket.socket]:
    """A listening socket for each address that the name of ``address`` stands for; no host: all of IPv4 and IPv6."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise places.listen_failure("listen", address.host, address.port, error) from None
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, where in dict.fromkeys(found):
            try:
                sockets.append(_listener(family, where))
            except OSError as error:
                # No host means all addresses; a machine without IPv6 has none of that family.
                if address.host or error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL) or len(found) == 1:
                    raise places.listen_failure("listen", str(where[0]), address.port, error) from None
    except BaseException:
        _close(sockets)
        raise
    return sockets


def _listener(family: int, where: tuple[Any, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(where)
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock
