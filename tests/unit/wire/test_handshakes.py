"""How many handshakes there are, and what became of each."""

from __future__ import annotations

from gateway.observe.families import HANDSHAKE_OUTCOMES
from gateway.wire.handshakes import OUTCOMES, Handshakes


class Shaking:
    def __init__(self, all_of_them: Handshakes) -> None:
        self._all = all_of_them
        self.closed = False

    def make_room(self) -> None:
        self.closed = True
        self._all.end(self, "room")


def test_the_oldest_makes_room() -> None:
    handshakes = Handshakes(most=2)
    first, second, third = (Shaking(handshakes) for _ in range(3))
    for each in (first, second, third):
        handshakes.begin(each)
    assert [each.closed for each in (first, second, third)] == [True, False, False]
    assert len(handshakes) == 2


def test_each_is_counted_once() -> None:
    handshakes = Handshakes()
    one = Shaking(handshakes)
    handshakes.begin(one)
    handshakes.end(one, "full")
    handshakes.end(one, "left")
    assert {outcome: count for outcome, count in handshakes.counts.items() if count} == {"full": 1}
    assert len(handshakes) == 0


def test_the_metric_has_the_same_outcomes() -> None:
    assert OUTCOMES == HANDSHAKE_OUTCOMES
