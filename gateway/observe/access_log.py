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

    def __init__(self, writer: LineWriter | None) -> None:
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
                        self.writer.write(line(ex))

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


def line(ex: Exchange) -> bytes:
    """The line, newline included. The query is left out of ``path``: callers put keys there. Times in milliseconds."""
    request = ex.request
    target = request.target
    query = target.find(b"?")
    first = ex.first_byte_at
    return orjson.dumps(
        {
            "ts": round(time(), 3),
            "request_id": ex.request_id.decode("latin-1"),
            "proxy_name": ex.proxy,
            "method": request.method.decode("latin-1"),
            "path": (target if query < 0 else target[:query]).decode("latin-1"),
            "status_code": ex.status,
            "reason": ex.reason,
            "upstream_latency_ms": round((first - (ex.sent_at or ex.asked_at)) * 1e3, 3) if first else None,
            "proxy_latency_ms": round(own_time(ex) * 1e3, 3),
            "queue_ms": round(ex.queued * 1e3, 3),
            "duration_ms": round((ex.end_at - ex.start_at) * 1e3, 3),
            "bytes_in": ex.bytes_in,
            "bytes_out": ex.bytes_out,
            "circuit_state": ex.breaker,
            "concurrent_count": ex.concurrent,
            "client": ex.downstream.client,
            "upstream": ex.upstream,
            "attempts": ex.attempts,
            "reused": ex.reused,
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )
