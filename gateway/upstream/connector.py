"""`HardenedConnector`: aiohttp dials, our protocol speaks.

`aiohttp.TCPConnector` resolves names (with a cache), races addresses (RFC 8305), opens TLS and tunnels through proxies.
Its pool stays empty: `Pool` keeps idle connections, because aiohttp's has neither caps on idle connections nor LIFO
order. Two of its private members are overridden or replaced, ``_factory`` and ``_wrap_create_connection``; a
contract test watches both.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
from typing import Any

import aiohappyeyeballs
import aiohttp
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from multidict import CIMultiDict
from yarl import URL

from gateway import errors
from gateway.config.document import Timeouts
from gateway.errors import GatewayError
from gateway.upstream.endpoint import Endpoint, proxy_from_environment
from gateway.wire.buffers import BufferPool
from gateway.wire.head import HeadParser
from gateway.wire.upstream import UpstreamConnection

_KEEPALIVE_SECONDS = 30
_DNS_TTL_SECONDS = 10


Lease = Connection
"""aiohttp's account of a connection: to be closed when the connection is."""


class _DialTimeoutError(Exception):
    """No address accepted a TCP connection in time."""


def _hardened_socket(addr_info: tuple[Any, ...]) -> socket.socket:
    """A socket whose dead peers are noticed: TCP keep-alive after 30 s of silence."""
    family, kind, protocol, *_ = addr_info
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_SECONDS)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_SECONDS)
    return made


def tls_context() -> ssl.SSLContext:
    """Verifies certificates and names against the system's authorities; HTTP/1.1 by ALPN."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class HardenedConnector(aiohttp.TCPConnector):
    """Opens connections to one endpoint with the timeouts of one proxy."""

    def __init__(
        self, endpoint: Endpoint, timeouts: Timeouts, buffers: BufferPool, parser: HeadParser, tls: ssl.SSLContext
    ) -> None:
        if os.environ.get("AIOHTTP_NO_EXTENSIONS"):
            raise RuntimeError(
                "AIOHTTP_NO_EXTENSIONS is set: the gateway does not run on aiohttp's pure-Python parsers"
            )
        super().__init__(
            limit=0,
            ssl=tls,
            ttl_dns_cache=_DNS_TTL_SECONDS,
            socket_factory=_hardened_socket,
        )
        self.endpoint = endpoint
        self._dial_timeout = timeouts.dial
        self._tls_timeout = timeouts.tls_handshake or 3600.0
        self._buffers = buffers
        self._parser = parser
        proxy = proxy_from_environment(endpoint)
        self.absolute_form = b""
        """Set before the target when a forward proxy takes plain requests (RFC 9112 3.2.2)."""
        self.proxy_fields: list[tuple[bytes, bytes]] = []
        """What that proxy wants to see in each request."""
        self._tunnel = proxy is not None and endpoint.scheme == "https"
        credentials: dict[str, str] = {}
        if proxy is not None and proxy.credentials:
            pair = base64.b64encode(":".join(proxy.credentials).encode()).decode()
            credentials = {"Proxy-Authorization": f"Basic {pair}"}
        if proxy is not None and not self._tunnel:
            self.absolute_form = endpoint.origin.encode()
            self.proxy_fields = [(name.encode(), value.encode()) for name, value in credentials.items()]
        if not self._tunnel:
            # A CONNECT is spoken by aiohttp's own protocol; ours takes the transport over afterwards.
            self._factory = self._make  # type: ignore[assignment]
        self._request = ClientRequest(
            "GET",
            URL(endpoint.origin),
            loop=self._loop,
            proxy=URL(proxy.url) if proxy else None,
            proxy_headers=CIMultiDict(credentials),
            ssl=tls,
        )
        budget = self._dial_timeout + (self._tls_timeout if endpoint.scheme == "https" else 0.0)
        self._budget = budget if self._dial_timeout else None
        self._client_timeout = aiohttp.ClientTimeout(total=self._tls_timeout, connect=None, sock_connect=None)

    def _make(self) -> UpstreamConnection:
        return UpstreamConnection(self._loop, self._buffers, self._parser)

    async def dial(self) -> tuple[UpstreamConnection, Lease]:
        """Open a connection; the lease must be closed when the connection is.

        Raises `GatewayError`: ``dial_failed``, ``dial_timeout``, ``dns_failed``, ``tls_failed``, ``tls_timeout``.
        """
        try:
            async with asyncio.timeout(self._budget):
                lease = await self.connect(self._request, [], self._client_timeout)
        except (TimeoutError, _DialTimeoutError):
            raise GatewayError(errors.DIAL_TIMEOUT) from None
        except aiohttp.ClientConnectorDNSError:
            raise GatewayError(errors.DNS_FAILED) from None
        except (aiohttp.ClientSSLError, ssl.SSLError):
            raise GatewayError(errors.TLS_FAILED) from None
        except OSError as error:
            raise GatewayError(self._reason(error)) from None
        except aiohttp.ClientError:
            raise GatewayError(errors.DIAL_FAILED) from None
        connection: Any = lease.protocol
        if not self._tunnel:
            return connection, lease
        transport = lease.transport
        if transport is None:
            lease.close()
            raise GatewayError(errors.DIAL_FAILED)
        connection = self._make()
        transport.set_protocol(connection)
        connection.connection_made(transport)
        return connection, lease

    def _reason(self, error: OSError) -> errors.Reason:
        cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        if isinstance(cause, _DialTimeoutError | TimeoutError):
            return errors.DIAL_TIMEOUT
        if self.endpoint.scheme == "https" and isinstance(cause, ConnectionAbortedError):
            return errors.TLS_TIMEOUT  # what asyncio and uvloop raise when ssl_handshake_timeout has passed
        if self.endpoint.scheme == "https" and isinstance(cause, ConnectionResetError):
            return errors.TLS_FAILED
        return errors.DIAL_FAILED

    async def _wrap_create_connection(self, *args: Any, **kwargs: Any) -> Any:
        """aiohttp has one timeout for TCP and TLS together; here each has its own."""
        if kwargs.get("ssl"):
            kwargs["ssl_handshake_timeout"] = self._tls_timeout
        addr_infos = kwargs["addr_infos"]
        try:
            async with asyncio.timeout(self._dial_timeout or None):
                sock = await aiohappyeyeballs.start_connection(
                    addr_infos=addr_infos,
                    happy_eyeballs_delay=self._happy_eyeballs_delay,
                    interleave=self._interleave,
                    loop=self._loop,
                    socket_factory=self._socket_factory,
                )
        except TimeoutError:
            addr_infos.clear()
            raise _DialTimeoutError from None
        except OSError as error:
            addr_infos.clear()
            raise kwargs.get("client_error", aiohttp.ClientConnectorError)(
                kwargs["req"].connection_key, error
            ) from error
        for ours in ("addr_infos", "req", "timeout", "client_error"):
            kwargs.pop(ours, None)
        return await self._loop.create_connection(*args, **kwargs, sock=sock)
