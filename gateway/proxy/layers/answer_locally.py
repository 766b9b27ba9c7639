"""Requests to which the gateway itself responds, whatever the upstream is."""

from __future__ import annotations

from collections.abc import Coroutine

from gateway import errors
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.errors import GatewayError
from gateway.proxy.grpc import TIMEOUT, seconds_in
from gateway.proxy.layers.deadline import deadline
from gateway.proxy.websocket import check_handshake, wants_websocket

_ALLOW = b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"


def answer_locally(*, websocket: bool) -> Layer:
    """Responds to OPTIONS with no hops left, and to WebSocket with an explicit 501 unless ``websocket``.

    With it a handshake that is not valid is refused, and a valid one goes on. Any other upgrade is ignored, as RFC 9110
    7.8 allows, and the request served as it is. The last recipient responds to OPTIONS with Max-Forwards; others count
    down (RFC 9110 7.6.2). A call of gRPC that names a deadline gets it.
    """
    return lambda next_handler: _answer_locally(next_handler, websocket=websocket)


def _answer_locally(next_handler: Handler, *, websocket: bool) -> Handler:
    # Not a coroutine: nearly every request has none of the fields, and then costs no more than this look.
    def handle(ex: Exchange) -> Coroutine[None, None, None]:
        known = ex.request.known
        if b"upgrade" in known or b"max-forwards" in known or TIMEOUT in known:
            return rare(ex)
        return next_handler(ex)

    async def rare(ex: Exchange) -> None:
        known = ex.request.known
        if wants_websocket(ex.request):
            if not websocket:
                raise GatewayError(errors.WEBSOCKET_DISABLED)
            check_handshake(ex.request)
        if b"max-forwards" in known and ex.request.method == b"OPTIONS":
            left = known[b"max-forwards"]
            if not left.isdigit() or len(left) > 9:
                raise GatewayError(errors.BAD_REQUEST, "Max-Forwards is not a number")
            if int(left) == 0:
                await options(ex)
                return
            # The head may be shared with the next request of the connection: it is copied, not changed.
            ex.request = ex.request.having({**known, b"max-forwards": b"%d" % (int(left) - 1)})
        seconds = seconds_in(known[TIMEOUT]) if TIMEOUT in known else 0.0
        await deadline(seconds)(next_handler)(ex)

    return handle


async def options(ex: Exchange) -> None:
    """The gateway's own response to OPTIONS."""
    ex.status = 200
    ex.committed = True
    ex.downstream.respond(200, b"%bX-Request-Id: %b\r\n" % (_ALLOW, ex.request_id), b"")
