"""What gRPC puts into HTTP/2: deadlines of requests, the status of responses, refusals that its clients understand.

gRPC over HTTP/2 (grpc/grpc, doc/PROTOCOL-HTTP2.md): a response has the status 200, and what happened is the field
``grpc-status``. A refusal is a single head without a body ("Trailers-Only").
"""

from __future__ import annotations

from math import ceil
from typing import Final

from gateway.core.exchange import GRPC_DUE, NO_GRPC, Exchange
from gateway.core.message import HTTP_2, RequestHead, ResponseHead
from gateway.core.outcome import Outcome
from gateway.errors import GatewayError

TIMEOUT: Final = b"grpc-timeout"
_CONTENT_TYPE: Final = b"application/grpc"
_UNITS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_MAX_DIGITS: Final = 8
_OK: Final = 200
_CANCELLED: Final = 1
_UNKNOWN: Final = 2
_MAX_STATUS_DIGITS: Final = 9
_FAILURES: Final = frozenset({2, 4, 13, 14, 15})
"""UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE and DATA_LOSS. Others speak of the call, not of the endpoint."""
_PLAIN: Final = frozenset(range(0x20, 0x7F)) - {0x25}
"""Bytes of ``grpc-message`` that are not percent-encoded."""


def is_grpc(request: RequestHead) -> bool:
    """The request is a call of gRPC; its other form for browsers, ``application/grpc-web``, is none."""
    if request.minor != HTTP_2 or request.method != b"POST":
        return False
    return _has_media_type(request.fields)


def _has_media_type(fields: list[bytes]) -> bool:
    for line in fields:
        if line[:13].lower() == b"content-type:":
            value = line[13:].strip().lower()
            return value.startswith(_CONTENT_TYPE) and value[len(_CONTENT_TYPE) :][:1] in (b"", b"+", b";")
    return False


def status_of_head(request: RequestHead, head: ResponseHead) -> int:
    """The status that the head of a response has, as `Exchange.grpc_status`.

    The endpoint has to speak gRPC, too: else any caller could say of its responses that they have no status.
    """
    if head.status != _OK or not is_grpc(request) or not _has_media_type(head.fields):
        return NO_GRPC
    status = _status_in(head.fields)
    return GRPC_DUE if status < 0 else status


def status_of_trailers(lines: list[bytes]) -> int:
    """The status of a response with these trailers; UNKNOWN, as its clients take it, when there is none."""
    status = _status_in(lines)
    return _UNKNOWN if status < 0 else status


def _status_in(lines: list[bytes]) -> int:
    for line in lines:
        if line[:12].lower() == b"grpc-status:":
            value = line[12:].strip()
            return int(value) if value.isdigit() and len(value) <= _MAX_STATUS_DIGITS else _UNKNOWN
    return -1


def outcome_of(status: int) -> Outcome:
    """What a status says about its endpoint. A call that the caller cancelled says nothing."""
    if status in _FAILURES:
        return Outcome.FAILURE
    return Outcome.IGNORED if status == _CANCELLED else Outcome.SUCCESS


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
    # Rounded up, because a server that gives up before its caller does resets a call that the caller has time for.
    milliseconds = max(1, ceil((ex.deadline - now) * 1000))
    if milliseconds < 10**_MAX_DIGITS:
        return b"grpc-timeout: %dm\r\n" % milliseconds
    return b"grpc-timeout: %dS\r\n" % min(milliseconds // 1000, 10**_MAX_DIGITS - 1)


def refusal_fields(error: GatewayError) -> bytes:
    """The field lines of a refusal: ``grpc-status``, ``grpc-message``, and when the client may try again."""
    lines = b"Content-Type: application/grpc\r\n" + b"".join([line + b"\r\n" for line in failure_trailers(error)])
    if error.retry_after:  # gRFC A6: a client with a retry policy waits as long
        lines += b"grpc-retry-pushback-ms: %d\r\n" % (error.retry_after * 1000)
    return lines


def failure_trailers(error: GatewayError) -> list[bytes]:
    """The trailers of a response that has begun and cannot go on."""
    return [b"grpc-status: %d" % error.reason.grpc, b"grpc-message: %b" % _encoded(error.details)]


def _encoded(text: str) -> bytes:
    return b"".join(bytes((byte,)) if byte in _PLAIN else b"%%%02X" % byte for byte in text.encode())
