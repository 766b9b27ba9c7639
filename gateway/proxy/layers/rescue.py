"""The one place that turns a `GatewayError` into a response, or cuts a connection on which another one has begun."""

from __future__ import annotations

import logging

from gateway import errors
from gateway.config.records import Cors
from gateway.core.exchange import GRPC_DUE, Exchange
from gateway.core.layer import Handler, Layer
from gateway.core.once_a_second import OnceASecond
from gateway.errors import GatewayError
from gateway.proxy.cors import cors_fields
from gateway.proxy.error_body import error_body
from gateway.proxy.grpc import failure_trailers, is_grpc, refusal_fields
from gateway.proxy.layers.server_timing import head_field

_log = logging.getLogger(__name__)

# RFC 9110 15.5.2: a 401 must carry a challenge.
_CHALLENGE = b'WWW-Authenticate: Bearer realm="gateway"\r\n'


def rescue(next_handler: Handler) -> Handler:
    """One response for each error."""
    return rescue_for(Cors())(next_handler)


def rescue_for(cors: Cors) -> Layer:
    """`rescue` whose responses can be read by the pages that ``cors`` names."""

    def layer(next_handler: Handler) -> Handler:
        malformed, crashes = OnceASecond(), OnceASecond()

        async def handle(ex: Exchange) -> None:
            try:
                await next_handler(ex)
            except GatewayError as error:
                if error.reason is errors.UPSTREAM_BAD_RESPONSE and (more := malformed.due()) is not None:
                    where = ex.proxy, ex.attempt.endpoint
                    _log.warning("proxy %s: the response of %s is rejected: %s%s", *where, error.details, more)
                respond(ex, error, cors)
                # Its frames lead to the connection, which they would keep until the garbage collector runs.
                error.__traceback__ = error.__context__ = error.__cause__ = None
            except Exception:
                if (more := crashes.due()) is not None:
                    _log.exception("exchange %s failed%s", ex.request_id.decode("latin-1"), more)
                respond(ex, GatewayError(errors.INTERNAL), cors)

        return handle

    return layer


def respond(ex: Exchange, error: GatewayError, cors: Cors) -> None:
    """Send the reason to the client. After commit there is no response left to send, so the stream is cut.

    A response of gRPC says in its trailers how it ended, and so that it is not complete: there the reason still fits.
    So it does in an event of its own, where the proxy has `stream.on_stall: error_event`, or where the caller was sent
    a stream of events while it waited in the queue.
    """
    reason = error.reason
    ex.reason = reason.code
    if ex.grpc_status == GRPC_DUE:
        ex.grpc_status = reason.grpc
        ex.downstream.end([*failure_trailers(error), b"X-Gateway-Reason: " + reason.code.encode()])
        return
    if ex.committed:
        if ex.events is not None and ex.events.takes_error:
            ex.events.append_error(error, ex.request_id)
            ex.bytes_out = ex.downstream.body_out
        else:
            ex.downstream.cut()
        return
    ex.committed = True
    if ex.opened is not None:
        ex.status = 200  # which the caller has
        ex.opened.append_error(error)
        ex.bytes_out = ex.downstream.body_out
        return
    if is_grpc(ex.request):
        ex.status = 200  # gRPC has its own
        ex.grpc_status = reason.grpc
        ex.downstream.respond(200, refusal_fields(error) + _named(ex, error) + _quota(ex), b"")
        return
    ex.status = reason.status
    body = error_body(error, ex.request_id)
    fields = _fields(ex, error)
    if cors.allow_origins:
        fields += cors_fields(cors, ex.request.fields)
    ex.downstream.respond(reason.status, fields, body)
    ex.bytes_out = len(body)


def _named(ex: Exchange, error: GatewayError) -> bytes:
    return b"X-Gateway-Reason: %b\r\nX-Request-Id: %b\r\n" % (error.reason.code.encode(), ex.request_id)


def _quota(ex: Exchange) -> bytes:
    return b"" if ex.quota is None else ex.quota.lines()


def _fields(ex: Exchange, error: GatewayError) -> bytes:
    fields = b"Content-Type: application/json\r\n" + _named(ex, error)
    if error.retry_after:
        fields += b"Retry-After: %d\r\n" % error.retry_after
    fields += _quota(ex)
    for name, value in error.headers:
        fields += f"{name}: {value}\r\n".encode()
    if ex.timed:
        fields += head_field(ex)
    return fields + _CHALLENGE if error.reason.status == 401 else fields
