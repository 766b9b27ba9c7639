from __future__ import annotations

from unit.machines import give_back
from unit.scene import Clock

from gateway.policy.estimated_queue import EstimatedQueue
from gateway.policy.limiter import Limiter


def test_an_estimated_queue_is_full_too_slow_or_in_time() -> None:
    clock = Clock()
    limiter = Limiter(2, clock=clock)
    limiter.try_acquire()
    give_back(limiter, 4.0)  # permits are held for four seconds: one of two is free each two seconds
    queue = EstimatedQueue(limiter, max_waiting=3, timeout=5.0)
    assert [queue.rejection() for _ in range(3)] == ["", "", "queue_timeout"]
    clock.now += 2.0
    assert queue.rejection() == "", "the first was served"
    clock.now += 60.0
    assert queue.rejection() == ""
    small = EstimatedQueue(limiter, max_waiting=1, timeout=50.0)
    assert [small.rejection(), small.rejection()] == ["", "queue_full"]


def test_a_wait_that_is_just_long_enough_is_in_time() -> None:
    limiter = Limiter(1, clock=Clock())
    limiter.try_acquire()
    give_back(limiter, 4.0)
    for timeout, verdict in ((4.0, ""), (3.9, "queue_timeout")):
        assert EstimatedQueue(limiter, max_waiting=3, timeout=timeout).rejection() == verdict


def test_nothing_is_known_of_a_limit_that_was_never_used() -> None:
    clock = Clock()
    queue = EstimatedQueue(Limiter(1, clock=clock), max_waiting=1, timeout=1.0)
    assert [queue.rejection(), queue.rejection()] == ["", "queue_full"]
    clock.now += 1.0
    assert queue.rejection() == "", "no one waits for longer"


def test_with_prediction_who_would_wait_much_too_long_is_rejected_at_once() -> None:
    limiter = Limiter(1, clock=Clock())
    limiter.try_acquire()
    give_back(limiter, 4.0)
    queue = EstimatedQueue(limiter, max_waiting=9, timeout=5.0, predict=True)
    assert queue.rejection(2.6) == "queue_predicted_timeout", "the deadline comes first"
    assert queue.rejection(0.0) == "", "that is no question of the queue"
    assert queue.rejection(2.7) == "queue_predicted_timeout"
    assert queue.rejection() == "queue_predicted_timeout"
    assert EstimatedQueue(limiter, max_waiting=9, timeout=3.0, predict=True).rejection() == "queue_timeout"
    assert EstimatedQueue(limiter, max_waiting=9, timeout=3.0).rejection(0.1) == "queue_timeout"
