"""Where a driver may connect to: a name is resolved, and all of its addresses must be permitted."""

from __future__ import annotations

import asyncio
import socket

from gateway.config.networks import Destinations
from gateway.connectors.connector import ForbiddenError


async def permitted(host: str, port: int, destinations: Destinations) -> str:
    """The first address of ``host``. Raises OSError when it has none, `ForbiddenError` when one is denied.

    A driver dials the address where there is no TLS, so that the name cannot lead elsewhere in the meantime. With TLS
    it dials the name, which the certificate of the server must hold.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(each[4][0]) for each in found]
    for address in addresses:
        if destinations.denial(address, port):
            raise ForbiddenError
    return addresses[0]
