"""`HardenedConnector`: aiohttp dials, our protocol speaks.

`aiohttp.TCPConnector` resolves names (with a cache) and tunnels through proxies. Its pool stays empty: `Pool` keeps
idle connections, because aiohttp's has neither caps on idle connections nor LIFO order. A connection without a tunnel
is opened here on the addresses that aiohttp resolved: aiohttp's own way to it costs more than the exchange
(260 us of the 400 that a dial took). A contract test watches the private members that this uses.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import os
import socket
import ssl
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Any, cast

import aiohappyeyeballs
import aiohttp
from aiohappyeyeballs import AddrInfoType
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from multidict import CIMultiDict
from yarl import URL

from gateway import errors
from gateway.config.document import Timeouts
from gateway.errors import GatewayError
from gateway.upstream.forward_proxy import forward_proxy
from gateway.upstream.guard import Guard
from gateway.upstream.origin import Origin
from gateway.upstream.shortage import Shortages
from gateway.wire.buffers import BufferPool
from gateway.wire.h1.client import H1Client
from gateway.wire.h1.head import HeadParser
from gateway.wire.tls import TlsLayer

_KEEPALIVE_SECONDS = 30
_DNS_TTL_SECONDS = 10
_NO_TIMEOUT = 10.0 * 365 * 86400
"""Seconds; event loops want a number for the TLS handshake."""


_SAY_NOTHING_OF_THE_ADDRESS = (errors.LOCAL_RESOURCES, errors.UPSTREAM_DENIED, errors.DNS_FAILED)
"""After any other failure of a dial the name is resolved again for the next: it may lead elsewhere by now."""


class _DialTimeoutError(Exception):
    """No address accepted a TCP connection in time."""


class _Attempts:
    """The addresses that one dial tried, and how each failed: `aiohappyeyeballs` keeps no more than a text of it.

    To `aiohappyeyeballs` it is the socket factory and the event loop, of which it uses ``sock_connect`` alone.
    """

    __slots__ = ("_loop", "failures")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.failures: list[OSError] = []

    async def first_of(
        self, addresses: list[AddrInfoType], delay: float | None, interleave: int | None
    ) -> socket.socket:
        """A TCP connection to whichever of ``addresses`` answers first (RFC 8305). Raises OSError."""
        if len(addresses) > 1:
            return await aiohappyeyeballs.start_connection(
                addr_infos=addresses,
                happy_eyeballs_delay=delay,
                interleave=interleave,
                loop=cast(asyncio.AbstractEventLoop, self),
                socket_factory=self._socket,
            )
        sock = self._socket(addresses[0])
        try:
            sock.setblocking(False)
            await self.sock_connect(sock, addresses[0][4])
        except BaseException:
            sock.close()
            raise
        return sock

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        # Not loop.sock_connect: in uvloop it costs more than all the rest of a dial.
        failure = sock.connect_ex(address)
        if failure == errno.EINPROGRESS:
            connected = self._loop.create_future()
            try:
                self._loop.add_writer(sock, _resolve, connected)
            except OSError as error:
                self.failures.append(error)
                raise
            try:
                await connected
            finally:
                self._loop.remove_writer(sock)
            failure = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failure:
            refusal = OSError(failure, os.strerror(failure))
            self.failures.append(refusal)
            raise refusal

    def _socket(self, addr_info: tuple[Any, ...]) -> socket.socket:
        try:
            return _hardened_socket(addr_info)
        except OSError as error:
            self.failures.append(error)
            raise


def _hardened_socket(addr_info: tuple[Any, ...]) -> socket.socket:
    """A socket whose dead peers are noticed: TCP keep-alive after 30 s of silence."""
    family, kind, protocol, *_ = addr_info
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_SECONDS)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_SECONDS)
    except BaseException:
        made.close()
        raise
    return made


def _addr_info(host: str, port: int) -> AddrInfoType:
    """``host`` is an IP address; the zone behind an IPv6 one is a name or a number (RFC 4007 11). Raises OSError."""
    address, _, zone = host.partition("%")
    if ":" not in address:
        return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)
    try:
        scope = int(zone) if zone.isdigit() else socket.if_nametoindex(zone) if zone else 0
    except OSError:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None
    return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, scope)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def tls_context() -> ssl.SSLContext:
    """Verifies certificates and names against the system's authorities; HTTP/1.1 by ALPN."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    # A renegotiation (TLS 1.2 and before) would make a write wait for a read; it serves client certificates alone.
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


