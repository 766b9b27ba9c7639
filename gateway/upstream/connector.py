"""`HardenedConnector`: aiohttp dials, our protocol speaks.

`aiohttp.TCPConnector` resolves names (with a cache) and tunnels through proxies. Its pool stays empty: `Pool` keeps
idle connections, because aiohttp's has neither caps on idle connections nor LIFO order. A connection without a tunnel
is opened here on the addresses that aiohttp resolved: aiohttp's own way to it costs more than the exchange
(260 us of the 400 that a dial took). A contract test watches the private members that this uses.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Any

import aiohttp
from aiohappyeyeballs import AddrInfoType
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from multidict import CIMultiDict
from yarl import URL

from gateway import errors
from gateway.config.records import Timeouts
from gateway.errors import GatewayError
from gateway.upstream.forward_proxy import ForwardProxy, forward_proxy
from gateway.upstream.guard import Guard
from gateway.upstream.origin import Origin
from gateway.upstream.shortage import Shortages
from gateway.upstream.sockets import Attempts, addr_info, hardened_socket
from gateway.upstream.tls import EndpointTls, TlsFailures
from gateway.wire.buffers import BufferPool
from gateway.wire.connect import ConnectionMaker, Dialled, Http2, Memories
from gateway.wire.connections import ClientConnection, ClientSession
from gateway.wire.h1.head import HeadParser
from gateway.wire.tls_client import ClientTls

_DNS_TTL_SECONDS = 10
_NO_TIMEOUT = 10.0 * 365 * 86400
"""Seconds; event loops require a number for the TLS handshake."""
_SAY_NOTHING_OF_THE_ADDRESS = (errors.LOCAL_RESOURCES, errors.UPSTREAM_DENIED, errors.DNS_FAILED)
"""After any other failure of a dial the name is resolved again for the next: it may lead elsewhere by now."""


class _DialTimeoutError(Exception):
    """No address accepted a TCP connection in time."""


class HardenedConnector(aiohttp.TCPConnector):
    """Opens connections to one endpoint with the timeouts of its upstream."""

    def __init__(
        self,
        endpoint: Origin,
        timeouts: Timeouts,
        buffers: BufferPool,
        parser: HeadParser,
        tls: EndpointTls,
        shortages: Shortages | None = None,
        guard: Guard | None = None,
        http2: Http2 = "never",
        memories: Memories | None = None,
    ) -> None:
        _check_extensions()
        super().__init__(
            limit=0,
            ssl=tls.forward_proxy,
            # Always that of the system: another one, which aiohttp takes once aiodns is installed, ignores its sources.
            resolver=aiohttp.ThreadedResolver(),
            ttl_dns_cache=_DNS_TTL_SECONDS,
            socket_factory=hardened_socket,
        )
        self.endpoint = endpoint
        self._dial_timeout = timeouts.dial or None
        self._tls_timeout = timeouts.tls_handshake or _NO_TIMEOUT
        self._maker = ConnectionMaker(self._loop, buffers, parser, http2, memories)
        self._shortages = Shortages() if shortages is None else shortages
        self._guard = Guard() if guard is None else guard
        self.tls = tls
        self.only_http_1_1 = False  # True: HTTP/2 is no longer offered
        self.absolute_form = b""
        """Set before the target when a forward proxy takes plain requests (RFC 9112 3.2.2)."""
        self.proxy_fields: list[tuple[bytes, bytes]] = []
        """The field lines that this proxy requires in each request."""
        self._peer = endpoint
        """What we open a connection to: the endpoint, or the forward proxy on the way to it."""
        self._tunnel: ClientRequest | None = None
        self.proxy = forward_proxy(endpoint)
        """The forward proxy on the way."""
        if self.proxy is not None:
            self._go_through(self.proxy)
        self._tls_failures = TlsFailures(endpoint.url, self._peer.url)
        self._secure = self._peer.scheme == "https" and self._tunnel is None
        self._pinned = endpoint.address if self.proxy is None else ""  # dialled, whatever else the name has
        self._named = not self._peer.is_address and not self._pinned
        self.current: frozenset[str] | None = None
        """The addresses that the peer's name had when it was last resolved; None: nothing is resolved."""
        self.stale_at = 0.0 if self._named else inf
        """When the name is to be resolved again (monotonic clock)."""
        self.on_moved: Callable[[], object] = lambda: None
        """Called when `current` has changed."""
        self._following: asyncio.Task[None] | None = None

    def _go_through(self, proxy: ForwardProxy) -> None:
        """Reach the endpoint by way of ``proxy``: through a tunnel, or by requests in absolute form."""
        self._peer = Origin.of(proxy.url)
        credentials: dict[str, str] = {}
        if proxy.credentials:
            pair = base64.b64encode(":".join(proxy.credentials).encode()).decode()
            credentials = {"Proxy-Authorization": f"Basic {pair}"}
        if self.endpoint.scheme == "https":
            self._tunnel = ClientRequest(
                "GET",
                URL(self.endpoint.url),
                loop=self._loop,
                proxy=URL(proxy.url),
                proxy_headers=CIMultiDict(credentials),
                ssl=self.tls.forward_proxy,
            )
        elif self._maker.http2 == "always":
            raise OSError(
                f"{proxy.variable} names a forward proxy for {self.endpoint.url}, and HTTP/2 without TLS goes through "
                "none; write http2: never, or name the host in NO_PROXY"
            )
        else:
            self.absolute_form = self.endpoint.url.encode()
            self.proxy_fields = [(name.encode(), value.encode()) for name, value in credentials.items()]

    async def dial(self) -> ClientConnection:
        """Open a connection to an endpoint to which no HTTP/2 is spoken. Raises as `dial_any`."""
        connection = (await self.dial_any()).connection
        assert connection is not None, "HTTP/2 is spoken to this endpoint"
        return connection

    async def dial_any(self) -> Dialled:
        """Open a connection, in the protocol that the two sides agree on.

        Raises `GatewayError`: ``dial_failed``, ``dial_timeout``, ``dns_failed``, ``local_resources``, ``tls_failed``,
        ``tls_timeout``, ``upstream_bad_response``, ``upstream_denied``.
        """
        try:
            return await self._dial()
        except GatewayError as error:
            if self._named and error.reason not in _SAY_NOTHING_OF_THE_ADDRESS:
                self.clear_dns_cache(self._peer.host, self._peer.port)
            raise

    async def _dial(self) -> Dialled:
        try:
            if self.proxy is not None:  # the proxy resolves the name: only an address can be checked here
                self._guard.check(self.endpoint)
            if self._tunnel is not None:
                return await self._dial_through(self._tunnel)
            sock = await self._connect_to_peer()
            if self._secure:
                dialled, layer = self._secured()
                await self._loop.create_connection(lambda: layer.protocol, sock=sock)
                await self._opened(layer)
            else:
                dialled = plain = self._maker.plain()
                await self._loop.create_connection(lambda: plain.protocol, sock=sock)
            if dialled.session is not None:
                await self._greeted(dialled.session)
        except (TimeoutError, _DialTimeoutError):
            raise GatewayError(errors.DIAL_TIMEOUT) from None
        except aiohttp.ClientConnectorDNSError as error:
            raise self._failure_to_resolve(error.os_error) from None
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:  # a tunnel's forward proxy is spoken to over TLS
            self._tls_failures.with_forward_proxy(error)
            raise GatewayError(errors.TLS_FAILED) from None
        except (OSError, MemoryError) as error:
            raise self._failure(error) from None
        except aiohttp.ClientError:
            raise GatewayError(errors.DIAL_FAILED) from None
        return dialled

    async def _greeted(self, session: ClientSession) -> None:
        """Wait for the endpoint's SETTINGS: without them no one knows how many streams it allows."""
        try:
            async with asyncio.timeout(self._dial_timeout):
                await session.opened()
        except BaseException:
            session.abort()
            raise

    def _secured(self) -> tuple[Dialled, ClientTls]:
        """A connection with TLS to the endpoint, or to a forward proxy that takes plain requests over TLS."""
        if self._peer is self.endpoint or self._tunnel is not None:
            name = self.tls.server_name or self.endpoint.name
            dialled, layer = self._maker.secure(self.tls.of_endpoint(only_http_1_1=self.only_http_1_1), name)
            layer.on_failure = self._tls_failures.with_endpoint
        else:
            dialled, layer = self._maker.secure(self.tls.forward_proxy, self._peer.name)
            layer.on_failure = self._tls_failures.with_forward_proxy
        return dialled, layer

    async def _opened(self, layer: ClientTls) -> None:
        """Wait for the handshake; raises ``tls_failed``, ``tls_timeout``."""
        try:
            async with asyncio.timeout(self._tls_timeout):
                await layer.opened()
        except TimeoutError:
            layer.abort()
            raise GatewayError(errors.TLS_TIMEOUT) from None
        except (ssl.SSLError, ConnectionError) as error:
            layer.on_failure(error)
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
            found = [addr_info(self._pinned or host, port)]
        else:
            try:
                hosts = await self._resolve_host(host, port)
            except OSError as error:
                raise self._failure_to_resolve(error) from None
            found = [addr_info(each["host"], each["port"]) for each in hosts]
        try:
            permitted = found if self.proxy is not None else self._guard.permitted(self._target, found)
        except GatewayError:
            self._learn([])
            raise
        self._learn(permitted)
        return permitted

    def _learn(self, addresses: list[AddrInfoType]) -> None:
        """The name has these addresses now, possibly from the cache."""
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
            # At once: until the name is resolved no other caller may start the same query.
            self.stale_at = monotonic() + _DNS_TTL_SECONDS
            self._following = asyncio.get_running_loop().create_task(self._follow(), name=f"resolve {self._peer.host}")

    async def _follow(self) -> None:
        try:
            self.clear_dns_cache(self._peer.host, self._peer.port)
            async with asyncio.timeout(_DNS_TTL_SECONDS):
                await self._addresses()
        except (GatewayError, OSError):
            pass  # no one awaits it, and a resolver that is away says nothing about the name
        finally:
            self._following = None

    def address_of(self, connection: ClientConnection | ClientSession) -> str:
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
        """A TCP connection to the first of ``addresses`` that accepts one.

        Raises OSError, or `GatewayError` ``local_resources`` when every attempt failed for a local reason.
        """
        attempts = Attempts(self._loop)
        try:
            return await attempts.first_of(addresses, self._happy_eyeballs_delay, self._interleave)
        except OSError:
            short = self._shortages.failure(self._target, attempts.failures)
            if short is not None:
                raise short from None
            raise

    async def _dial_through(self, tunnel: ClientRequest) -> Dialled:
        """aiohttp's own protocol sends the CONNECT; ours takes the transport over afterwards."""
        limits = aiohttp.ClientTimeout(total=self._tls_timeout, connect=None, sock_connect=None)
        async with asyncio.timeout(self._dial_timeout and self._dial_timeout + self._tls_timeout):
            lease = await self.connect(tunnel, [], limits)
        transport, theirs = lease.transport, lease.protocol
        if transport is None or theirs is None:
            lease.close()
            raise GatewayError(errors.DIAL_FAILED)
        ours, layer = self._secured()
        transport.set_protocol(layer.protocol)
        theirs.connection_lost(None)  # so that closing aiohttp's account does not close the transport
        lease.close()
        layer.connection_made(transport)
        await self._opened(layer)
        if ours.session is not None:
            await self._greeted(ours.session)
        return ours

    async def _start_tls_connection(
        self, underlying_transport: asyncio.Transport, *args: Any, **kwargs: Any
    ) -> tuple[asyncio.BaseTransport, ResponseHandler]:
        """What aiohttp calls when its CONNECT has succeeded: a `ClientTls` does TLS with the endpoint."""
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
        reason = errors.DIAL_TIMEOUT if isinstance(cause, _DialTimeoutError | TimeoutError) else errors.DIAL_FAILED
        return self._shortages.failure(self._target, [cause]) or GatewayError(reason)

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


def _check_extensions() -> None:
    if os.environ.get("AIOHTTP_NO_EXTENSIONS"):
        raise RuntimeError("AIOHTTP_NO_EXTENSIONS is set: the gateway does not run on aiohttp's pure-Python parsers")
