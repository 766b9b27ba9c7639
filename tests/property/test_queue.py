"""The queue against a plain list: 100,000 random steps."""

from __future__ import annotations

import random

import pytest

from gateway.policy.queue import WaitQueue

STEPS = 20_000


@pytest.mark.covers("T056")
@pytest.mark.parametrize("seed", range(5))
def test_it_behaves_like_a_list(seed: int) -> None:
    dice = random.Random(seed)
    queue, model, served = WaitQueue[int](8), list[int](), list[int]()
    for newcomer in range(STEPS):
        match dice.randrange(8):
            case 0 | 1 | 2 | 3:
                assert queue.join(newcomer) is (len(model) < queue.max_waiting)
                if len(model) < queue.max_waiting:
                    model.append(newcomer)
            case 4 | 5:
                expected = model.pop(0) if model else None
                assert queue.pop() == expected
                served += [expected] if expected is not None else []
            case 6:
                gone = dice.choice(model) if model and dice.random() < 0.9 else dice.randrange(newcomer + 1)
                queue.leave(gone)
                if gone in model:
                    model.remove(gone)
            case 7:
                queue.max_waiting = dice.randrange(12)
        assert list(queue.waiters) == model
        assert len(queue) == len(model)
        assert queue.full is (len(model) >= queue.max_waiting)
    assert served == sorted(served), "served in the order of arrival"
    assert len(served) > STEPS / 20
