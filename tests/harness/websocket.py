"""The bytes of WebSocket: handshakes, and frames as a client and a server send them (RFC 6455)."""

from __future__ import annotations

from harness.answers import head
from harness.client import request

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""RFC 6455 1.3 has this pair."""
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")
MASK = b"\x01\x02\x03\x04"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def upgrade(target: str = "/", *lines: str) -> bytes:
    """A whole handshake of a client."""
    return request(target, *UPGRADE, *lines)


def switched(*lines: str) -> bytes:
    """The response to it."""
    agreed = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {ACCEPT}")
    return head(*agreed, *lines, status="101 Switching Protocols")


SWITCHED = switched()


def _header(payload: bytes, opcode: int, *, mask: bool, fin: bool) -> bytes:
    size, bit = len(payload), 0x80 if mask else 0
    first = bytes([(0x80 if fin else 0) | opcode])
    if size < 126:
        return first + bytes([bit | size])
    if size < 65536:
        return first + bytes([bit | 126]) + size.to_bytes(2, "big")
    return first + bytes([bit | 127]) + size.to_bytes(8, "big")


def frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True) -> bytes:
    """As a server sends it."""
    return _header(payload, opcode, mask=False, fin=fin) + payload


def unmask(payload: bytes, mask: bytes = MASK) -> bytes:
    """And the other way round."""
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(len(payload), "big")


def masked(payload: bytes, opcode: int = TEXT, *, fin: bool = True) -> bytes:
    """As a client sends it."""
    return _header(payload, opcode, mask=True, fin=fin) + MASK + unmask(payload)


GOING_AWAY = frame(b"\x03\xe9", CLOSE)
"""A Close frame of a server with the status 1001."""
