"""What counts of the usage of a language model: which cells of a proxy, and which of its histograms."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.core.usage import UNKNOWN, Usage
from gateway.observe import families
from gateway.observe.sheet import Histogram


def counts_of(usage: Usage) -> Iterator[tuple[int, int]]:
    """(cell, amount) of each counter."""
    for cell, count in enumerate((usage.input, usage.output, usage.cached), families.TOKENS):
        if count > 0:
            yield cell, count
    if usage.unknown:
        yield families.USAGE_UNKNOWN + UNKNOWN.index(usage.unknown), 1


def times_of(usage: Usage, start_at: float) -> Iterator[tuple[Histogram, float]]:
    """(histogram, observation) of a stream whose request came at ``start_at``."""
    if usage.first_token_at:
        yield families.FIRST_TOKEN, usage.first_token_at - start_at
    if usage.per_second:
        yield families.TOKEN_SPEED, usage.per_second
