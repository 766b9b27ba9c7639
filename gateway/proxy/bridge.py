"""A WebSocket whose caller speaks HTTP/2 (RFC 8441) and whose endpoint speaks HTTP/1.1 (RFC 6455).

In HTTP/2 no key is sent, and none is accepted: the endpoint gets one of the gateway's, which checks what comes back.
"""

from __future__ import annotations

import hashlib
import os
from binascii import b2a_base64
from typing import Final

from gateway import errors
from gateway.core.exchange import Exchange
from gateway.core.message import ResponseHead
from gateway.core.stream import ClientStream, Sink, Source
from gateway.errors import GatewayError
from gateway.proxy.reply import Relay, Treatment
from gateway.proxy.websocket import values_in

_SUFFIX: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 1.3."""


def accepted(key: bytes) -> bytes:
    """The Sec-WebSocket-Accept that belongs to ``key`` (RFC 6455 4.2.2)."""
    return b2a_base64(hashlib.sha1(key + _SUFFIX, usedforsecurity=False).digest(), newline=False)


class Bridge(Relay):
    """The `gateway.core.stream.Reply` of such a handshake."""

    __slots__ = ("_accepted", "_key")

    def __init__(self, exchange: Exchange, stream: ClientStream, lines: bytes, treatment: Treatment) -> None:
        """As `Relay`."""
        super().__init__(exchange, stream, lines, treatment)
        value = b2a_base64(os.urandom(16), newline=False)
        self._key = b"Sec-WebSocket-Key: %b\r\n" % value
        self._accepted = accepted(value)

    @property
    def key(self) -> bytes:
        """As `Relay.key`."""
        return self._key

    def begin(self, head: ResponseHead, source: Source | None) -> Sink:
        """As `Relay.begin`. Raises `GatewayError` for a 2xx: in HTTP/2 it would open the WebSocket, and what follows
        would be taken for its frames. It says nothing about the health of the endpoint, which may serve pages here.
        """
        if 200 <= head.status < 300:
            raise GatewayError(
                errors.NOT_IMPLEMENTED,
                f"The upstream does not open a WebSocket at this path: it responded with {head.status}",
            )
        return super().begin(head, source)

    def switch(self, head: ResponseHead) -> None:
        """As `Relay.switch`. Raises `GatewayError` when the endpoint has not understood what it was asked for."""
        if values_in(head.fields, b"sec-websocket-accept") != [self._accepted]:
            raise GatewayError(
                errors.UPSTREAM_BAD_RESPONSE,
                "The response opens a WebSocket, but its Sec-WebSocket-Accept does not belong to the request",
            )
        super().switch(head)
