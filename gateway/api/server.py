"""The listener of the API: its address, its connections and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from aiohttp import web

from gateway.admin.seats import Seats
from gateway.admin.service import Administration
from gateway.api.app import application
from gateway.api.call import Health
from gateway.api.connection import Connection
from gateway.api.socket_file import SocketFile
from gateway.api.times import TIMES, Times
from gateway.api.tls import CurrentContext, Handshake
from gateway.config import places
from gateway.config.records import Tls
from gateway.core.address import Address, UnixSocket
from gateway.core.tasks import Tasks

_BACKLOG: Final = 512
"""Connections that the kernel keeps until they are accepted: a burst must not cost a caller a second of waiting."""


def _no_tls() -> None:
    return None


class AdminListener:
    """The API on one address. Closed until `start`. ``seats``: how many connections it holds, and of whom."""

    def __init__(
        self,
        administration: Administration,
        health: Health,
        where: Address | UnixSocket,
        hosts: Iterable[str] = (),
        times: Times = TIMES,
        seats: Seats | None = None,
        tls: Callable[[], Tls | None] = _no_tls,
    ) -> None:
        """``tls``: the current settings, with one certificate. Whether there is TLS is decided here once.

        Raises OSError for a certificate that cannot be used.
        """
        self._where = where
        self._file = SocketFile(where.path) if isinstance(where, UnixSocket) else None
        self._times = times
        self._seats = Seats() if seats is None else seats
        self._context = CurrentContext(tls)
        self._handshakes = Tasks()
        self._sockets: asyncio.Server | None = None
        own = {where.host} if isinstance(where, Address) else set()
        self._runner = web.AppRunner(
            application(administration, health, {*hosts, *own}, times),
            handle_signals=False,
            shutdown_timeout=times.shutdown,
            handler_cancellation=False,
        )

    async def start(self) -> None:
        """Raises OSError when the address cannot be opened."""
        await self._runner.setup()
        try:
            self._sockets = await self._open()
        except OSError as error:
            await self.aclose()
            raise places.admin_failure(self._where, error) from None

    async def _open(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        if self._file is not None:
            return await loop.create_unix_server(self._accept, sock=self._file.open(), backlog=_BACKLOG)
        assert isinstance(self._where, Address)
        host, port = self._where.host, self._where.port
        return await loop.create_server(self._accept, host, port, reuse_address=True, backlog=_BACKLOG)

    def _accept(self) -> asyncio.Protocol:
        server = self._runner.server
        assert server is not None
        if not self._context.on:
            return Connection(server, self._times, self._seats)
        return Handshake(
            lambda seat: Connection(server, self._times, self._seats, seat),
            self._context.get(),
            self._seats,
            self._times.head,
            self._handshakes,
        )

    @property
    def url(self) -> str:
        """Where it listens, as ``--server`` of the commands takes it; with the actual port when it is 0 in the file."""
        if isinstance(self._where, UnixSocket):
            return str(self._where)
        opened = self._sockets.sockets if self._sockets is not None else ()
        host, port = opened[0].getsockname()[:2] if opened else (self._where.host, self._where.port)
        return Address(host, port).url("https" if self._context.on else "http")

    async def aclose(self) -> None:
        """Accept no more connections, let requests finish for a moment, cut the rest."""
        if self._sockets is not None:
            self._sockets.close()
        if self._file is not None:
            self._file.remove()
        await self._handshakes.aclose()
        await self._runner.cleanup()
        if self._sockets is not None:
            await self._sockets.wait_closed()
