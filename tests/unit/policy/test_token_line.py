from __future__ import annotations

import pytest
from unit.scene import Clock

from gateway.policy.rate import Buckets, RateLimit, RateLimits, Reservation
from gateway.policy.rate_store import MemoryRateStore, slots_for
from gateway.policy.token_line import TokenLine


class Scene:
    """Each limit: its rate in a second, its burst, and whether it is in shadow mode."""

    def __init__(self, *limits: tuple[float, int, bool]) -> None:
        self.clock = Clock()
        self.buckets = [Buckets(str(at), MemoryRateStore(slots_for(1))) for at in range(len(limits))]
        made = [
            RateLimit(buckets.name, rate, 1.0, burst, buckets, shadow=shadow, owes=True)
            for buckets, (rate, burst, shadow) in zip(self.buckets, limits, strict=True)
        ]
        self.machine = RateLimits(made, 1, self.clock)
        for limit in made:
            limit.buckets.adapt(limit.numbers, self.clock.now)
        self.keys = [1] * len(made)
        self.line: TokenLine[str] = TokenLine(self.machine, self.keys)

    def empty(self) -> None:
        while self.machine.try_take(self.keys) is None:
            pass

    def join(self, names: str, within: float = 60.0) -> list[bool]:
        return [self.line.join(name, self.clock.now + within) for name in names]

    def due(self, seconds: float = 0.0) -> str:
        self.clock.now += seconds
        return "".join(waiter for waiter, _ in self.line.due())

    def reserved(self) -> Reservation:
        made = self.machine.reserve(self.keys, self.clock.now + 60.0)
        assert made is not None
        return made


def test_the_first_to_come_has_the_first_token_and_others_wait_behind_all() -> None:
    scene = Scene((1.0, 2, False))
    scene.empty()
    assert scene.line.next_at is None
    assert scene.join("abc") == [True] * 3
    assert (len(scene.line), scene.line.next_at) == (3, scene.clock.now + 1.0)
    rejection = scene.machine.try_take(scene.keys)
    assert rejection is not None
    assert rejection.wait == 4.0, "behind three"
    assert [scene.due(0.5), scene.due(0.5), scene.due(2.0), scene.due(60.0)] == ["", "a", "bc", ""]


def test_who_would_wait_too_long_takes_nothing() -> None:
    scene = Scene((1.0, 1, False))
    scene.empty()
    assert scene.join("abc", within=2.0) == [True, True, False]
    scene.line.leave("c")
    assert scene.join("d", within=3.0) == [True]
    assert scene.due(3.0) == "abd"


def test_all_behind_one_who_leaves_are_a_token_earlier() -> None:
    scene = Scene((1.0, 1, False))
    scene.empty()
    scene.join("abc")
    scene.line.leave("a")
    assert [scene.due(1.0), scene.due(1.0)] == ["b", "c"]
    scene.join("d")
    assert scene.due(1.0) == "d", "the last token was given back"


def test_a_token_that_cannot_be_given_back_is_for_the_next_and_only_in_its_time() -> None:
    scene = Scene((1.0, 1, False))
    scene.empty()
    scene.join("a")
    theirs = scene.reserved()
    scene.line.leave("a")
    assert scene.join("b", within=0.5) == [False], "the token is due in a second"
    assert scene.join("b") == [True]
    assert (scene.due(1.0), theirs.at) == ("b", scene.clock.now + 1.0)
    scene.join("c")
    scene.reserved()
    scene.line.leave("c")
    scene.clock.now += 30.0
    scene.empty()
    scene.join("d")
    assert (scene.due(), scene.due(1.0)) == ("", "d"), "one that no one has used in its time is lost"


def test_a_token_that_was_not_used_is_for_the_next_at_once() -> None:
    scene = Scene((1.0, 1, False))
    scene.empty()
    scene.join("ab")
    scene.clock.now += 1.0
    ((_, token),) = scene.line.due()
    scene.line.give_back(token)
    assert scene.due() == "b"
    assert scene.machine.try_take(scene.keys) is not None
    scene.clock.now += 1.0
    assert scene.machine.try_take(scene.keys) is None, "the token of b was given back"


def test_a_token_waits_for_all_limits_and_takes_from_each_at_that_moment() -> None:
    scene = Scene((1.0, 1, False), (8.0, 1, False))
    scene.empty()
    scene.join("ab")
    assert [scene.due(0.125), scene.due(0.875), scene.due(0.5), scene.due(0.5)] == ["", "a", "", "b"]
    assert scene.machine.limits[1].missing(1, scene.clock.now) == 0.125, "that of b alone"


@pytest.mark.parametrize("rate", [1.0, 0.125])
def test_a_limit_in_shadow_mode_holds_no_one_up(rate: float) -> None:
    """It gives a token where it has one by then: here it has one again after a second, or it has none."""
    scene = Scene((1.0, 1, False), (rate, 2, True))
    for _ in range(2):
        assert scene.machine.try_take(scene.keys) is None
        scene.clock.now += 1.0
    scene.clock.now -= 1.0
    taken = scene.reserved()
    assert taken.at == scene.clock.now + 1.0
    gives = [at for at, *_ in taken.taken]
    assert gives == ([0, 1] if rate == 1.0 else [0])
    assert scene.machine.give_back(taken)
    assert scene.machine.limits[0].missing(1, scene.clock.now) == 1.0


def test_limits_that_are_forgotten_hold_no_one_up() -> None:
    scene = Scene((1.0, 1, False))
    scene.empty()
    scene.join("ab")
    for buckets in scene.buckets:
        buckets.forget()
    scene.line.leave("b")
    assert scene.join("cd") == [True, True]
    assert [scene.due(), scene.due(1.0), scene.due(1.0)] == ["a", "c", "d"], "who waits keeps its place"


def test_new_numbers_keep_what_is_reserved_and_a_smaller_bucket_forgets_it() -> None:
    scene = Scene((1.0, 2, False))
    scene.empty()
    scene.join("abcd")
    limit = scene.machine.limits[0]
    faster = RateLimit("0", 2.0, 1.0, 2, scene.buckets[0], owes=True)
    scene.buckets[0].adapt(faster.numbers, scene.clock.now)
    assert limit.missing(1, scene.clock.now) == 3.0, "six tokens"
    scene.join("e")
    assert scene.line.next_at == scene.clock.now + 1.0
    assert scene.due(2.5) == "abc", "the last to come has brought an earlier token into the line"
    smaller = RateLimit("0", 2.0, 1.0, 1, scene.buckets[0], owes=True)
    scene.buckets[0].adapt(smaller.numbers, scene.clock.now)
    assert limit.missing(1, scene.clock.now) == 0.5
