"""The access log: one JSON line for each exchange, and the layer that writes it."""

from __future__ import annotations

import asyncio
from time import monotonic, time

import orjson

from gateway import errors
from gateway.core.exchange import Exchange
from gateway.core.layer import Handler, Layer
from gateway.observe.line_writer import LineWriter


class AccessLog:
    """``writer`` None: the exchanges are timed all the same, and no line is written."""

    def __init__(self, writer: LineWriter[Exchange] | None) -> None:
        self.writer = writer

    def observe(self, proxy: str) -> Layer:
        """The outermost layer of the proxy's chain."""

        def layer(next_handler: Handler) -> Handler:
            async def handle(ex: Exchange) -> None:
                ex.proxy = proxy
                try:
                    await next_handler(ex)
                except asyncio.CancelledError:
                    cancelled(ex)
                    raise
                finally:
                    ex.end_at = monotonic()
                    if self.writer is not None:
                        self.writer.write(ex)

            return handle

        return layer


def cancelled(ex: Exchange) -> None:
    """An exchange that was cut from outside: the reason was left in it, and the client saw no status of ours."""
    reason = errors.REASONS.get(ex.reason, errors.CLIENT_GONE)
    ex.reason = reason.code
    if reason is errors.CLIENT_GONE or not ex.committed:
        ex.status = reason.status


def own_time(ex: Exchange) -> float:
    """Seconds that the gateway itself took: neither the upstream's, nor the queue's, nor a slow client's."""
    if not ex.asked_at:
        return max(0.0, ex.end_at - ex.start_at - ex.queued - ex.dialled)
    before = ex.asked_at - ex.start_at - ex.queued - ex.dialled
    if not ex.first_byte_at:
        return max(0.0, before)
    if not ex.commit_at:
        return max(0.0, before + ex.end_at - ex.first_byte_at)
    after = ex.commit_at - ex.first_byte_at
    if ex.end_at > ex.last_byte_at:
        after += max(0.0, ex.end_at - max(ex.last_byte_at, ex.commit_at) - ex.blocked)
    return max(0.0, before + after)


# A template costs half of what building a dictionary and serialising it does. Every text in it is visible ASCII or was
# made so; the few that a client chooses go through `_text`.
_LINE = (
    b'{"ts":%.3f,"request_id":"%b","proxy_name":"%b","method":"%b","path":"%b","status_code":%d,"reason":"%b",'
    b'"upstream_latency_ms":%b,"proxy_latency_ms":%.3f,"queue_ms":%.3f,"duration_ms":%.3f,"bytes_in":%d,"bytes_out":%d,'
    b'"circuit_state":"%b","concurrent_count":%d,"client":"%b","upstream":"%b","attempts":%d,"reused":%b}\n'
)


def line(ex: Exchange) -> bytes:
    """The line, newline included. The query is left out of ``path``: callers put keys there. Times in milliseconds."""
    request = ex.request
    target = request.target
    query = target.find(b"?")
    first = ex.first_byte_at
    return _LINE % (
        # Rendered a moment later, in a batch; the wall clock may have been set meanwhile.
        time() - monotonic() + ex.end_at,
        _text(ex.request_id),
        ex.proxy.encode(),
        request.method,
        _text(target if query < 0 else target[:query]),
        ex.status,
        ex.reason.encode(),
        b"%.3f" % ((first - (ex.sent_at or ex.asked_at)) * 1e3) if first else b"null",
        own_time(ex) * 1e3,
        ex.queued * 1e3,
        (ex.end_at - ex.start_at) * 1e3,
        ex.bytes_in,
        ex.bytes_out,
        ex.breaker.encode(),
        ex.concurrent,
        ex.downstream.client.encode(),
        ex.upstream.encode(),
        ex.attempts,
        b"true" if ex.reused else b"false",
    )


def _text(value: bytes) -> bytes:
    """Visible ASCII as the inside of a JSON string."""
    if b'"' in value or b"\\" in value:
        return orjson.dumps(value.decode("latin-1"))[1:-1]
    return value
