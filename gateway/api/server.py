"""The listener of the API: its address, its connections and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from aiohttp import web

from gateway.admin.seats import Seats
from gateway.admin.service import Administration
from gateway.api.app import application
from gateway.api.call import Health
from gateway.api.connection import Connection
from gateway.api.times import TIMES, Times
from gateway.config import places
from gateway.core.address import Address

_BACKLOG: Final = 512
"""Connections that the kernel keeps until they are accepted: a burst must not cost a caller a second of waiting."""


class AdminListener:
    """The API on one address. Closed until `start`. ``seats``: how many connections it holds, and of whom."""

    def __init__(
        self,
        administration: Administration,
        health: Health,
        host: str,
        port: int,
        hosts: Iterable[str] = (),
        times: Times = TIMES,
        seats: Seats | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._times = times
        self._seats = seats or Seats()
        self._sockets: asyncio.Server | None = None
        self._runner = web.AppRunner(
            application(administration, health, {*hosts, host}, times),
            handle_signals=False,
            shutdown_timeout=times.shutdown,
            handler_cancellation=False,
        )

    async def start(self) -> None:
        """Raises OSError when the address cannot be opened."""
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        loop = asyncio.get_running_loop()
        try:
            self._sockets = await loop.create_server(
                lambda: Connection(server, self._times, self._seats),
                self._host,
                self._port,
                reuse_address=True,
                backlog=_BACKLOG,
            )
        except OSError as error:
            await self.aclose()
            raise places.listen_failure("admin.listen", self._host, self._port, error) from None

    @property
    def url(self) -> str:
        """Where it listens; with the actual port when the configured one is 0."""
        opened = self._sockets.sockets if self._sockets is not None else ()
        host, port = opened[0].getsockname()[:2] if opened else (self._host, self._port)
        return Address(host, port).url()

    async def aclose(self) -> None:
        """Accept no more connections, let requests finish for a moment, cut the rest."""
        if self._sockets is not None:
            self._sockets.close()
        await self._runner.cleanup()
        if self._sockets is not None:
            await self._sockets.wait_closed()
