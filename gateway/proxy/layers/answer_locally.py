"""Requests to which the gateway itself responds, whatever the upstream is."""

from __future__ import annotations

from collections.abc import Coroutine

from gateway import errors
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler
from gateway.core.message import RequestHead
from gateway.errors import GatewayError
from gateway.wire.grammar import tokens

_ALLOW = b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"


def answer_locally(next_handler: Handler) -> Handler:
    """Responds with an explicit 501 to WebSocket, and to OPTIONS with no hops left.

    Any other upgrade is ignored, as RFC 9110 7.8 allows, and the request served as it is. The last recipient responds
    to OPTIONS with Max-Forwards; others count down (RFC 9110 7.6.2).
    """

    # Not a coroutine: nearly every request has neither field, and then costs no more than this look.
    def handle(ex: Exchange) -> Coroutine[None, None, None]:
        known = ex.request.known
        return rare(ex) if b"upgrade" in known or b"max-forwards" in known else next_handler(ex)

    async def rare(ex: Exchange) -> None:
        known = ex.request.known
        if b"upgrade" in known and _wants_websocket(ex.request):
            raise GatewayError(errors.WEBSOCKET_DISABLED)
        if b"max-forwards" in known and ex.request.method == b"OPTIONS":
            left = known[b"max-forwards"]
            if not left.isdigit() or len(left) > 9:
                raise GatewayError(errors.BAD_REQUEST, "Max-Forwards is not a number")
            if int(left) == 0:
                await options(ex)
                return
            # The head may be shared with the next request of the connection: it is copied, not changed.
            ex.request = ex.request.having({**known, b"max-forwards": b"%d" % (int(left) - 1)})
        await next_handler(ex)

    return handle


def _wants_websocket(request: RequestHead) -> bool:
    # RFC 9110 7.8: in HTTP/1.0, or without the connection option (others may stand beside it), it means nothing.
    if not request.minor or b"upgrade" not in tokens(request.known.get(b"connection", b"")):
        return False
    return b"websocket" in tokens(request.known[b"upgrade"])


async def options(ex: Exchange) -> None:
    """The gateway's own response to OPTIONS."""
    ex.status = 200
    ex.committed = True
    ex.downstream.respond(200, b"%bX-Request-Id: %b\r\n" % (_ALLOW, ex.request_id), b"")
