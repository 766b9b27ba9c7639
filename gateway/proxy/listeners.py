"""The listening sockets of the data plane."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable

from gateway.config.document import Address

_BACKLOG = 4096


class Listeners:
    """Every connection that comes in gets the protocol that ``accept`` makes."""

    def __init__(self, accept: Callable[[], asyncio.BaseProtocol]) -> None:
        self._accept = accept
        self._open: dict[Address, asyncio.Server] = {}

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """(host, port) of every open socket."""
        sockets: list[socket.socket] = [s for listener in self._open.values() for s in listener.sockets]
        return [s.getsockname()[:2] for s in sockets]

    async def listen(self, addresses: Iterable[Address]) -> None:
        """Listen on exactly these; what is open already stays open. Raises OSError, changing nothing."""
        wanted = list(dict.fromkeys(addresses))
        opened: dict[Address, asyncio.Server] = {}
        try:
            for address in wanted:
                if address not in self._open:
                    opened[address] = await self._listen(address)
        except BaseException:
            for listener in opened.values():
                listener.close()
            raise
        for address in self._open.keys() - set(wanted):
            self._open.pop(address).close()
        self._open.update(opened)

    def close(self) -> None:
        """Accept nothing more; connections that were accepted live on."""
        for listener in self._open.values():
            listener.close()
        self._open.clear()

    async def _listen(self, address: Address) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(
            self._accept, address.host or None, address.port, backlog=_BACKLOG, reuse_address=True
        )
