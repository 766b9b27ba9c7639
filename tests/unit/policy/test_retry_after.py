from __future__ import annotations

import random
from collections import Counter

import pytest

from gateway.policy.retry_after import MAX_RETRY_AFTER, PERSISTENCE, TRICKLE, ReturnSchedule


class Scene:
    """An upstream of so many places a second, and arrivals that are counted as a limiter would."""

    def __init__(self, rate: float, load: float = 0.0) -> None:
        self.rate = rate
        self.load = load or rate
        self.now = 1000.0
        self.arrived = 0
        self.schedule = ReturnSchedule(self.now)

    def refuse(self, count: int = 1, start: float = 0.0) -> list[int]:
        """So many come at once and are refused."""
        told = []
        for _ in range(count):
            self.arrived += 1
            told.append(self.schedule.reserve(self.now, self.arrived, self.rate, self.load, start))
        return told

    def peek(self, start: float = 0.0) -> int:
        return self.schedule.peek(self.now, self.arrived, self.rate, self.load, start)

    def overload(self, seconds: float, times: float = 4.0) -> list[int]:
        """Arrivals of so many times the rate, evenly spread: the rate is admitted, and the others are refused."""
        told = []
        steps = int(seconds * self.rate * times)
        for step in range(steps):
            self.now += seconds / steps
            if step % times >= 1:
                told += self.refuse()
            else:
                self.arrived += 1
        return told

    def admit(self, seconds: int, count: int) -> None:
        """So many arrive in each of so many seconds, and none is refused."""
        for _ in range(seconds):
            self.now += 1
            self.arrived += count


class TestCrowd:
    """Many at once, and no one after them."""

    @pytest.mark.covers("FR-011")
    def test_it_comes_back_as_fast_as_the_upstream_bears(self) -> None:
        assert Counter(Scene(rate=10).refuse(100)) == dict.fromkeys(range(1, 11), 10)

    @pytest.mark.parametrize(
        ("rate", "told"), [(1.0, [1, 2, 3]), (0.5, [2, 4, 6]), (0.3, [4, 7, 10]), (1.5, [1, 2, 2]), (0.1, [10, 20, 30])]
    )
    def test_a_slow_upstream_has_a_place_every_so_many_seconds(self, rate: float, told: list[int]) -> None:
        assert Scene(rate).refuse(3) == told

    def test_those_who_wait_come_first(self) -> None:
        assert Scene(rate=10).refuse(22, start=2.5) == [3] * 5 + [4] * 10 + [5] * 7

    def test_what_is_promised_to_one_is_not_promised_to_the_next_who_comes_later(self) -> None:
        scene = Scene(rate=10)
        scene.refuse(40)
        scene.now += 2.0
        scene.arrived += 10
        assert scene.refuse(11) == [3] * 10 + [4]

    @pytest.mark.parametrize(("start", "told"), [(1.0, 2), (1.5, 2), (5.0, 6)])
    def test_a_second_that_a_longer_queue_hid_is_given_away_when_the_queue_is_gone(
        self, start: float, told: int
    ) -> None:
        scene = Scene(rate=10)
        assert scene.refuse(1, start=start) == [told]
        assert scene.refuse(11) == [1] * 10 + [2]

    def test_nobody_is_told_more_than_the_most(self) -> None:
        scene = Scene(rate=1)
        assert scene.refuse(MAX_RETRY_AFTER + 5)[-6:] == [MAX_RETRY_AFTER] * 6
        scene.now += MAX_RETRY_AFTER + 1
        scene.arrived += MAX_RETRY_AFTER + 5
        assert scene.refuse() == [1], "they have come back, and their places are free"

    def test_a_long_silence_forgets_all(self) -> None:
        scene = Scene(rate=1)
        scene.refuse(50)
        scene.now += MAX_RETRY_AFTER * 1000 + 0.5
        assert scene.refuse(2) == [1, 2]

    def test_to_look_keeps_no_place(self) -> None:
        scene = Scene(rate=1)
        assert [scene.peek(), scene.peek(), *scene.refuse(), scene.peek()] == [1, 1, 1, 2]


