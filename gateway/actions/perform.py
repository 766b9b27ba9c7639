"""The terminal handler of calls that are no HTTP: a connector makes them, where `send` would stand for a request."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from time import monotonic
from typing import Any, Final

from gateway import errors
from gateway.actions.performers import Performers
from gateway.actions.repeat import Running
from gateway.config import records
from gateway.connectors.connector import Connector, ForbiddenError, RejectedError, TooLargeError
from gateway.connectors.encoding import encoded
from gateway.core.attempt import Attempt
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler
from gateway.core.message import ResponseHead
from gateway.errors import GatewayError
from gateway.upstream.tls import TlsFailures

_FIELDS: Final = (b"Content-Type: application/json",)
_OK: Final = 200


def performing(running: Mapping[Exchange, Running], performers: Performers, route: records.Route, at: str) -> Handler:
    """The handler of ``route``, whose calls are made by the connector of its connection, at ``at``.

    It raises `GatewayError` as `send` does. What the back end rejects is a response with a status below 500.
    """
    tls_failures = TlsFailures(at)

    async def handle(ex: Exchange) -> None:
        attempt = ex.attempt = Attempt(at)
        attempt.began_at = attempt.asked_at = attempt.sent_at = monotonic()
        ex.attempts += 1
        work = running[ex].work
        assert work is not None
        status = _OK
        async with performers.borrowed(route.connection) as connector:
            try:
                body = encoded(await work(connector))
            except RejectedError as error:
                status, body = error.status, encoded({"error": error.message, "code": error.code})
            except TooLargeError:
                raise _too_large(route) from None
            except ForbiddenError:
                raise GatewayError(errors.UPSTREAM_DENIED) from None
            except connector.failures as error:
                if isinstance(error, ssl.SSLError):
                    tls_failures.with_back_end(error)
                raise _failed(connector, error, at) from None
        attempt.first_byte_at = attempt.last_byte_at = monotonic()
        if len(body) > route.answer_limit:
            raise _too_large(route)
        _respond(ex, status, body)

    return handle


def _respond(ex: Exchange, status: int, body: bytes) -> None:
    ex.committed = True
    ex.status, ex.commit_at, ex.bytes_out = status, monotonic(), len(body)
    head = ResponseHead(status, b"", 1, list(_FIELDS), {}, len(body), True)
    ex.downstream.begin(head, b"", None, None)
    ex.downstream.whole(memoryview(body))


def _too_large(route: records.Route) -> GatewayError:
    return GatewayError(
        errors.ANSWER_TOO_LARGE, f"The result has more than the {route.answer_limit} bytes that its action takes"
    )


def _failed(connector: Connector[Any, Any], error: BaseException, at: str) -> GatewayError:
    """The kind of ``error`` alone, because its text may hold what no caller should see."""
    kind = connector.connection.kind
    if isinstance(error, TimeoutError):
        return GatewayError(errors.DIAL_TIMEOUT, f"The {kind} back end at {at} did not respond in time")
    if isinstance(error, ssl.SSLError):
        return GatewayError(errors.TLS_FAILED, f"The TLS handshake with the {kind} back end at {at} failed")
    return GatewayError(errors.UPSTREAM_RESET, f"The {kind} back end at {at} failed ({type(error).__name__})")
