"""Active checks against a model that looks at the whole list of results each time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.health import Checked, Health


def model(results: list[bool], healthy_after: int, unhealthy_after: int) -> Health:
    """What all ``results`` together say, with nothing clever in it."""
    state = Health.UNKNOWN
    for end in range(1, len(results) + 1):
        if end == 1:
            state = Health.UP if results[0] else Health.DOWN
        elif state is Health.UP and end >= unhealthy_after and not any(results[end - unhealthy_after : end]):
            state = Health.DOWN
        elif state is Health.DOWN and end >= healthy_after and all(results[end - healthy_after : end]):
            state = Health.UP
    return state


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 5), st.integers(1, 5))
def test_it_behaves_like_the_model(results: list[bool], healthy_after: int, unhealthy_after: int) -> None:
    checked = Checked()
    for at, good in enumerate(results):
        before = checked.state
        told = checked.note("" if good else "broken", float(at), healthy_after, unhealthy_after)
        assert checked.state is model(results[: at + 1], healthy_after, unhealthy_after)
        assert told is (checked.state is not before and (before, checked.state) != (Health.UNKNOWN, Health.UP))
