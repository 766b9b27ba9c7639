"""The terminal handler: one attempt on one stream to the endpoint, and the relay of both bodies."""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import Final, NamedTuple

from gateway import errors
from gateway.config import records
from gateway.config.fallback import Fallback
from gateway.core.attempt import Attempt
from gateway.core.event_stream import Events
from gateway.core.exchange import GRPC_DUE, Exchange
from gateway.core.layer import Handler
from gateway.core.message import HTTP_2 as OVER_HTTP_2
from gateway.core.stream import ClientStream, ServerStream
from gateway.errors import GatewayError
from gateway.policy.retry import IDEMPOTENT, STALE
from gateway.proxy.bounded import BoundedRelay, EnoughError
from gateway.proxy.bridge import Bridge
from gateway.proxy.grpc import TIMEOUT, status_of_trailers, timeout_line
from gateway.proxy.header_fields import ConfiguredFields
from gateway.proxy.layers.fall_back import discards_for, fallback_line
from gateway.proxy.locations import Locations
from gateway.proxy.reply import Relay, Treatment, Upload, end_of_body
from gateway.proxy.rewrite import VIA, RequestRewrite
from gateway.proxy.watched import watched_by
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.pool import Pool
from gateway.upstream.reports import Reports

_HTTP_2: Final = "2"
"""There an endpoint may say that it has done nothing with a request: then it is repeated, whatever its method."""


def send(
    route: records.Route,
    endpoint: Endpoint,
    response_header: float,
    via: bytes = VIA,
    *,
    watch_events: bool = False,
    last: bool = False,
    reports: Reports | None = None,
) -> Handler:
    """Send the exchange's request to ``endpoint`` and relay the response.

    ``response_header``: seconds within which the response must begin after the whole request was sent; 0: no bound.
    ``watch_events``: even where the route sets no bounds for them. ``last``: the endpoint is of the route's fallback,
    and nothing comes after it. ``reports``: takes what endpoints say of themselves; None: that is not looked at.
    Raises `GatewayError`; whatever happens, the connection is then back in the pool or closed. A response that is not
    for the caller, because another attempt or the fallback follows, ends without an error and without a commit.
    """
    fields = ConfiguredFields(route.headers)
    fallback = None if last else route.fallback
    return _handler(
        _Way(
            endpoint.pool,
            f"{endpoint.origin.address or endpoint.origin.host}:{endpoint.origin.port}",
            fields,
            _rewrite(route, endpoint, fields, via),
            _treatment(route, endpoint, fallback, reports, watch_events=watch_events),
            response_header,
            route.retries.bound,
            fallback is not None and fallback.upstream != "",
            last,
            BoundedRelay if route.answer_limit else Relay,
        )
    )


class _Way(NamedTuple):
    """What all requests of one route to one endpoint have in common.

    ``response_header``, ``per_try``: seconds for the head of a response, from the end of the request and from the begin
    of the attempt; 0: no bound. ``keeps``: a body that is there as a whole is kept for the fallback. ``last`` as in
    `send`. ``reply``: what the response goes to.
    """

    pool: Pool
    address: str
    fields: ConfiguredFields
    rewrite: RequestRewrite
    treatment: Treatment
    response_header: float
    per_try: float
    keeps: bool
    last: bool
    reply: type[Relay]


def _handler(way: _Way) -> Handler:
    pool, address, fields, rewrite, treatment, response_header, per_try, keeps, last, reply = way
    bound = min(response_header, per_try) if response_header and per_try else response_header or per_try
    personal, within = fields.personal, response_header or per_try

    async def handle(ex: Exchange) -> None:
        request, down = ex.request, ex.downstream
        attempt = Attempt(address)
        stream = _pooled(ex, attempt, pool) or await _dial(attempt, pool, per_try)
        attempt.http_version = stream.http_version
        outgoing = rewrite.request(request, down.peer, ex.trace)
        identified = b"X-Request-Id: %b\r\n" % ex.request_id
        lines = fields.lines(ex.principal) + identified if personal else identified
        if last:
            identified += fallback_line(ex)
        if TIMEOUT in request.known:
            lines += timeout_line(ex, monotonic())
        try:
            body = _whole_body(ex, down, keeps=keeps) if request.length else b""
            if body is None:
                await Upload(ex, stream, identified, treatment, bound).run(outgoing, lines)
            else:
                bridged = outgoing.upgrade and request.minor == OVER_HTTP_2
                relay = (Bridge if bridged else reply)(ex, stream, identified, treatment)
                done = stream.send(outgoing, lines + relay.key if bridged else lines, body, relay, down.limits)
                attempt.asked_at = attempt.sent_at = now = monotonic()  # one write: there is no upload to measure
                if bound:
                    by = now + within
                    stream.expect_by(min(by, attempt.began_at + per_try) if per_try else by, errors.HEADER_TIMEOUT)
                await done
        except BaseException as error:
            if _broken_off(ex, stream, error):
                raise
            return
        finally:
            attempt.first_byte_at, attempt.last_byte_at = stream.first_byte_at, stream.last_byte_at
            ex.bytes_out, ex.blocked = down.body_out, down.blocked
            if ex.events is not None:
                _end_watch(ex, ex.events)
        if ex.grpc_status == GRPC_DUE:
            ex.grpc_status = status_of_trailers(stream.trailers)
        # Where there was no body, all of it was taken.
        stream.release((not request.length and ex.retries is None) or end_of_body(ex))

    return handle


