from __future__ import annotations

import pytest

from gateway.core.usage import NOT_SAID, Usage


def usage(**facts: float) -> Usage:
    made = Usage()
    for name, value in facts.items():
        setattr(made, name, value)
    return made


def test_what_is_not_known_counts_nothing() -> None:
    assert (usage().tokens, usage().cached, usage().unknown) == (0, NOT_SAID, "cut")
    assert usage(input=7).tokens == 7
    assert usage(input=7, output=5, cached=3).tokens == 12


@pytest.mark.parametrize(
    ("facts", "speed"),
    [
        ({"output": 21, "first_token_at": 100.0, "read_at": 102.0}, 10.0),
        ({"output": 21, "read_at": 102.0}, 0.0),
        ({"output": 1, "first_token_at": 100.0, "read_at": 102.0}, 0.0),
        ({"output": 21, "first_token_at": 100.0, "read_at": 100.001}, 0.0),
        ({"output": 21, "first_token_at": 100.0, "read_at": 99.0}, 0.0),
        ({"first_token_at": 100.0, "read_at": 102.0}, 0.0),
    ],
    ids=["stream", "no token", "one token", "all at once", "cut", "no number"],
)
def test_a_speed_needs_time_after_the_first_token(facts: dict[str, float], speed: float) -> None:
    assert usage(**facts).per_second == pytest.approx(speed)
