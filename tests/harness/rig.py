"""A gateway on a real port between a raw client and a scripted upstream, and the check that nothing of it leaks."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from gateway.app import Gateway
from gateway.config.records import Document, Limits, Listener, Timeouts, Tls, UpstreamTls
from gateway.core.address import Address
from harness.access_log import AccessLog
from harness.client import HOST, Client
from harness.h2_caller import H2Caller
from harness.message import Message
from harness.patience import eventually
from harness.records import Proxied, proxies_of, proxy, serving
from harness.tls import TlsClient, listener_tls, trusting
from harness.upstream import BlackHole, Upstream

TIMEOUTS = Timeouts(dial=10, tls_handshake=10, response_header=10, body_idle=10, idle=10, total=0)
"""Long enough never to matter, short enough never to hang; a test of a timeout sets its own."""


LIMITS = Limits()
UPSTREAM_TLS = UpstreamTls()


class Rig:
    """One gateway. The proxy that most tests use is called ``p``."""

    def __init__(self, gateway: Gateway, log: AccessLog, document: Document, *, over: str = "plain") -> None:
        self.gateway = gateway
        self.over = over
        self.log = log
        self.document = document
        self.clients: list[Client] = []

    @property
    def p(self) -> Any:
        """The machines of the proxy ``p``."""
        return self.gateway.upstreams["p"]

    async def change(self, **changes: Any) -> None:
        """Reload with other settings of its first proxy."""
        first, *others = proxies_of(self.document)
        await self.gateway.reload(serving(self.document, first.having(**changes), *others))

    async def connect(self, *, receive_buffer: int = 0) -> Client:
        client: Client
        if self.over == "h2":
            client = await H2Caller.begin(self.gateway.addresses[0], receive_buffer=receive_buffer)
        elif self.document.listen[0].tls is None:
            client = await Client.connect(self.gateway.addresses[0], receive_buffer=receive_buffer)
        else:
            client = await TlsClient.dial(self.gateway.addresses[0], trusting(), receive_buffer=receive_buffer)
        self.clients.append(client)
        return client

    async def ask(
        self, target: str = "/", *lines: str, method: str = "GET", body: bytes = b"", host: str = HOST.decode()
    ) -> Message:
        """One request on a connection of its own."""
        client = await self.connect()
        try:
            return await client.ask(target, *lines, method=method, body=body, host=host)
        finally:
            client.close()

    def permits(self) -> int:
        limiters = [upstream.limiter for upstream in self.gateway.upstreams.values()]
        return sum(limiter.in_flight + limiter.waiting for limiter in limiters if limiter is not None)

    async def settled(self) -> None:
        """No exchange is alive, no permit taken, no buffer on loan."""
        await eventually(lambda: self.gateway.exchanges == 0, "no live exchange")
        await eventually(lambda: self.permits() == 0, "no permit in use")
        await eventually(lambda: self.gateway.buffers.outstanding == 0, "no buffer on loan")
        await eventually(lambda: self.gateway.buffers.kept == 0, "no body is kept")

    async def aclose(self, *, check: bool) -> None:
        """Clients leave, the gateway settles, then closes; ``check`` is False after a test that failed anyway."""
        for client in self.clients:
            client.close()
        with suppress(*() if check else (AssertionError,)):
            await self.settled()
            await eventually(lambda: self.gateway.connections == 0, "no client connection")
        await self.gateway.aclose()


class GatewayFor(Protocol):
    """Start a gateway in front of ``upstream``; keywords are fields of its one proxy, or of the document."""

    async def __call__(
        self,
        upstream: Upstream | BlackHole | str,
        *,
        limits: Limits = ...,
        trusted_proxies: tuple[str, ...] = ...,
        proxies: tuple[Proxied, ...] = ...,
        tls: Tls | None = ...,
        http2: bool = ...,
        upstream_tls: UpstreamTls = ...,
        **proxy: Any,
    ) -> Rig: ...


def proxy_to(upstream: Upstream | BlackHole | str, **changes: Any) -> Proxied:
    """The proxy of most tests: ``p``, at ``/``, public, with `TIMEOUTS`."""
    url = upstream if isinstance(upstream, str) else upstream.url
    return proxy("p", "/", url, access_rule="true", timeouts=TIMEOUTS).having(**changes)


class Workshop:
    """Builds the gateways of one test and takes them down in order."""

    def __init__(self, directory: Path, *, over: str = "plain") -> None:
        """``over``: what clients speak, ``plain``, ``tls`` or ``h2``, which is HTTP/2 over TLS."""
        self._directory = directory
        self._over = over
        self._tls = None if over == "plain" else listener_tls()
        self._rigs: list[Rig] = []
        self._complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self._complaints.append(context))

    async def __call__(
        self,
        upstream: Upstream | BlackHole | str,
        *,
        limits: Limits = LIMITS,
        trusted_proxies: tuple[str, ...] = (),
        proxies: tuple[Proxied, ...] = (),
        tls: Tls | None = None,
        http2: bool = False,
        upstream_tls: UpstreamTls = UPSTREAM_TLS,
        **changes: Any,
    ) -> Rig:
        path = self._directory / f"access-{len(self._rigs)}.log"
        document = Document(
            listen=(Listener(Address("127.0.0.1", 0), http2 or self._over == "h2", tls or self._tls),),
            access_log=str(path),
            trusted_proxies=trusted_proxies,
            drain_timeout=1,
            limits=limits,
        )
        document = serving(document, *(proxies or (proxy_to(upstream, tls=upstream_tls, **changes),)))
        rig = Rig(Gateway(document), AccessLog(path), document, over=self._over)
        await rig.gateway.start()
        self._rigs.append(rig)
        return rig

    async def aclose(self, *, check: bool) -> None:
        for rig in reversed(self._rigs):  # a later one may be the client of an earlier one
            await rig.aclose(check=check)
        if check:
            assert self._complaints == [], "the event loop heard of errors that nobody caught"