class HardenedConnector(aiohttp.TCPConnector):
    """Opens connections to one endpoint with the timeouts of one proxy."""

    def __init__(
        self,
        endpoint: Origin,
        timeouts: Timeouts,
        buffers: BufferPool,
        parser: HeadParser,
        tls: ssl.SSLContext,
        shortages: Shortages | None = None,
        guard: Guard | None = None,
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
        self._dial_timeout = timeouts.dial or None
        self._tls_timeout = timeouts.tls_handshake or _NO_TIMEOUT
        self._buffers = buffers
        self._parser = parser
        self._shortages = Shortages() if shortages is None else shortages
        self._guard = Guard() if guard is None else guard
        self.absolute_form = b""
        """Set before the target when a forward proxy takes plain requests (RFC 9112 3.2.2)."""
        self.proxy_fields: list[tuple[bytes, bytes]] = []
        """What that proxy wants to see in each request."""
        self._peer = endpoint
        """Whom we open a connection to: the endpoint, or the forward proxy on the way to it."""
        self._tunnel: ClientRequest | None = None
        self.proxy = proxy = forward_proxy(endpoint)
        """The forward proxy on the way."""
        self._proxied = proxy is not None
        if proxy is not None:
            self._peer = Origin.of(proxy.url)
            credentials: dict[str, str] = {}
            if proxy.credentials:
                pair = base64.b64encode(":".join(proxy.credentials).encode()).decode()
                credentials = {"Proxy-Authorization": f"Basic {pair}"}
            if endpoint.scheme == "https":
                self._tunnel = ClientRequest(
                    "GET",
                    URL(endpoint.url),
                    loop=self._loop,
                    proxy=URL(proxy.url),
                    proxy_headers=CIMultiDict(credentials),
                    ssl=tls,
                )
            else:
                self.absolute_form = endpoint.url.encode()
                self.proxy_fields = [(name.encode(), value.encode()) for name, value in credentials.items()]
        self._tls = tls
        self._secure = self._peer.scheme == "https" and self._tunnel is None
        self._named = not self._peer.is_address
        self.current: frozenset[str] | None = None
        """The addresses that the peer's name had when it was last resolved; None: nothing is resolved."""
        self.stale_at = 0.0 if self._named else inf
        """When that is to be looked at again (monotonic clock)."""
        self.on_moved: Callable[[], object] = lambda: None
        """Called when `current` has changed."""
        self._following: asyncio.Task[None] | None = None

    def _make(self) -> H1Client:
        return H1Client(self._loop, self._buffers, self._parser)

    async def dial(self) -> H1Client:
        """Open a connection.

        Raises `GatewayError`: ``dial_failed``, ``dial_timeout``, ``dns_failed``, ``local_resources``, ``tls_failed``,
        ``tls_timeout``, ``upstream_denied``.
        """
        try:
            return await self._dial()
        except GatewayError as error:
            if self._named and error.reason not in _SAY_NOTHING_OF_THE_ADDRESS:
                self.clear_dns_cache(self._peer.host, self._peer.port)
            raise

    async def _dial(self) -> H1Client:
        try:
            if self._proxied:  # the proxy resolves the name: only an address can be checked here
                self._guard.check(self.endpoint)
            if self._tunnel is not None:
                return await self._dial_through(self._tunnel)
            sock = await self._connect_to_peer()
            connection = self._make()
            if self._secure:
                layer = self._tls_layer(self._peer.name, connection)
                await self._loop.create_connection(lambda: layer.protocol, sock=sock)
                await self._opened(layer)
            else:
                await self._loop.create_connection(lambda: connection.protocol, sock=sock)
        except (TimeoutError, _DialTimeoutError):
            raise GatewayError(errors.DIAL_TIMEOUT) from None
        except aiohttp.ClientConnectorDNSError as error:
            raise self._failure_to_resolve(error.os_error) from None
        except (aiohttp.ClientSSLError, ssl.SSLError):
            raise GatewayError(errors.TLS_FAILED) from None
        except (OSError, MemoryError) as error:
            raise self._failure(error) from None
        except aiohttp.ClientError:
            raise GatewayError(errors.DIAL_FAILED) from None
        return connection

    def _tls_layer(self, server_name: str, connection: H1Client) -> TlsLayer:
        return TlsLayer(self._loop, self._buffers, self._tls, server_name, connection)

    async def _opened(self, layer: TlsLayer) -> None:
        """Wait for the handshake; raises ``tls_failed``, ``tls_timeout``."""
        try:
            async with asyncio.timeout(self._tls_timeout):
                await layer.opened()
        except TimeoutError:
            layer.abort()
            raise GatewayError(errors.TLS_TIMEOUT) from None
        except (ssl.SSLError, ConnectionError):
            raise GatewayError(errors.TLS_FAILED) from None
        except asyncio.CancelledError:
            layer.abort()
            raise

    async def _connect_to_peer(self) -> socket.socket:
        try:
            async with asyncio.timeout(self._dial_timeout):
                return await self._connect(await self._addresses())
        except TimeoutError:
            raise _DialTimeoutError from None

    async def _addresses(self) -> list[AddrInfoType]:
        """Where the peer is. A forward proxy was named by the operator: it may be anywhere."""
        host, port = self._peer.host, self._peer.port
        if not self._named:
            found = [_addr_info(host, port)]
        else:
            try:
                hosts = await self._resolve_host(host, port)
            except OSError as error:  # resolvers differ: the system's raises gaierror, aiodns a bare OSError
                raise self._failure_to_resolve(error) from None
            found = [_addr_info(each["host"], each["port"]) for each in hosts]
        try:
            permitted = found if self._proxied else self._guard.permitted(self._target, found)
        except GatewayError:
            self._learn([])
            raise
        self._learn(permitted)
        return permitted

    def _learn(self, addresses: list[AddrInfoType]) -> None:
        """The name has these addresses now, be it from the cache."""
        if not self._named:
            return
        now = monotonic()
        if now >= self.stale_at:
            self.stale_at = now + _DNS_TTL_SECONDS
        current = frozenset(address[4][0] for address in addresses)
        if current != self.current:
            self.current = current
            self.on_moved()

    def follow(self) -> None:
        """Resolve the name again, in the background: the connections that are open should not outlive its change."""
        if self._following is None:
            # At once: until the name is resolved nobody is to ask for the same again.
            self.stale_at = monotonic() + _DNS_TTL_SECONDS
            self._following = asyncio.get_running_loop().create_task(self._follow(), name=f"resolve {self._peer.host}")

    async def _follow(self) -> None:
        try:
            self.clear_dns_cache(self._peer.host, self._peer.port)
            async with asyncio.timeout(_DNS_TTL_SECONDS):
                await self._addresses()
        except (GatewayError, OSError):
            pass  # nobody waits for it, and a resolver that is away says nothing about the name
        finally:
            self._following = None

    def address_of(self, connection: H1Client) -> str:
        """The IP address that it leads to, as it stands in `current`; empty when it is lost already."""
        peer = None if connection.transport is None else connection.transport.get_extra_info("peername")
        return str(peer[0]).partition("%")[0] if peer else ""

    async def aclose(self) -> None:
        """Stop following the name, and give back what aiohttp holds."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self.close()

    async def _connect(self, addresses: list[AddrInfoType]) -> socket.socket:
        """A TCP connection to whichever of ``addresses`` answers first.

        Raises OSError, or `GatewayError` ``local_resources`` when no attempt failed by the fault of another.
        """
        attempts = _Attempts(self._loop)
        try:
            return await attempts.first_of(addresses, self._happy_eyeballs_delay, self._interleave)
        except OSError:
            short = self._shortages.failure(self._target, attempts.failures)
            if short is not None:
                raise short from None
            raise

    async def _dial_through(self, tunnel: ClientRequest) -> H1Client:
        """A CONNECT is spoken by aiohttp's own protocol; ours takes the transport over afterwards."""
        limits = aiohttp.ClientTimeout(total=self._tls_timeout, connect=None, sock_connect=None)
        async with asyncio.timeout(self._dial_timeout and self._dial_timeout + self._tls_timeout):
            lease = await self.connect(tunnel, [], limits)
        transport, theirs = lease.transport, lease.protocol
        if transport is None or theirs is None:
            lease.close()
            raise GatewayError(errors.DIAL_FAILED)
        ours = self._make()
        layer = self._tls_layer(self.endpoint.name, ours)
        transport.set_protocol(layer.protocol)
        theirs.connection_lost(None)  # so that closing aiohttp's account does not close the transport
        lease.close()
        layer.connection_made(transport)
        await self._opened(layer)
        return ours

    async def _start_tls_connection(
        self, underlying_transport: asyncio.Transport, *args: Any, **kwargs: Any
    ) -> tuple[asyncio.BaseTransport, ResponseHandler]:
        """What aiohttp calls when its CONNECT has succeeded: TLS with the endpoint is a `TlsLayer`'s matter."""
        theirs = ResponseHandler(self._loop)
        theirs.connection_made(underlying_transport)
        return underlying_transport, theirs

    @property
    def _target(self) -> str:
        return f"{self._peer.host}:{self._peer.port}"

    def _failure_to_resolve(self, error: OSError) -> GatewayError:
        return self._shortages.failure_to_resolve(self._target, error) or GatewayError(errors.DNS_FAILED)

    def _failure(self, error: OSError | MemoryError) -> GatewayError:
        cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        return self._shortages.failure(self._target, [cause]) or GatewayError(self._reason(cause))

    def _reason(self, cause: BaseException) -> errors.Reason:
        if isinstance(cause, _DialTimeoutError | TimeoutError):
            return errors.DIAL_TIMEOUT
        return errors.DIAL_FAILED

    async def _wrap_create_connection(self, *args: Any, **kwargs: Any) -> Any:
        """aiohttp has one timeout for TCP to a proxy and TLS with the endpoint; here each has its own."""
        if kwargs.get("ssl"):
            kwargs["ssl_handshake_timeout"] = self._tls_timeout
        addr_infos = kwargs.pop("addr_infos")
        request = kwargs.pop("req")
        failed = kwargs.pop("client_error", aiohttp.ClientConnectorError)
        kwargs.pop("timeout", None)
        try:
            async with asyncio.timeout(self._dial_timeout):
                sock = await self._connect(addr_infos)
        except TimeoutError:
            addr_infos.clear()
            raise _DialTimeoutError from None
        except OSError as error:
            addr_infos.clear()
            raise failed(request.connection_key, error) from error
        return await self._loop.create_connection(*args, **kwargs, sock=sock)
