"""The one table of reasons why the gateway refuses, fails or cuts an exchange.

A reason's ``code`` is the same word in the JSON body, the ``X-Gateway-Reason`` header, the access-log line, the metric
label and the trace. This module imports nothing of the project, so that every room may raise a `GatewayError`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Source(enum.Enum):
    """Which side caused it: decides the blame in logs and metrics, never the control flow."""

    DOWNSTREAM = "downstream"
    GATEWAY = "gateway"
    UPSTREAM = "upstream"


@dataclass(frozen=True, slots=True)
class Reason:
    """One row of the table: the word, the HTTP status, the title callers see and a default explanation.

    ``grpc``: the status for callers of gRPC (grpc/grpc, doc/statuscodes.md).
    """

    code: str
    status: int
    title: str
    source: Source
    details: str
    grpc: int = 14


_D, _G, _U = Source.DOWNSTREAM, Source.GATEWAY, Source.UPSTREAM

BAD_REQUEST = Reason("bad_request", 400, "Bad Request", _D, "The request is not valid HTTP", grpc=13)
BAD_FRAMING = Reason("bad_framing", 400, "Bad Request", _D, "The length of the request body is ambiguous", grpc=13)
UNAUTHENTICATED = Reason(
    "unauthenticated",
    401,
    "Authentication required",
    _D,
    "The access rule of this proxy does not admit this request without a valid token",
    grpc=16,
)
FORBIDDEN = Reason(
    "forbidden", 403, "Access Denied", _D, "The access rule of this proxy does not admit this request", grpc=7
)
NO_ROUTE = Reason("no_route", 404, "Proxy Not Found", _D, "No proxy serves this host and path", grpc=12)
PROXY_DISABLED = Reason("proxy_disabled", 404, "Proxy Disabled", _G, "This proxy is switched off", grpc=12)
CLIENT_TIMEOUT = Reason("client_timeout", 408, "Request Timeout", _D, "The client was too slow", grpc=4)
BODY_TOO_LARGE = Reason(
    "body_too_large", 413, "Content Too Large", _D, "The request body exceeds limits.max_body_bytes", grpc=8
)
URI_TOO_LONG = Reason("uri_too_long", 414, "URI Too Long", _D, "The request target exceeds limits.max_uri", grpc=8)
MISDIRECTED = Reason(
    "misdirected",
    421,
    "Misdirected Request",
    _D,
    "This host asks for other client certificates than the connection was opened with",
)
HEADERS_TOO_LARGE = Reason(
    "headers_too_large",
    431,
    "Request Header Fields Too Large",
    _D,
    "The header section exceeds the configured limits",
    grpc=8,
)
RATE_LIMIT = Reason(
    "rate_limit", 429, "Too Many Requests", _G, "More requests came than the rate limits of this proxy admit", grpc=8
)
CONCURRENCY_LIMIT = Reason(
    "concurrency_limit", 429, "Too Many Requests", _G, "AI Engine is at capacity, please retry later"
)
QUEUE_FULL = Reason("queue_full", 429, "Too Many Requests", _G, "AI Engine is at capacity and its queue is full")
QUEUE_TIMEOUT = Reason("queue_timeout", 429, "Too Many Requests", _G, "No place became free in the queue's time")
QUEUE_PREDICTED_TIMEOUT = Reason(
    "queue_predicted_timeout",
    429,
    "Too Many Requests",
    _G,
    "The wait in the queue would be longer than the time that the request has",
)
CLIENT_GONE = Reason(
    "client_gone", 499, "Client Closed Request", _D, "The client left before the response was complete", grpc=1
)
TEMPLATE_MISSING = Reason(
    "template_missing",
    500,
    "Template Variable Missing",
    _G,
    "A header of this proxy needs a value that is not set or cannot be sent",
    grpc=13,
)
INTERNAL = Reason("internal", 500, "Internal Server Error", _G, "The gateway failed; its log has the details", grpc=13)
WEBSOCKET_DISABLED = Reason(
    "websocket_disabled",
    501,
    "WebSocket Not Supported",
    _G,
    "The gateway does not support WebSocket on this proxy",
    grpc=12,
)
NOT_IMPLEMENTED = Reason(
    "not_implemented", 501, "Not Implemented", _D, "The gateway does not serve this method", grpc=12
)
DIAL_FAILED = Reason("dial_failed", 502, "Upstream Unavailable", _U, "No connection to the upstream could be opened")
DNS_FAILED = Reason("dns_failed", 502, "Upstream Unavailable", _U, "The name of the upstream could not be resolved")
TLS_FAILED = Reason("tls_failed", 502, "Upstream Unavailable", _U, "The TLS handshake with the upstream failed")
UPSTREAM_DENIED = Reason(
    "upstream_denied", 502, "Upstream Unavailable", _G, "The gateway does not connect to the address of this upstream"
)
UPSTREAM_RESET = Reason(
    "upstream_reset", 502, "Upstream Unavailable", _U, "The upstream closed before its response ended"
)
UPSTREAM_BAD_RESPONSE = Reason(
    "upstream_bad_response", 502, "Upstream Unavailable", _U, "The upstream's response is not valid HTTP", grpc=13
)
ANSWER_TOO_LARGE = Reason(
    "answer_too_large", 502, "Upstream Unavailable", _G, "The response is larger than its action takes", grpc=8
)
NO_EVENT_STREAM = Reason(
    "no_event_stream",
    502,
    "Upstream Unavailable",
    _G,
    "The upstream sent no stream of events to a caller who had got the head of one while it waited",
    grpc=13,
)
NOT_AUTHORIZED = Reason(
    "not_authorized",
    502,
    "Connection Not Authorized",
    _G,
    "The connection has no valid authorization; an operator has to authorize it",
    grpc=9,
)
TOKEN_UNAVAILABLE = Reason(
    "token_unavailable", 503, "Service Unavailable", _U, "The identity provider gives no access token now"
)
BREAKER_OPEN = Reason(
    "breaker_open", 503, "Service Unavailable", _G, "Circuit breaker is open, upstream service is experiencing issues"
)
NO_HEALTHY_ENDPOINT = Reason(
    "no_healthy_endpoint", 503, "Service Unavailable", _G, "No endpoint of the upstream may get a request now"
)
OVERLOADED = Reason(
    "overloaded", 503, "Service Unavailable", _G, "The gateway itself has too much to do, please retry later"
)
LOCAL_RESOURCES = Reason(
    "local_resources", 503, "Service Unavailable", _G, "The gateway lacks a resource for a connection to the upstream"
)
DRAINING = Reason("draining", 503, "Service Unavailable", _G, "The gateway is shutting down")
DIAL_TIMEOUT = Reason("dial_timeout", 504, "Gateway Timeout", _U, "The upstream did not accept a connection in time")
TLS_TIMEOUT = Reason("tls_timeout", 504, "Gateway Timeout", _U, "The upstream did not finish the TLS handshake in time")
HEADER_TIMEOUT = Reason(
    "header_timeout", 504, "Gateway Timeout", _U, "The upstream did not send the head of its response in time"
)
BODY_IDLE_TIMEOUT = Reason(
    "body_idle_timeout",
    504,
    "Gateway Timeout",
    _U,
    "The upstream stopped while it took the request or sent its response",
)
STREAM_STALLED = Reason(
    "stream_stalled", 504, "Gateway Timeout", _U, "The upstream sent no event with data in the time of stream"
)
TUNNEL_IDLE_TIMEOUT = Reason(
    "tunnel_idle_timeout", 504, "Gateway Timeout", _G, "No byte came through the tunnel for the time of tunnel_idle"
)
TOTAL_TIMEOUT = Reason("total_timeout", 504, "Gateway Timeout", _G, "The exchange exceeded its total time", grpc=4)
LOOP_DETECTED = Reason(
    "loop_detected",
    508,
    "Loop Detected",
    _G,
    "The request came through this gateway before; its upstream leads back",
    grpc=13,
)

REASONS: dict[str, Reason] = {r.code: r for r in list(globals().values()) if isinstance(r, Reason)}


class GatewayError(Exception):
    """An exchange that cannot go on, for one `Reason`.

    ``retryable`` is decided where the error is raised: nothing of a response was seen and the connection was a reused
    one, so that the same bytes may be sent once more if the request itself allows it. ``unprocessed``: the upstream
    said that it has done nothing with the request (RFC 9113 8.7), so that any method allows it. ``retry_after`` is in
    whole seconds.
    """

    def __init__(
        self,
        reason: Reason,
        details: str = "",
        *,
        retryable: bool = False,
        unprocessed: bool = False,
        retry_after: int = 0,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(reason.code, details or reason.details)
        self.reason = reason
        self.details = details or reason.details
        self.retryable = retryable
        self.unprocessed = unprocessed
        self.retry_after = retry_after
        self.headers = headers
