"""TLS in front of the API: the context for new connections, and each connection until its handshake is over.

The event loop's own server with TLS is not used, because

- it has one context for its whole life, and a renewed certificate would need another server;
- it makes no connection before the handshake is over, so that handshakes which never end would have no seat, and could
  take all descriptors.

It needs asyncio's own event loop, which the control process has: uvloop reads on after `connection_made`, in spite
of the pause, and the first message of the handshake is lost.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Final, cast

from gateway.admin.seats import Seat, Seats
from gateway.api.connection import Connection, client_of
from gateway.config import tls_context
from gateway.config.records import Tls
from gateway.core.tasks import Tasks

_log = logging.getLogger("gateway")

_GOODBYE_SECONDS: Final = 1.0
"""How long a connection that we close waits for the close_notify of its peer."""


class CurrentContext:
    """The context for new handshakes: that of the settings as they are now."""

    def __init__(self, settings: Callable[[], Tls | None]) -> None:
        """``settings``: the current ones; None: no TLS. Raises OSError for a certificate that cannot be used."""
        self._settings = settings
        self._made_of = settings()
        self._context = None if self._made_of is None else _context(self._made_of)

    @property
    def on(self) -> bool:
        """Whether there is TLS, for as long as this process runs."""
        return self._context is not None

    def get(self) -> ssl.SSLContext:
        """Only while `on`. Settings that cannot be used change nothing, and are logged once."""
        settings = self._settings()
        if settings is not None and settings != self._made_of:
            self._made_of = settings
            try:
                self._context = _context(settings)
            except OSError as error:
                _log.error("%s; the certificate before stays in use", error)
        assert self._context is not None
        return self._context


def _context(tls: Tls) -> ssl.SSLContext:
    (certificate,) = tls.certificates
    try:
        return tls_context.server_context(
            certificate.chain,
            certificate.key,
            min_version=tls.min_version,
            client_auth=certificate.client_auth,
            client_ca=certificate.client_ca,
            alpn=(b"http/1.1",),
        )
    except (ssl.SSLError, ValueError) as error:
        raise OSError(f"admin.tls: the certificate cannot be used: {error}") from None


class Handshake(asyncio.Protocol):
    """One accepted TCP connection until its handshake is over; then ``make`` makes what serves it."""

    def __init__(
        self,
        make: Callable[[Seat], Connection],
        context: ssl.SSLContext,
        seats: Seats,
        seconds: float,
        tasks: Tasks,
    ) -> None:
        """``seconds``: the limit of the handshake. ``tasks`` run the handshakes."""
        self._make = make
        self._context = context
        self._seats = seats
        self._seconds = seconds
        self._tasks = tasks
        self._early = bytearray()
        """What came with the last message of the handshake."""
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tcp = cast("asyncio.Transport", transport)  # uvloop's does not inherit from it
        seat = self._seats.taken(client_of(tcp), tcp.abort)
        if seat is None:
            tcp.abort()
            return
        tcp.pause_reading()
        self._tasks.start(self._shake_hands(tcp, seat), "shake hands")

    def data_received(self, data: bytes) -> None:
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True

    async def _shake_hands(self, transport: asyncio.Transport, seat: Seat) -> None:
        try:
            secure = await asyncio.get_running_loop().start_tls(
                transport,
                self,
                self._context,
                server_side=True,
                ssl_handshake_timeout=self._seconds,
                ssl_shutdown_timeout=_GOODBYE_SECONDS,
            )
        except OSError as error:  # of TLS, of the connection, or the end of its time
            _log.debug("a TLS handshake with the control plane failed: %s", type(error).__name__)
            secure = None
        except asyncio.CancelledError:
            self._give_up(transport, seat)
            raise
        if secure is None or self._ended:
            self._give_up(transport, seat)
            return
        connection = self._make(seat)
        secure.set_protocol(connection)
        connection.connection_made(secure)
        if self._early:
            connection.data_received(bytes(self._early))

    def _give_up(self, transport: asyncio.Transport, seat: Seat) -> None:
        self._seats.leave(seat)
        transport.abort()
