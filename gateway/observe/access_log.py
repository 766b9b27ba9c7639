"""The access log: one JSON line for each exchange."""

from __future__ import annotations

from typing import Final

import orjson

from gateway.core.exchange import Exchange
from gateway.observe.timing import Phases

# A template costs half of what building a dictionary and serialising it does. Every text in it is visible ASCII or was
# made so; the few that a client chooses go through `_text`.
_LINE: Final = (
    b'{"ts":%.3f,"request_id":"%b","proxy_name":"%b","method":"%b","path":"%b","status_code":%d,"reason":"%b",'
    b'"upstream_latency_ms":%b,"proxy_latency_ms":%.3f,"queue_ms":%b,"duration_ms":%.3f,"identity_ms":%b,"pool_ms":%b,'
    b'"dial_ms":%b,"upload_ms":%b,"transfer_ms":%b,"blocked_ms":%b,"bytes_in":%d,"bytes_out":%d,"circuit_state":"%b",'
    b'"concurrent_count":%d,"client":"%b","upstream":"%b","attempts":%d,"reused":%b,"shadow":"%b","trace_id":"%b"}\n'
)


def line(ex: Exchange, phases: Phases, epoch: float) -> bytes:
    """The line, newline included. The query is left out of ``path``: callers put keys there. Times in milliseconds.

    ``epoch``: what the wall clock is ahead of the monotonic one, in seconds.
    """
    request = ex.request
    target = request.target
    query = target.find(b"?")
    identity, queue, pool, dial, upload, first_byte, transfer, blocked, own = phases
    return _LINE % (
        epoch + ex.end_at,
        _text(ex.request_id),
        ex.proxy.encode(),
        request.method,
        _text(target if query < 0 else target[:query]),
        ex.status,
        ex.reason.encode(),
        b"%.3f" % (first_byte * 1e3) if ex.first_byte_at else b"null",
        own * 1e3,
        b"%.3f" % (queue * 1e3) if queue else b"0",
        (ex.end_at - ex.start_at) * 1e3,
        b"%.3f" % (identity * 1e3) if identity else b"0",
        b"%.3f" % (pool * 1e3) if pool else b"0",
        b"%.3f" % (dial * 1e3) if dial else b"0",
        b"%.3f" % (upload * 1e3) if upload else b"0",
        b"%.3f" % (transfer * 1e3) if transfer else b"0",
        b"%.3f" % (blocked * 1e3) if blocked else b"0",
        ex.bytes_in,
        ex.bytes_out,
        ex.breaker.encode(),
        ex.concurrent,
        ex.downstream.client.encode(),
        ex.upstream.encode(),
        ex.attempts,
        b"true" if ex.reused else b"false",
        ex.shadow.encode(),
        ex.trace_id,
    )


def _text(value: bytes) -> bytes:
    """Visible ASCII as the inside of a JSON string."""
    if b'"' in value or b"\\" in value:
        return orjson.dumps(value.decode("latin-1"))[1:-1]
    return value
