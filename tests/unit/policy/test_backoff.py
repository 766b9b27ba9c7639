from __future__ import annotations

import pytest

from gateway.policy.backoff import pause


@pytest.mark.parametrize(
    ("retry", "longest"), [(1, 0.025), (2, 0.075), (3, 0.175), (4, 0.25), (9, 0.25)], ids=lambda value: str(value)
)
def test_the_range_doubles_up_to_the_longest_pause(retry: int, longest: float) -> None:
    assert pause(retry, 0.025, 0.25, lambda: 1.0) == pytest.approx(longest)
    assert pause(retry, 0.025, 0.25, lambda: 0.5) == pytest.approx(longest / 2)
    assert pause(retry, 0.025, 0.25, lambda: 0.0) == 0.0


def test_without_a_base_there_is_no_pause() -> None:
    assert pause(3, 0.0, 0.25, lambda: 0.99) == 0.0
