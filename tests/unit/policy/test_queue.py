from __future__ import annotations

from gateway.policy.queue import WaitQueue


def queue_of(*waiters: str, room: int = 10) -> WaitQueue[str]:
    queue = WaitQueue[str](room)
    for waiter in waiters:
        assert queue.join(waiter)
    return queue


def test_first_come_first_served() -> None:
    queue = queue_of("a", "b", "c")
    assert [queue.pop(), queue.pop(), queue.pop()] == ["a", "b", "c"]


def test_nobody_waits() -> None:
    assert queue_of().pop() is None


def test_leaving_from_the_middle_keeps_the_order() -> None:
    queue = queue_of("a", "b", "c")
    queue.leave("b")
    assert len(queue) == 2
    assert [queue.pop(), queue.pop()] == ["a", "c"]


def test_leaving_twice_is_harmless() -> None:
    queue = queue_of("a", "b")
    queue.leave("a")
    queue.leave("a")
    assert len(queue) == 1


def test_a_full_queue_takes_nobody() -> None:
    queue = queue_of("a", "b", room=2)
    assert queue.full
    assert not queue.join("c")
    assert len(queue) == 2


def test_a_place_given_up_is_a_place_for_another() -> None:
    queue = queue_of("a", "b", room=2)
    queue.leave("a")
    assert queue.join("c")
    assert [queue.pop(), queue.pop()] == ["b", "c"]


def test_a_queue_without_room_is_full() -> None:
    assert WaitQueue[str](0).full
    assert not WaitQueue[str](0).join("a")


def test_less_room_sends_nobody_away() -> None:
    queue = queue_of("a", "b", "c", room=3)
    queue.max_waiting = 1
    assert len(queue) == 3
    assert [queue.pop(), queue.pop()] == ["a", "b"]
    assert not queue.join("d")
    assert queue.pop() == "c"
    assert queue.join("d")


def test_more_room_is_there_at_once() -> None:
    queue = queue_of("a", room=1)
    queue.max_waiting = 2
    assert queue.join("b")
