"""Summarizes a proxy's slab in a few numbers, for views of all proxies."""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway import errors
from gateway.errors import Source
from gateway.observe import families
from gateway.observe.counters import CounterMap

_FAILURES: Final = frozenset(
    reason.code
    for reason in errors.REASONS.values()
    if reason.source is Source.UPSTREAM or reason in (errors.INTERNAL, errors.TEMPLATE_MISSING, errors.TOTAL_TIMEOUT)
)
_LEFT: Final = frozenset({errors.CLIENT_GONE.code})


class Totals(NamedTuple):
    """Counts since the start. ``errors``: failures at the upstream or in the gateway; ``refused``: refused requests."""

    requests: int
    errors: int
    refused: int
    shadowed: int
    latency: list[int]
    """A count for each of `families.LATENCY`, and one for slower values."""
    bytes_in: int
    bytes_out: int


def totals(counters: CounterMap, base: int) -> Totals:
    """The totals of the slab that begins at ``base``."""
    ints = counters.ints
    at = base + families.REQUESTS.at
    table = ints[at : at + 2 * families.REQUESTS.room].tolist()
    by_status = [(key // 16, count) for key, count in zip(table[::2], table[1::2], strict=True) if key]
    at = base + families.ERRORS
    reasons = dict(zip(families.REASONS, ints[at : at + len(families.REASONS)].tolist(), strict=True))
    failed = sum(count for code, count in reasons.items() if code in _FAILURES)
    # The upstream's own responses with such a status are failures too, and have no reason.
    bad = sum(count for status, count in by_status if status >= 500)
    ours = sum(count for code, count in reasons.items() if errors.REASONS[code].status >= 500)
    at = base + families.DURATION.at
    shadow = base + families.SHADOW_REFUSALS
    return Totals(
        sum(count for _, count in by_status),
        failed + max(0, bad - ours),
        sum(count for code, count in reasons.items() if code not in _FAILURES | _LEFT),
        sum(ints[shadow : shadow + len(families.SHADOWED)].tolist()),
        ints[at : at + len(families.LATENCY) + 1].tolist(),
        ints[base + families.BYTES_IN],
        ints[base + families.BYTES_OUT],
    )