class TestOverload:
    """Fresh arrivals leave no room."""

    def test_one_that_goes_on_gives_places_away_at_a_trickle(self) -> None:
        scene = Scene(rate=100)
        scene.admit(seconds=10, count=400)
        scene.overload(0.5)
        scene.now += 8.0
        scene.arrived += 3200
        horizon = int(PERSISTENCE * 8.5)
        told = scene.refuse(10)
        assert max(Counter(told).values()) == 100 * TRICKLE
        assert max(told) < horizon
        assert Counter(scene.refuse(1000))[horizon + 3] == 100, "and at the full rate when it is expected to be over"

    def test_the_longer_it_has_lasted_the_longer_it_is_expected_to_last(self) -> None:
        scene = Scene(rate=100)
        told = [max(scene.overload(1.0)) for _ in range(5)]
        assert told == sorted(told)
        assert told[-1] > PERSISTENCE * 4

    def test_it_ends_where_places_are_given_at_the_full_rate(self) -> None:
        scene = Scene(rate=100)
        told = Counter(scene.overload(0.5))
        assert sum(told.values()) == 150
        assert max(told) <= 0.5 * PERSISTENCE + 2

    def test_it_is_forgotten_when_it_is_over(self) -> None:
        scene = Scene(rate=100)
        scene.overload(5.0)
        scene.admit(seconds=MAX_RETRY_AFTER, count=20)
        scene.now += 0.5
        assert scene.refuse(120) == [1] * 100 + [2] * 20

    def test_a_second_with_room_makes_half_of_it_forgotten(self) -> None:
        scene = Scene(rate=100)
        scene.overload(8.0)
        far = scene.peek()
        scene.admit(seconds=12, count=0)
        assert 12 + scene.peek() < far, "what was far is near now, by more than the time that went by"

    @pytest.mark.parametrize(("lasted", "first"), [(8, 17), (2, 5), (1, 3), (0, 1)])
    def test_what_lasted_before_a_second_with_room_counts_half(self, lasted: int, first: int) -> None:
        """What lasted for 8 seconds is taken for one of 4, which lasts for 16 more: the full rate begins after them."""
        scene = Scene(rate=100, load=50)
        scene.admit(seconds=40, count=60)
        scene.refuse()
        if lasted:
            scene.admit(seconds=lasted, count=60)
            scene.peek()
        scene.admit(seconds=1, count=0)
        told = Counter(scene.refuse(1000))
        assert min(second for second, count in told.items() if count == 100) == first

    def test_silence_ends_it_however_slow_the_upstream(self) -> None:
        scene = Scene(rate=1)
        scene.admit(seconds=40, count=5)
        scene.refuse()
        scene.admit(seconds=30, count=0)
        assert scene.refuse(2) == [1, 2]

    def test_promises_that_fell_due_between_two_looks_are_taken_from_the_seconds_in_which_they_fell_due(self) -> None:
        """12.5 fresh ones a second on average before, and none in the second in which 10 came who had been promised."""
        scene = Scene(rate=10, load=16)
        scene.admit(seconds=40, count=10)
        assert Counter(scene.refuse(30)) == {1: 10, 2: 10, 3: 10}
        scene.admit(seconds=2, count=10)
        assert scene.refuse() == [2]

    def test_those_who_are_due_now_do_not_count_as_fresh(self) -> None:
        scene = Scene(rate=10, load=15)
        scene.admit(seconds=40, count=6)
        assert scene.refuse(10) == [1] * 10
        scene.now += 1
        assert scene.refuse(7) == [1] * 7

    def test_the_very_first_request_counts(self) -> None:
        scene = Scene(rate=4, load=3)
        assert scene.refuse() == [1]
        scene.now += 0.5
        assert scene.refuse() == [2], "two that are fresh leave one place a second, and that is given away"

    def test_what_came_before_the_first_look_counts_as_evenly_spread(self) -> None:
        """One a second is twice what this upstream bears; two in one second and none in the next would be calm."""
        scene = Scene(rate=0.5)
        scene.admit(seconds=1, count=1)
        scene.now += 1
        assert scene.refuse() == [2]
        scene.now += 1
        assert scene.peek() == 7

    def test_those_who_come_when_they_were_told_are_not_fresh(self) -> None:
        scene = Scene(rate=10)
        promised = Counter(scene.refuse(300))
        for second in range(1, 21):
            scene.admit(1, promised[second])
        assert scene.refuse(10) == [11] * 10, "all seconds are as full as they were made, and none is given up"

    @pytest.mark.parametrize(("fresh", "room"), [(40, 60), (80, 20), (300, 100 * TRICKLE)])
    def test_what_fresh_arrivals_leave_is_given_away(self, fresh: int, room: float) -> None:
        scene = Scene(rate=100)
        scene.admit(seconds=40, count=fresh)
        scene.refuse()
        for _ in range(3):
            scene.admit(1, fresh)
            scene.refuse()
        told = Counter(scene.refuse(int(room)))
        if fresh >= 50:
            assert told.most_common(1)[0][1] == pytest.approx(room, abs=2)
        else:
            assert set(told) == {1}, "more than half is free: that is no overload"

    def test_where_gaps_are_lost_more_may_come(self) -> None:
        told = []
        for load in (100.0, 130.0):
            scene = Scene(rate=100, load=load)
            scene.admit(seconds=40, count=100)
            scene.refuse()
            scene.admit(seconds=3, count=100)
            told.append(max(scene.refuse(100)))
        assert told[0] > told[1]


