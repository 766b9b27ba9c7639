from __future__ import annotations

import pytest

from gateway.core.usage import UNKNOWN, Usage
from gateway.observe import families
from gateway.observe.model_usage import counts_of, times_of


def usage(unknown: str = "", **facts: float) -> Usage:
    made = Usage(unknown)
    for name, value in facts.items():
        setattr(made, name, value)
    return made


def test_tokens_count_by_kind() -> None:
    at = families.TOKENS
    assert list(counts_of(usage(input=7, output=0, cached=3))) == [(at, 7), (at + 2, 3)]
    assert list(counts_of(usage(output=5))) == [(at + 1, 5)]


@pytest.mark.parametrize("cause", UNKNOWN)
def test_what_is_unknown_counts_by_its_cause(cause: str) -> None:
    cells = list(counts_of(usage(cause)))
    assert cells == [(families.USAGE_UNKNOWN + UNKNOWN.index(cause), 1)]


def test_times_of_a_stream() -> None:
    made = usage(output=21, first_token_at=100.0, read_at=102.0)
    assert list(times_of(made, 99.5)) == [(families.FIRST_TOKEN, 0.5), (families.TOKEN_SPEED, 10.0)]
    assert list(times_of(usage(first_token_at=100.0), 99.5)) == [(families.FIRST_TOKEN, 0.5)]
    assert list(times_of(usage(output=21, read_at=102.0), 99.5)) == []
