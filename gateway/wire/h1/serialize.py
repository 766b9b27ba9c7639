"""HTTP/1.1 heads as bytes: of requests to endpoints, of responses to callers, and of the gateway's own responses."""

from __future__ import annotations

import http

from gateway.core.message import CHUNKED, OutgoingRequest, ResponseHead
from gateway.wire.http_date import DATE

_REASON_PHRASES = {s.value: s.phrase.encode() for s in http.HTTPStatus}


def request_head(request: OutgoingRequest) -> bytes:
    """The head of ``request`` without the empty line that ends it."""
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b%b%b" % (
        request.method,
        request.target,
        request.authority,
        b"Transfer-Encoding: chunked\r\n" if request.length == CHUNKED else b"",
        _connection(request),
        request.fields,
    )


def _connection(request: OutgoingRequest) -> bytes:
    """The lines that speak of this connection alone (RFC 9110 7.6.1)."""
    if request.upgrade:
        return b"Connection: Upgrade\r\nUpgrade: %b\r\n" % request.upgrade
    # RFC 9110 10.1.4: TE concerns this connection alone; it also carries the caller's wish for trailers on.
    return b"TE: trailers\r\nConnection: TE\r\n" if request.takes_trailers else b""


def response_head(response: ResponseHead, framing: bytes, lines: bytes) -> bytes:
    """The head for the caller; ``framing`` and ``lines``: more field lines, each ended by CRLF."""
    rendered = response.rendered
    if rendered is None:
        rendered = _render_response(response)
        if b"date" in response.known:
            response.rendered = rendered
    return b"".join((rendered, framing, lines, b"\r\n"))  # half as many instructions as a format


def _render_response(response: ResponseHead) -> bytes:
    fields = response.fields
    if response.status == 204:  # RFC 9110 8.6: no Content-Length in a 204
        fields = [line for line in fields if line[:15].lower() != b"content-length:"]
    return b"HTTP/1.1 %d %b\r\n%b%b" % (
        response.status,
        response.reason,
        b"%b\r\n" % b"\r\n".join(fields) if fields else b"",
        b"" if b"date" in response.known else DATE.line(),  # RFC 9110 6.6.1: a recipient with a clock adds it
    )


def interim_head(response: ResponseHead) -> bytes:
    """A 1xx on its way to the client (RFC 9110 15.2)."""
    fields = b"".join(line + b"\r\n" for line in response.fields)
    return b"HTTP/1.1 %d %b\r\n%b\r\n" % (response.status, response.reason, fields)


def switch_head(response: ResponseHead, lines: bytes) -> bytes:
    """A 101 on its way to the client; ``lines``: more field lines, each ended by CRLF (RFC 9110 7.8, 15.2.2)."""
    # RFC 9110 8.6: no Content-Length in a 1xx
    fields = [line for line in response.fields if line[:15].lower() != b"content-length:"]
    return b"HTTP/1.1 101 %b\r\n%bConnection: Upgrade\r\nUpgrade: %b\r\n%b\r\n" % (
        response.reason,
        b"".join([line + b"\r\n" for line in fields]),
        response.known[b"upgrade"],
        lines,
    )


def own_head(status: int, fields: bytes) -> bytes:
    """The head of a local response (the gateway's own); ``fields`` are whole lines."""
    return b"HTTP/1.1 %d %b\r\n%b%b\r\n" % (status, _REASON_PHRASES.get(status, b""), DATE.line(), fields)
