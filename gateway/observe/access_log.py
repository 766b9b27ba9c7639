"""The access log: one JSON line for each exchange."""

from __future__ import annotations

from typing import Final

import orjson

from gateway.core.exchange import Exchange
from gateway.observe.timing import Phases

_NO_WAITS: Final = '"queue_ms":0,"identity_ms":0,"dial_ms":0,"upload_ms":0,"transfer_ms":0,"blocked_ms":0'


def line(ex: Exchange, phases: Phases, epoch: float) -> bytes:
    """The line, newline included. The query is left out of ``path``: callers put keys there. Times in milliseconds.

    ``epoch``: what the wall clock is ahead of the monotonic one, in seconds.
    """
    request = ex.request
    if not request.logged:
        target = request.target
        query = target.find(b"?")
        path = _text(target if query < 0 else target[:query])
        request.logged = f'"method":"{request.method.decode()}","path":"{path}"'
    name = ex.request_id.decode() if ex.request_id.isalnum() else _text(ex.request_id)
    identity, queue, pool, dial, upload, first_byte, transfer, blocked, own = phases
    waits = _NO_WAITS
    if queue or identity or dial or upload or transfer or blocked:
        waits = (
            f'"queue_ms":{queue * 1e3:.3f},"identity_ms":{identity * 1e3:.3f},"dial_ms":{dial * 1e3:.3f},'
            f'"upload_ms":{upload * 1e3:.3f},"transfer_ms":{transfer * 1e3:.3f},"blocked_ms":{blocked * 1e3:.3f}'
        )
    # One literal costs half of what building a dictionary and serialising it does. Every text in it is visible ASCII
    # or was made so; the few that a client chooses go through `_text`.
    return (
        f'{{"ts":{epoch + ex.end_at:.3f},"request_id":"{name}","proxy_name":"{ex.proxy}",'
        f'{request.logged},"status_code":{ex.status},"reason":"{ex.reason}",'
        f'"upstream_latency_ms":{f"{first_byte * 1e3:.3f}" if ex.first_byte_at else "null"},'
        f'"proxy_latency_ms":{own * 1e3:.3f},"duration_ms":{(ex.end_at - ex.start_at) * 1e3:.3f},'
        f'"pool_ms":{pool * 1e3:.3f},{waits},"bytes_in":{ex.bytes_in},"bytes_out":{ex.bytes_out},'
        f'"circuit_state":"{ex.breaker}","concurrent_count":{ex.concurrent},"client":"{ex.downstream.client}",'
        f'"upstream":"{ex.upstream}","attempts":{ex.attempts},"reused":{"true" if ex.reused else "false"},'
        f'"shadow":"{ex.shadow}","trace_id":"{ex.trace_id.decode()}"}}\n'
    ).encode()


def _text(value: bytes) -> str:
    """Visible ASCII as the inside of a JSON string."""
    if b'"' in value or b"\\" in value:
        return orjson.dumps(value.decode())[1:-1].decode()
    return value.decode()
