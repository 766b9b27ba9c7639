"""The addresses of a name, and how long they are valid.

c-ares reads the hosts file and the search list as the resolver of the system does, and reports the time to live of an
answer, which getaddrinfo does not. A name that it does not know is resolved by getaddrinfo, because the system may have
further sources (nsswitch.conf), such as a directory of the local network.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pycares import AddrInfoResult, Channel


class Answer(NamedTuple):
    """``ttl``: seconds that ``addresses`` are valid; None: not known."""

    addresses: tuple[str, ...]
    ttl: int | None = None


class Resolver:
    """Resolves names by the name servers of the system, or by those of ``servers`` at ``port``."""

    def __init__(self, servers: Sequence[str] | None = None, port: int = 53) -> None:
        self._servers = servers
        self._port = port
        self._channel: Channel | None = None

    async def __call__(self, host: str) -> Answer:
        """Both families. Raises OSError."""
        from pycares import errno  # here, because most gateways expand no name

        found, error = await self._found(host)
        if found is None:
            if error not in (errno.ARES_ENODATA, errno.ARES_ENOTFOUND):
                raise OSError(errno.strerror(error))
            return await _by_system(host)
        addresses = tuple(_text(node.addr[0]) for node in found.nodes)
        # The hosts file has no time to live; it is reported as 0, as that of an answer that may not be cached.
        return Answer(addresses, min((node.ttl for node in found.nodes), default=0) or None)

    async def aclose(self) -> None:
        """Give up what runs. Later resolutions are made by a new channel."""
        if self._channel is not None:
            channel, self._channel = self._channel, None
            channel.close()

    async def _found(self, host: str) -> tuple[AddrInfoResult | None, int]:
        """What c-ares has found, or None and the number of its error."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[tuple[AddrInfoResult | None, int]] = loop.create_future()

        def end(found: AddrInfoResult | None, error: int | None) -> None:
            if not ended.done():
                ended.set_result((found, error or 0))

        def on_end(found: AddrInfoResult | None, error: int | None) -> None:
            """In a thread of c-ares."""
            if not loop.is_closed():
                loop.call_soon_threadsafe(end, found, error)

        family, kind = socket.AF_UNSPEC, socket.SOCK_STREAM
        self._made().getaddrinfo(host, None, family=family, type=kind, callback=on_end)
        return await ended

    def _made(self) -> Channel:
        if self._channel is None:
            # c-ares itself, because aiohttp resolves every name by aiodns once that is installed.
            from pycares import Channel

            self._channel = Channel(servers=self._servers, udp_port=self._port, tcp_port=self._port)
        return self._channel


async def _by_system(host: str) -> Answer:
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return Answer(tuple(str(address[4][0]) for address in found))


def _text(address: bytes | str) -> str:
    return address.decode() if isinstance(address, bytes) else address
