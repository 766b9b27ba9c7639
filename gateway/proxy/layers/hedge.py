"""Applies the hedge: a second attempt while the first one runs, when that takes longer than usual.

The attempts share the deadline of the exchange, its permit covers the first one that ends last, and the second one has
a permit of its own, for which nothing ever waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.core.exchange import Exchange
from gateway.core.hedge import Hedge
from gateway.core.layer import Handler, Layer
from gateway.policy.retry import IDEMPOTENT, SAFE
from gateway.proxy.race import Means, Race
from gateway.wire.buffers import BufferPool

METHODS: Final[Mapping[str, frozenset[bytes]]] = {"idempotent": IDEMPOTENT, "safe": SAFE}
_NOT: Final = -1


def hedge(means: Means, buffers: BufferPool, most: int) -> Layer:
    """Let an exchange whose request may run twice have a second attempt, once. Sets ``hedge``.

    ``buffers``: in whose budget a body is kept; ``most``: bytes that it may have.
    """
    methods = METHODS[means.settings.methods]

    def layer(next_handler: Handler) -> Handler:
        async def handle(ex: Exchange) -> None:
            kept = _keep_body(ex, buffers, most) if _may(ex, methods) else _NOT
            if kept == _NOT:
                await next_handler(ex)
                return
            ex.hedge = known = Hedge()
            try:
                await Race(ex, known, means, next_handler).run()
            finally:
                buffers.let_go(kept)

        return handle

    return layer


def _may(ex: Exchange, methods: frozenset[bytes]) -> bool:
    """A request gets one hedge, also where it is sent again: retries and hedges do not multiply. A tunnel has none."""
    before = ex.hedge
    once = before is None or not (before.sent or before.withheld or before.shadowed)
    return once and ex.request.method in methods and b"upgrade" not in ex.request.known


def _keep_body(ex: Exchange, buffers: BufferPool, most: int) -> int:
    """Take the body of the request where it is there as a whole: the bytes that are kept, or `_NOT`."""
    length, body = ex.request.length, ex.body
    if length == 0:
        return 0
    if body is None:
        relayed = ex.retries is not None and ex.retries.relayed
        if not 0 < length <= most or relayed or ex.downstream.awaits_continue:
            return _NOT
        body = ex.body = ex.downstream.take_body()
    if body is None or len(body) > most or not buffers.keep(len(body)):
        return _NOT
    return len(body)
