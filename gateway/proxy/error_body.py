"""How an error is written for callers: the body of a response, or an event of a stream that has begun."""

from __future__ import annotations

import orjson

from gateway.errors import GatewayError


def error_body(error: GatewayError, request_id: bytes) -> bytes:
    """The usual body: an object in JSON, in one line."""
    return orjson.dumps(
        {
            "error": error.reason.title,
            "details": error.details,
            "code": error.reason.code,
            "request_id": request_id.decode("latin-1"),
        }
    )


def error_event(error: GatewayError, request_id: bytes) -> bytes:
    """An event ``error`` with the usual body. WHATWG HTML 9.2.6: ``retry`` is what Retry-After is for responses, in
    milliseconds; an EventSource obeys it when it connects again.
    """
    retry = b"retry: %d\n" % (error.retry_after * 1000) if error.retry_after else b""
    return b"event: error\n%bdata: %b\n\n" % (retry, error_body(error, request_id))
