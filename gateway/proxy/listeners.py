"""The listening sockets of the data plane.

Connections are accepted here and not by the event loop: libuv closes a listener permanently when it runs out of
descriptors at the wrong moment, and accepts a connection before any code can refuse it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.config.records import Listener
from gateway.core.address import Address
from gateway.core.once_a_second import OnceASecond
from gateway.core.tasks import Tasks
from gateway.proxy.bindings import Binder, Bindings, Name, close, name_of

_log = logging.getLogger("gateway")

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


@dataclass(frozen=True, slots=True)
class PreparedSockets:
    """``opened``: each socket, and what it was opened for; None: the addresses have not changed."""

    settings: dict[Address, Listener]
    opened: dict[Name, tuple[socket.socket, Address]] | None


class Listeners:
    """Every incoming connection gets the protocol that ``accept`` makes for the listener and the peer's host.

    ``accept`` returns None to refuse it: the connection is then closed before anything is read. Beside the protocol it
    returns what is called when the event loop could not make a transport for the connection. ``starved`` is called when
    the process has no descriptor for a new connection. ``binder``: the owner of the sockets, which stay open when it
    listens no more; None: they are its own.
    """

    def __init__(
        self,
        accept: Callable[[Listener, str], Accepted | None],
        starved: Callable[[], object] = lambda: None,
        binder: Binder | None = None,
    ) -> None:
        self._accept = accept
        self._starved = starved
        self._own = Bindings()
        self._binder: Binder = self._own if binder is None else binder
        self._closed = False
        self._settings: dict[Address, Listener] = {}
        """What new connections of each address get."""
        self._open: dict[Name, tuple[socket.socket, Address]] = {}
        """Each socket, and what it was opened for."""
        self._resting: dict[socket.socket, asyncio.TimerHandle] = {}
        self._starting = Tasks()
        self._throttle = OnceASecond()
        self.failures = 0
        """Accepts that the kernel refused for lack of descriptors or memory."""

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """(host, port) of every open socket."""
        return [sock.getsockname()[:2] for sock, _ in self._open.values()]

    @property
    def secure(self) -> list[tuple[str, int]]:
        """Those of `addresses` where TLS is spoken."""
        settings = self._settings
        return [sock.getsockname()[:2] for sock, of in self._open.values() if settings[of].tls is not None]

    async def listen(self, listeners: Iterable[Listener]) -> None:
        """Listen on exactly these. Raises OSError with a sentence for its text, changing nothing."""
        await self.commit(await self.prepare(listeners))

    async def prepare(self, listeners: Iterable[Listener]) -> PreparedSockets:
        """Open what `commit` will listen on. Of two for one address the last counts.

        Raises OSError with a sentence for its text, changing nothing.
        """
        wanted = {listener.address: listener for listener in listeners}
        if wanted.keys() == self._settings.keys():
            return PreparedSockets(wanted, None)
        return PreparedSockets(wanted, await self._opened(wanted))

    async def commit(self, prepared: PreparedSockets) -> None:
        """Listen on exactly these; what is open already, under any spelling, stays open without a gap, with its new
        settings for new connections. Raises OSError, changing nothing, when their owner refuses.
        """
        if prepared.opened is None:
            self._settings = prepared.settings
            return
        try:
            await self._binder.keep(prepared.settings)
            self._check()
        except BaseException:
            close(sock for sock, _ in prepared.opened.values())
            raise
        before, self._open, self._settings = self._open, prepared.opened, prepared.settings
        for sock, address in self._open.values():
            asyncio.get_running_loop().add_reader(sock.fileno(), self._take, sock, address)
        self._end(sock for sock, _ in before.values())  # of a socket that stays, this is one descriptor of two

    async def abandon(self, prepared: PreparedSockets) -> None:
        """Close what was opened for `commit`, which does not come."""
        if prepared.opened is not None:
            close(sock for sock, _ in prepared.opened.values())
            await self._keep_only_mine()

    async def _keep_only_mine(self) -> None:
        """Let go what was opened in vain.

        Not before the first configuration: what the worker before has served stays open, for callers who wait.
        """
        if self._settings:
            with contextlib.suppress(OSError):  # the first error says what is wrong
                await self._binder.keep(self._settings)

    async def _opened(self, wanted: Iterable[Address]) -> dict[Name, tuple[socket.socket, Address]]:
        """A socket for each address, and what it was opened for."""
        opened: dict[Name, tuple[socket.socket, Address]] = {}
        try:
            for address in wanted:
                for sock in await self._binder.open(address):
                    if name_of(sock) in opened:
                        sock.close()  # two spellings of one address
                    else:
                        opened[name_of(sock)] = sock, address
            self._check()
        except BaseException:
            close(sock for sock, _ in opened.values())
            await self._keep_only_mine()
            raise
        return opened

    def _check(self) -> None:
        if self._closed:  # while the sockets were opened
            raise OSError("listen: the gateway is stopping")

    def close(self) -> None:
        """Accept nothing more; accepted connections stay open."""
        self._closed = True
        self._end(sock for sock, _ in self._open.values())
        self._open.clear()
        self._own.close()

    def _end(self, sockets: Iterable[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        for sock in sockets:
            loop.remove_reader(sock.fileno())
            resting = self._resting.pop(sock, None)
            if resting is not None:
                resting.cancel()
            sock.close()

    def _take(self, listener: socket.socket, address: Address) -> None:
        for _ in range(_PER_TURN):
            try:
                sock, peer = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _ABORTED:
                    continue
                if error.errno == errno.EINVAL:  # it listens no more: its owner has closed it
                    asyncio.get_running_loop().remove_reader(listener.fileno())
                    return
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
                self.connect(accepted, sock)

    def connect(self, accepted: Accepted, sock: socket.socket) -> None:
        """Give ``sock``, a connection, to its protocol; a connection that has ended meanwhile is closed."""
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
        if (more := self._throttle.due()) is not None:
            _log.error("%s%s", text, more, exc_info=exc_info)

    def _resume(self, listener: socket.socket, address: Address) -> None:
        del self._resting[listener]
        asyncio.get_running_loop().add_reader(listener.fileno(), self._take, listener, address)
