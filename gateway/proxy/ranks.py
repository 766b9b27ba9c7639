"""When a request is next in the queue: its priority, and the caller it counts for. Read only when it has to wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.config import records
from gateway.core import forwarded
from gateway.core.exchange import Exchange
from gateway.policy.waiting_line import ANY, HIGH, LOW, NORMAL, Rank
from gateway.proxy.rate_keys import KeyOf, key_of
from gateway.rules.evaluate import header

RankOf = Callable[[Exchange], Rank]
_BY_WORD: Final = {"high": HIGH, "normal": NORMAL, "low": LOW}


def any_rank(exchange: Exchange) -> Rank:
    """Of a queue in which all are alike."""
    del exchange
    return ANY


def rank_of(priority: records.Priority, fair: str) -> RankOf:
    """What reads the rank of an exchange. ``fair``: ``client``, ``principal``, or ``none``."""
    if priority == records.Priority() and fair == "none":
        return any_rank
    priority_of = _priority_of(priority)
    caller_of: KeyOf = key_of("all" if fair == "none" else fair)
    return lambda ex: Rank(priority_of(ex), caller_of(ex))


def _priority_of(settings: records.Priority) -> Callable[[Exchange], int]:
    default = _BY_WORD[settings.default]
    listed = dict.fromkeys(settings.high, HIGH) | dict.fromkeys(settings.low, LOW)
    read = header(forwarded.folded(settings.header.encode())) if settings.header else None

    def priority(ex: Exchange) -> int:
        known = ex.principal
        # A list of the operator says more than a field that the caller may have written.
        if known is not None and known.id in listed:
            return listed[known.id]
        word = None if read is None else read(None, ex.request)
        return default if word is None else _BY_WORD.get(str(word).lower(), default)

    return priority