def _broken_off(ex: Exchange, stream: ClientStream, error: BaseException) -> bool:
    """End an attempt that broke off. False: of a response that is there, or that is not for the caller anyway."""
    end_of_body(ex)
    stream.abandon(ex.gone_at)
    if isinstance(error, EnoughError):
        return False
    if ex.retries is not None and ex.retries.discarding:  # the one that does not fit may be of the other attempt
        return not isinstance(error, GatewayError)
    nowhere = ex.discarded if ex.opened is None else ex.discarded or ex.opened.unfit
    if nowhere is None:
        return True
    nowhere.close()
    return not isinstance(error, GatewayError)


def _prefix(route: records.Route) -> bytes:
    """What is stripped from the path."""
    return route.path.rstrip("/").encode() if route.strip_path else b""


def _rewrite(route: records.Route, endpoint: Endpoint, fields: ConfiguredFields, via: bytes) -> RequestRewrite:
    origin, connector = endpoint.origin, endpoint.pool.connector
    return RequestRewrite(
        None if route.preserve_host else origin.authority.encode(),
        fields.fixed + connector.proxy_fields,
        fields.names,
        base=connector.absolute_form + origin.base,
        prefix=_prefix(route),
        via=via,
        websocket=route.websocket,
        forwards=not route.own,
    )


def _treatment(
    route: records.Route, endpoint: Endpoint, fallback: Fallback | None, reports: Reports | None, *, watch_events: bool
) -> Treatment:
    locations, origin = None, endpoint.origin
    if route.rewrite_location:
        locations = Locations(origin.scheme.encode(), origin.authority.encode(), origin.base, _prefix(route))
    watched = watched_by(route, fallback, watch_events=watch_events)
    reported = None if reports is None else partial(reports.take, endpoint.member)
    discards = discards_for(fallback)
    plain = watched is None and discards is None and reported is None
    return Treatment(locations, watched, discards, reported, route.answer_limit, plain)


def _end_watch(ex: Exchange, events: Events) -> None:
    events.close()
    if events.overdue:
        ex.shadow = ex.shadow or errors.STREAM_STALLED.code


def _pooled(ex: Exchange, attempt: Attempt, pool: Pool) -> ClientStream | None:
    """Begin ``attempt``, on a connection from the pool, unless the one before met a stale connection there."""
    attempt.began_at = began = monotonic()
    before, ex.attempt = ex.attempt, attempt
    ex.attempts += 1
    if before.endpoint:
        ex.retried += began - before.began_at
        ex.events = ex.usage = None  # of a response that the caller did not get
        if ex.failures and ex.failures[-1] == STALE:
            return None
    stream = pool.take()
    attempt.pooled = monotonic() - began
    attempt.reused = stream is not None
    return stream


async def _dial(attempt: Attempt, pool: Pool, within: float) -> ClientStream:
    """``within``: seconds, besides those that the upstream has for it; 0: no such bound."""
    began = monotonic()
    try:
        if not within:
            return await pool.dial()
        async with asyncio.timeout(within):
            return await pool.dial()
    except TimeoutError:
        details = f"No connection could be opened within {within:g} s (retries.per_try_timeout)"
        raise GatewayError(errors.DIAL_TIMEOUT, details) from None
    finally:
        attempt.dialled = monotonic() - began


def _whole_body(ex: Exchange, down: ServerStream, *, keeps: bool) -> bytes | None:
    """The request's body when all of it is there, and is to be sent with the head; else it is relayed as it comes.

    ``keeps``: the fallback may send it once more, whatever the method, where its keeper has room.
    """
    body, retries = ex.body, ex.retries
    if body is not None or down.awaits_continue or (retries is not None and retries.relayed):
        return body
    body, attempt = down.take_body(), ex.attempt
    if body is not None and keeps and ex.keeper is not None and ex.keeper.keep(len(body)):
        ex.body = body
        return body
    kept = (attempt.reused and ex.request.method in IDEMPOTENT) or attempt.http_version == _HTTP_2
    if kept or (retries is not None and body is not None and retries.keep(body)):
        ex.body = body
    return body
