"""TLS to an endpoint: the client's side."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from gateway.wire.buffers import BufferPool
from gateway.wire.link import Link
from gateway.wire.tls import TlsLayer


class ClientTls(TlsLayer):
    """Dial a TCP connection with `protocol`, then await `opened`."""

    __slots__ = ("_make_above", "_opened", "on_failure")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        buffers: BufferPool,
        context: ssl.SSLContext,
        server_name: str,
        above: Callable[[str | None], Link],
    ) -> None:
        """``above``: makes the connection above, of what ALPN chose, if anything."""
        super().__init__(loop, buffers)
        self._make_above = above
        self._use(context, context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name))
        self._opened: asyncio.Future[None] = loop.create_future()
        self.on_failure: Callable[[Exception], object] = _ignore
        """Called with the alert of a peer that ends TLS after the handshake: with TLS 1.3, one that rejects our
        certificate."""

    async def opened(self) -> None:
        """Wait for the end of the handshake.

        Raises `ssl.SSLError` when the two sides do not agree, the certificate included, and `OSError` when the
        connection ends before.
        """
        await self._opened

    def _begin(self) -> None:
        self._shake_hands()

    def _established(self) -> None:
        self._above = self._make_above(self._tls.selected_alpn_protocol())
        if not self._opened.done():  # else the dial was cancelled
            self._opened.set_result(None)

    def _broken(self, error: ssl.SSLError) -> None:
        if "ALERT" in (error.reason or ""):
            self.on_failure(error)

    def _failed(self, error: Exception) -> None:
        if not self._opened.done():
            self._opened.set_exception(error)
            self._opened.exception()  # a cancelled dial no longer awaits it: that is no error of the program


def _ignore(_: Exception) -> None:
    pass
