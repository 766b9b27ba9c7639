from __future__ import annotations

import pytest

from gateway.core.attempt import NO_ATTEMPT, Attempt

TIMES = ("asked_at", "sent_at", "first_byte_at", "last_byte_at", "pooled", "dialled")


@pytest.mark.parametrize("attempt", [Attempt("up:1"), NO_ATTEMPT])
def test_nothing_has_happened_yet(attempt: Attempt) -> None:
    assert {getattr(attempt, name) for name in TIMES} == {0.0}
    assert not attempt.reused


def test_two_attempts_share_nothing() -> None:
    first, second = Attempt("a:1"), Attempt("b:1")
    first.asked_at = 5.0
    assert (second.asked_at, second.endpoint) == (0.0, "b:1")
