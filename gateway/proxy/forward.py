"""The terminal handler: one attempt on one connection, then the relay of both bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from gateway import errors
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler
from gateway.core.message import ResponseHead
from gateway.policy.retry import IDEMPOTENT
from gateway.proxy.fields import ConfiguredFields
from gateway.proxy.rewrite import Locations
from gateway.proxy.server_timing import timing_fields
from gateway.upstream.pool import Pool
from gateway.upstream.upstream import Upstream
from gateway.wire.downstream import DownstreamConnection
from gateway.wire.headers import VIA, HeadTemplate, response_head
from gateway.wire.upstream import UpstreamConnection

CONTINUE_SECONDS = 1.0
"""How long an upstream may take to answer ``Expect: 100-continue`` before the body is sent all the same."""

_CONTINUE = ResponseHead(100, b"Continue", 1, [], {}, 0, True)


def forward(upstream: Upstream, via: bytes = VIA) -> Handler:
    """Send the exchange's request to ``upstream`` and its answer back.

    Raises `GatewayError`; whatever happens, the connection is then back in the pool or closed.
    """
    settings = upstream.settings
    pool = upstream.pool
    connector = pool.connector
    base = connector.absolute_form + upstream.endpoint.base
    strip = len(settings.path.rstrip("/")) if settings.strip_path else 0
    fields = ConfiguredFields(settings.headers)
    host = None if settings.preserve_host else upstream.endpoint.authority.encode()
    prefix = settings.path.rstrip("/").encode() if settings.strip_path else b""
    template = HeadTemplate(host, fields.fixed + connector.proxy_fields, fields.names, prefix, via)
    locations = (
        Locations(
            upstream.endpoint.scheme.encode(), upstream.endpoint.authority.encode(), upstream.endpoint.base, prefix
        )
        if settings.rewrite_location
        else None
    )
    response_header = settings.timeouts.response_header
    address = f"{upstream.endpoint.host}:{upstream.endpoint.port}"

    async def handle(ex: Exchange) -> None:
        ex.upstream = address
        request = ex.request
        down: DownstreamConnection = ex.downstream  # type: ignore[assignment] # cast() is a call
        # A second attempt is made because a pooled connection was stale: it gets a fresh one.
        ex.attempts += 1
        began = monotonic()
        connection = None
        if ex.attempts == 1:
            connection = pool.take()
            ex.pooled = monotonic() - began
        else:
            ex.retried = began - ex.asked_at
            ex.asked_at = ex.sent_at = ex.first_byte_at = 0.0
        ex.reused = connection is not None
        if connection is None:
            connection = await _dial(ex, pool)
        connection.limits = down.limits
        head = template.fill(request, base, strip, down.forwarding, ex.request_id, fields.lines(ex.principal), ex.trace)

        def commit(response: ResponseHead) -> bytes:
            ex.status = response.status
            ex.committed = True
            ex.streamed = response.length < 0
            if locations is not None:
                response = locations.rewritten(response, request.known.get(b"host", b""))
            framing = down.frame(response.length)
            if ex.timed:
                framing += timing_fields(ex, down, connection)
            start = response_head(response, framing, ex.request_id)
            ex.commit_at = monotonic()
            return start

        try:
            body = _whole_body(ex, down) if request.length else b""
            if body is None:
                connection.replaced = template.replaced
                await _relay_body(ex, down, connection, head, commit, response_header)
            else:
                on_interim = down.interim
                if body:
                    head += body
                    on_interim = down.interim_after_body
                done = connection.send(head, request.method == b"HEAD", down, commit, on_interim)
                ex.asked_at = ex.sent_at = monotonic()  # it went out in one write: there is no upload to measure
                if response_header:
                    connection.expect_within(response_header, errors.HEADER_TIMEOUT)
                await done
        except BaseException:
            down.stop_upload()
            connection.abandoned_at = ex.gone_at
            connection.abort()
            raise
        finally:
            if connection.answered:
                ex.first_byte_at = connection.first_byte_at
                ex.last_byte_at = connection.last_byte_at
            ex.bytes_out = down.body_out
            ex.blocked = down.blocked
        complete = down.body_complete
        if not complete:
            down.stop_upload()
        if connection.rest(complete):
            pool.give_back(connection)
        else:
            connection.abort()

    return handle


async def _dial(ex: Exchange, pool: Pool) -> UpstreamConnection:
    began = monotonic()
    try:
        return await pool.dial()
    finally:
        ex.dialled += monotonic() - began


def _whole_body(ex: Exchange, down: DownstreamConnection) -> bytes | None:
    """The request's body when all of it is there, and is to be sent with the head; else it is relayed as it comes."""
    body = ex.body
    if body is None and not down.awaits_continue:
        body = down.take_body()
        if ex.reused and ex.request.method in IDEMPOTENT:
            ex.body = body
    return body


async def _relay_body(
    ex: Exchange,
    down: DownstreamConnection,
    connection: UpstreamConnection,
    head: bytes,
    commit: Callable[[ResponseHead], bytes],
    response_header: float,
) -> None:
    """The exchange of a request whose body is yet to come, or waits for ``100 Continue``."""
    expects = down.awaits_continue
    uploading = not expects

    def on_uploaded() -> None:
        ex.sent_at = monotonic()
        if not ex.committed:
            connection.expect_within(response_header, errors.HEADER_TIMEOUT)

    def begin_upload() -> None:
        nonlocal uploading
        if not uploading and not ex.committed:
            uploading = True
            connection.expect_within(0, errors.HEADER_TIMEOUT)
            down.upload(connection, on_uploaded)

    def on_interim(interim: ResponseHead) -> None:
        if interim.status != 100 or not uploading:  # a 100 that comes after ours is one too many
            down.interim(interim)
        if interim.status == 100:
            begin_upload()

    def give_continue() -> None:
        if not uploading and not ex.committed:
            down.interim(_CONTINUE)
            begin_upload()

    done = connection.send(head, ex.request.method == b"HEAD", down, commit, on_interim)
    ex.asked_at = monotonic()
    timer: asyncio.TimerHandle | None = None
    if expects:
        connection.expect_within(response_header, errors.HEADER_TIMEOUT)
        timer = connection.loop.call_later(CONTINUE_SECONDS, give_continue)
    else:
        down.upload(connection, on_uploaded)
    try:
        await done
    finally:
        if timer is not None:
            timer.cancel()
