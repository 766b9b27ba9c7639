"""What gRPC puts into HTTP/2: deadlines of requests, and refusals that its clients understand.

gRPC over HTTP/2 (grpc/grpc, doc/PROTOCOL-HTTP2.md): a response has the status 200, and what happened is the field
``grpc-status``. A refusal is a single head without a body ("Trailers-Only").
"""

from __future__ import annotations

from typing import Final

from gateway.core.exchange import Exchange
from gateway.core.message import RequestHead
from gateway.errors import GatewayError

TIMEOUT: Final = b"grpc-timeout"
_HTTP_2: Final = 2
_CONTENT_TYPE: Final = b"application/grpc"
_UNITS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_MAX_DIGITS: Final = 8
_PLAIN: Final = frozenset(range(0x20, 0x7F)) - {0x25}
"""Bytes of ``grpc-message`` that are not percent-encoded."""


def is_grpc(request: RequestHead) -> bool:
    """The request is a call of gRPC; its other form for browsers, ``application/grpc-web``, is none."""
    if request.minor != _HTTP_2 or request.method != b"POST":
        return False
    for line in request.fields:
        if line[:13].lower() == b"content-type:":
            value = line[13:].strip().lower()
            return value.startswith(_CONTENT_TYPE) and value[len(_CONTENT_TYPE) :][:1] in (b"", b"+", b";")
    return False


def seconds_in(timeout: bytes) -> float:
    """The seconds in a value of ``grpc-timeout``; 0.0 for what is none: the endpoint decides what it means."""
    digits, unit = timeout[:-1], timeout[-1:]
    if not digits.isdigit() or len(digits) > _MAX_DIGITS or unit not in _UNITS:
        return 0.0
    return int(digits) * _UNITS[unit]


def timeout_line(ex: Exchange, now: float) -> bytes:
    """The field ``grpc-timeout`` for the endpoint: what is left of the deadline at the time ``now``."""
    given = ex.request.known[TIMEOUT]
    if not ex.deadline or not seconds_in(given):
        return b"grpc-timeout: %b\r\n" % given
    milliseconds = max(1, int((ex.deadline - now) * 1000))
    if milliseconds < 10**_MAX_DIGITS:
        return b"grpc-timeout: %dm\r\n" % milliseconds
    return b"grpc-timeout: %dS\r\n" % min(milliseconds // 1000, 10**_MAX_DIGITS - 1)


def refusal_fields(error: GatewayError) -> bytes:
    """The field lines of a refusal: ``grpc-status``, ``grpc-message``, and when the client may try again."""
    lines = b"Content-Type: application/grpc\r\ngrpc-status: %d\r\ngrpc-message: %b\r\n" % (
        error.reason.grpc,
        _encoded(error.details),
    )
    if error.retry_after:  # gRFC A6: a client with a retry policy waits as long
        lines += b"grpc-retry-pushback-ms: %d\r\n" % (error.retry_after * 1000)
    return lines


def _encoded(text: str) -> bytes:
    return b"".join(bytes((byte,)) if byte in _PLAIN else b"%%%02X" % byte for byte in text.encode())
