"""Requests that the gateway makes on its own account, to identity providers: all go by one way.

That is by the forward proxy that the environment names for upstreams, and only to addresses that upstreams may have.
"""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from gateway.config.networks import Destinations

if TYPE_CHECKING:
    import socket

    from gateway.upstream.forward_proxy import ForwardProxy

# Rooms of the data plane are imported where they are used: a control process without such connections has none.


class DeniedError(OSError):
    """The gateway itself does not connect there. The text does not say what a name resolves to."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "the address is denied by upstream_networks")


class Outbound:
    """``seconds``: for a whole exchange. ``destinations``: the addresses that may be dialled, as they are now."""

    def __init__(self, seconds: float, destinations: Callable[[], Destinations] = Destinations) -> None:
        self._seconds = seconds
        self._destinations = destinations
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        """Whether it goes by a forward proxy, and the session."""

    @asynccontextmanager
    async def exchange(
        self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request; no redirect is followed, and no cookie kept.

        Raises `DeniedError`, aiohttp.ClientError, TimeoutError, ValueError, and OSError for a variable of a forward
        proxy that cannot be used.
        """
        from gateway.upstream.forward_proxy import forward_proxy
        from gateway.upstream.origin import Origin

        if self._destinations().denial_of_url(url):
            raise DeniedError
        proxy = forward_proxy(Origin.of(url))
        try:
            async with self._session(proxied=proxy is not None).request(
                method,
                url,
                data=body,
                headers=headers,
                allow_redirects=False,
                proxy=None if proxy is None else proxy.url,
                proxy_headers=_credentials(proxy),
            ) as response:
                yield response
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, DeniedError):
                raise error.os_error from None
            raise

    async def aclose(self) -> None:
        for session in self._sessions.values():
            await session.close()

    def _session(self, *, proxied: bool) -> aiohttp.ClientSession:
        """A forward proxy was named by the operator: it may be anywhere."""
        from gateway.upstream.sockets import hardened_socket

        found = self._sessions.get(proxied)
        if found is None:
            # No connection is kept, because what is allowed may change: each one is checked as it is dialled.
            connector = aiohttp.TCPConnector(
                resolver=aiohttp.ThreadedResolver(),  # as connections to upstreams
                socket_factory=hardened_socket if proxied else self._socket,
                force_close=True,
            )
            found = self._sessions[proxied] = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=self._seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return found

    def _socket(self, addr_info: tuple[Any, ...]) -> socket.socket:
        """For an address that a name has at this moment."""
        from gateway.upstream.sockets import hardened_socket

        host, port, *_ = addr_info[4]
        if self._destinations().denial(host, port):
            raise DeniedError
        return hardened_socket(addr_info)


def _credentials(proxy: ForwardProxy | None) -> dict[str, str]:
    if proxy is None or proxy.credentials is None:
        return {}
    return {"Proxy-Authorization": aiohttp.encode_basic_auth(*proxy.credentials, encoding="utf-8")}
