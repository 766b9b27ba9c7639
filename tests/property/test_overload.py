"""Load shedding under whatever is measured: the share moves as promised, and as many are refused as it says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.overload import CALM, FALL_SECONDS, FULL_AT, MOST_AT_ONCE, RISE_SECONDS, Overload

LIMITS = st.sampled_from([0.0, 0.05, 0.5, 2.0])
MEMORIES = st.sampled_from([0, 1000, 10**9])
STEPS = st.lists(
    st.tuples(st.floats(0.0, 10.0), st.floats(0.0, 20.0), st.integers(0, 2 * 10**9), st.integers(0, 20)),
    max_size=60,
)


def excess(memory: int, limit: int) -> float:
    """The share that memory alone asks for."""
    return min(1.0, max(0.0, (memory - limit) / ((FULL_AT - 1.0) * limit))) if limit else 0.0


@given(LIMITS, MEMORIES, STEPS)
def test_the_share_follows_the_model(
    limit: float, memory_limit: int, steps: list[tuple[float, float, int, int]]
) -> None:
    machine = Overload()
    machine.configure(limit, memory_limit, shadow=False)
    now, late, refused, due = 1.0, 0.0, 0, 0.0
    machine.measure(now, 0.0, 0)
    for elapsed, lag, memory, requests in steps:
        now += elapsed
        machine.measure(now, lag, memory)
        if limit and lag > limit:
            late = min(1.0, late + min(elapsed / RISE_SECONDS, MOST_AT_ONCE))
        elif limit and lag < limit * CALM:
            late = max(0.0, late - elapsed / FALL_SECONDS)
        assert 0.0 <= machine.share <= 1.0
        assert abs(machine.share - max(late, excess(memory, memory_limit))) < 1e-6
        assert (machine.cause == "") is (machine.share == 0.0)
        assert 1 <= machine.retry_after() <= FALL_SECONDS
        for _ in range(requests):
            refused += machine.refuses()
            due += machine.share
            assert due - 1.0 - 1e-6 <= refused <= due + 1e-6
