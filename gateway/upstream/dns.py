"""The addresses of a name, and how long they are valid.

c-ares reads the hosts file and the search list as the resolver of the system does, and reports the time to live of an
answer, which getaddrinfo does not. A name that it does not know is resolved by getaddrinfo, because the system may have
further sources (nsswitch.conf), such as a directory of the local network.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from aiodns import DNSResolver

_UNKNOWN: Final = (1, 4)
"""ARES_ENODATA, ARES_ENOTFOUND: DNS has no such name, or no address of it."""


class Answer(NamedTuple):
    """``ttl``: seconds that ``addresses`` are valid; None: not known."""

    addresses: tuple[str, ...]
    ttl: int | None = None


class Resolver:
    """Resolves names by the name servers of the system, or by those of ``servers`` at ``port``."""

    def __init__(self, servers: Sequence[str] | None = None, port: int = 53) -> None:
        self._servers = servers
        self._port = port
        self._resolver: DNSResolver | None = None

    async def __call__(self, host: str) -> Answer:
        """Both families. Raises OSError."""
        from aiodns.error import DNSError  # here, because most gateways expand no name

        try:
            found = await self._made().getaddrinfo(host, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM)
        except DNSError as error:
            code, *words = error.args
            if code not in _UNKNOWN:
                raise OSError(str(words[0]) if words else "the name servers do not respond") from None
            return await _by_system(host)
        addresses = tuple(_text(node.addr[0]) for node in found.nodes)
        # The hosts file has no time to live; it is reported as 0, as that of an answer that may not be cached.
        return Answer(addresses, min((node.ttl for node in found.nodes), default=0) or None)

    async def aclose(self) -> None:
        """Give up what runs. Later resolutions are made by a new resolver."""
        if self._resolver is not None:
            resolver, self._resolver = self._resolver, None
            await resolver.close()

    def _made(self) -> DNSResolver:
        if self._resolver is None:
            from aiodns import DNSResolver

            self._resolver = DNSResolver(self._servers, udp_port=self._port, tcp_port=self._port)
        return self._resolver


async def _by_system(host: str) -> Answer:
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return Answer(tuple(str(address[4][0]) for address in found))


def _text(address: bytes | str) -> str:
    return address.decode() if isinstance(address, bytes) else address