class Loop:
    """Users who ask, think, and come again after Retry-After; ``rate`` a second are served, ``room`` may wait."""

    THINK = 10
    """All times in tenths of a second."""

    def __init__(self, users: int, rate: int, room: int) -> None:
        self.dice = random.Random(1)
        self.scene = Scene(rate)
        self.room = room
        self.waiting = 0
        self.served = 0
        self.tries: Counter[bool] = Counter()
        self.agenda: dict[int, list[bool]] = {}
        for _ in range(users):
            self.later(0, self.THINK * self.dice.random(), again=False)

    def later(self, now: int, after: float, *, again: bool) -> None:
        self.agenda.setdefault(now + 1 + int(after), []).append(again)

    def run(self, seconds: int, judged: int) -> None:
        rate = int(self.scene.rate)
        for tenth in range(seconds * 10):
            if tenth == judged * 10:
                self.served, self.tries = 0, Counter()
            self.scene.now += 0.1
            done = min(self.waiting, rate // 10)
            self.waiting -= done
            self.served += done
            for _ in range(done):
                self.later(tenth, self.THINK * (0.5 + self.dice.random()), again=False)
            for again in self.agenda.pop(tenth, []):
                self.ask(tenth, again=again)

    def ask(self, tenth: int, *, again: bool) -> None:
        admitted = self.waiting < self.room
        if again:
            self.tries[admitted] += 1
        if admitted:
            self.scene.arrived += 1
            self.waiting += 1
        else:
            seconds = self.scene.refuse(start=self.waiting / self.scene.rate)[0]
            self.later(tenth, seconds * 10 * (1 + 0.1 * self.dice.random()), again=True)


@pytest.mark.covers("FR-011")
def test_users_who_obey_are_served_at_the_next_try() -> None:
    """Their undisturbed demand is four times what the upstream bears."""
    loop = Loop(users=440, rate=100, room=80)
    loop.run(seconds=120, judged=10)
    assert loop.tries.total() > 200
    assert loop.tries[True] >= 0.9 * loop.tries.total()
    assert loop.served >= 0.95 * 100 * 110


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_the_ledger_stays_within_its_bounds(seed: int) -> None:
    """Promises are whole seconds from 1 to the most, after those who wait, and a peek shows what the next caller
    gets."""
    dice = random.Random(seed)
    scene = Scene(dice.choice((0.01, 0.5, 10.0, 1000.0)))
    for _ in range(300):
        scene.now += dice.choice((0.0, 0.001, 0.3, 1.0, 50.0))
        scene.arrived += dice.choice((0, 0, 1, 30))
        scene.load = scene.rate * dice.choice((0.9, 1.5))
        start = dice.choice((0.0, 0.7, 20.0))
        seen = scene.peek(start)
        told = scene.schedule.reserve(scene.now, scene.arrived, scene.rate, scene.load, start)
        assert seen == told
        assert 1 <= told <= MAX_RETRY_AFTER
        assert told > start
