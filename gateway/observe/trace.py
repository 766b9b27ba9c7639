"""W3C Trace Context: which trace a request belongs to, and whether its spans are exported.

A ``traceparent`` that the client sent travels on as it came, whatever it says: a proxy that exports no span of its own
must not put itself between two that do (W3C Trace Context, 3.4 and 4.3). Only where we export a span does the upstream
get ours as its parent: for requests whose sender sampled them, and, when asked for, for a share of those without one.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Final

from gateway.core.exchange import Exchange

# Section 3.2.2; versions to come may have more behind the flags, version 00 has not. ff is forbidden.
_TRACEPARENT: Final = re.compile(
    rb"(?:00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})"
    rb"|(?!00|ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?)"
)
_NO_TRACE: Final = b"0" * 32
_NO_SPAN: Final = b"0" * 16
_SAMPLED: Final = 1


def parse(traceparent: bytes) -> tuple[bytes, bytes, bool] | None:
    """(trace id, id of the sender's span, sampled); None for what is not valid, which then means no trace."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return None
    trace, span, flags = match.groups()[:3] if match[1] is not None else match.groups()[3:]
    if trace == _NO_TRACE or span == _NO_SPAN:
        return None
    return trace, span, bool(int(flags, 16) & _SAMPLED)


class Sampler:
    """Which spans are exported. ``share`` of requests without a trace begin one; ``chance`` gives 0 to 1, and bits."""

    __slots__ = ("_bits", "_chance", "_share")

    def __init__(
        self,
        share: float,
        chance: Callable[[], float] = random.random,
        bits: Callable[[int], int] = random.getrandbits,
    ) -> None:
        self._share = share
        self._chance = chance
        self._bits = bits

    def decide(self, ex: Exchange, parsed: tuple[bytes, bytes, bool] | None) -> None:
        """Set ``trace`` (and ``parent``) where a span is to be exported; ``parsed`` is what came with the request."""
        if parsed is None:
            if self._share and self._chance() < self._share:
                ex.trace_id = b"%032x" % (self._bits(128) or 1)
                ex.trace = b"00-%b-%016x-01" % (ex.trace_id, self._bits(64) or 1)
        elif parsed[2]:
            ex.parent = parsed[1]
            ex.trace = b"00-%b-%016x-01" % (parsed[0], self._bits(64) or 1)


def follow(ex: Exchange, sampler: Sampler | None) -> None:
    """Note the trace of a request, and let ``sampler`` decide on it."""
    given = ex.request.known.get(b"traceparent")
    parsed = None
    if given is not None:
        parsed = parse(given)
        if parsed is not None:
            ex.trace_id = parsed[0]
    if sampler is not None:
        sampler.decide(ex, parsed)
