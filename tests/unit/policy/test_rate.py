from __future__ import annotations

import pytest
from unit.scene import Clock

from gateway.policy.rate import Buckets, RateLimit, RateLimits, Rejection
from gateway.policy.rate_store import MemoryRateStore, RateTable, Saved, slots_for

ME, YOU = 1, 2


def limit(
    rate: float,
    burst: int,
    per: float = 1.0,
    name: str = "client",
    *,
    shadow: bool = False,
    late: bool = False,
    buckets: Buckets | None = None,
) -> RateLimit:
    made = buckets or Buckets(name, MemoryRateStore(slots_for(100)))
    return RateLimit(name, rate, per, burst, made, shadow=shadow, late=late)


class Scene:
    def __init__(self, *limits: RateLimit, weight: int = 1) -> None:
        self.clock = Clock()
        self.machine = RateLimits(limits, weight, self.clock)

    def take(self, key: int = ME) -> Rejection | None:
        return self.machine.try_take([key] * len(self.machine.limits))

    def admitted(self, times: int, key: int = ME) -> int:
        return sum(self.take(key) is None for _ in range(times))

    def left(self, at: int = 0, key: int = ME) -> tuple[int, int]:
        return self.machine.limits[at].left(key, self.clock())


def test_a_bucket_begins_full_and_gets_its_tokens_one_by_one() -> None:
    scene = Scene(limit(2.0, 3))
    assert scene.admitted(5) == 3
    scene.clock.now += 0.5
    assert scene.admitted(5) == 1
    scene.clock.now += 0.75
    assert scene.admitted(5) == 1, "half a token is left"
    scene.clock.now += 0.25
    assert scene.admitted(5) == 1
    scene.clock.now += 60
    assert scene.admitted(5) == 3, "never more than the burst"


def test_each_key_has_its_own() -> None:
    scene = Scene(limit(1.0, 2))
    assert scene.admitted(5, ME) == 2
    assert scene.admitted(5, YOU) == 2


@pytest.mark.parametrize(
    ("rate", "per", "burst", "weight"), [(1, 1, 1, 1), (3, 60, 7, 2), (1, 86400, 2, 2), (9, 1, 9, 4)]
)
def test_whoever_comes_when_it_was_told_to_is_admitted_and_not_earlier(
    rate: float, per: float, burst: int, weight: int
) -> None:
    scene = Scene(limit(rate, burst, per), weight=weight)
    scene.clock.now = 1234.567
    for _ in range(50):
        while (rejection := scene.take()) is None:
            pass
        assert -1e-6 < rejection.retry_after - rejection.wait < 1
        scene.clock.now += rejection.wait - 1e-5
        assert scene.take() is not None
        scene.clock.now += 1e-5
        assert scene.take() is None


def test_retry_after_is_in_whole_seconds() -> None:
    scene = Scene(limit(10.0, 1))
    scene.take()
    rejection = scene.take()
    assert rejection is not None
    assert rejection.wait == pytest.approx(0.1)
    assert rejection.retry_after == 1


def test_a_weight_takes_that_many_tokens() -> None:
    scene = Scene(limit(1.0, 10), weight=4)
    assert scene.admitted(5) == 2
    assert scene.left() == (2, 1)
    rejection = scene.take()
    assert rejection is not None
    assert rejection.wait == pytest.approx(2.0)
    assert scene.machine.limits[0].wait(ME, 4, scene.clock()) == pytest.approx(2.0)
    assert scene.machine.limits[0].wait(ME, 2, scene.clock()) == 0.0


def test_what_one_limit_rejects_takes_nothing_from_the_others() -> None:
    scene = Scene(limit(100.0, 100, name="b"), limit(1.0, 2, name="a"))
    assert scene.admitted(50) == 2
    assert scene.left(0) == (98, 1)
    rejection = scene.take()
    assert rejection is not None
    assert rejection.limits == [1]


def test_all_that_reject_are_named_and_the_longest_wait_counts() -> None:
    scene = Scene(limit(1.0, 1, name="a"), limit(1.0, 1, per=60.0, name="b"), limit(9.0, 9, name="c"))
    scene.take()
    rejection = scene.take()
    assert rejection is not None
    assert rejection.limits == [0, 1]
    assert rejection.retry_after == 60


class TestShadow:
    def test_it_counts_what_it_would_reject(self) -> None:
        scene = Scene(limit(1.0, 2, shadow=True))
        assert [scene.take() is None for _ in range(3)] == [True, True, False]
        rejection = scene.take()
        assert rejection is not None
        assert (rejection.limits, rejection.wait) == ([0], 0.0)

    def test_it_decides_as_if_it_were_enforced(self) -> None:
        """What a limit in shadow mode rejects takes nothing from others in shadow mode, but from those that are not."""
        scene = Scene(
            limit(1.0, 1, name="a", shadow=True), limit(9.0, 9, name="b", shadow=True), limit(9.0, 9, name="c")
        )
        for _ in range(4):
            scene.take()
        assert [scene.left(at)[0] for at in range(3)] == [0, 8, 5]

    def test_it_takes_nothing_for_what_is_rejected(self) -> None:
        scene = Scene(limit(1.0, 1, name="a"), limit(9.0, 9, name="b", shadow=True))
        for _ in range(4):
            scene.take()
        assert scene.left(1)[0] == 8


class TestWhatIsLeft:
    def test_a_full_bucket_has_no_next_token(self) -> None:
        scene = Scene(limit(2.0, 3))
        assert scene.left() == (3, 0)
        scene.take()
        scene.clock.now += 60
        assert scene.left() == (3, 0)

    def test_tokens_are_whole_and_so_are_seconds(self) -> None:
        scene = Scene(limit(1.0, 4, per=10.0))
        scene.admitted(4)
        assert scene.left() == (0, 10)
        scene.clock.now += 7.5
        assert scene.left() == (0, 3)
        scene.clock.now += 2.5
        assert scene.left() == (1, 10)

    def test_the_window_is_that_of_the_whole_bucket(self) -> None:
        assert limit(10.0, 20).window == 2
        assert limit(10.0, 5).window == 1
        assert limit(3.0, 10, per=60.0).window == 200


class TestNewNumbers:
    def changed(self, before: RateLimit, rate: float, burst: int, per: float = 1.0) -> Scene:
        before.buckets.adapt(before.numbers, 1000.0)
        Scene(before).admitted(before.burst)
        after = limit(rate, burst, per, buckets=before.buckets)
        before.buckets.adapt(after.numbers, 1000.0)
        return Scene(after)

    def test_as_many_tokens_are_missing_as_before(self) -> None:
        faster = self.changed(limit(1.0, 60), 2.0, 100)
        assert faster.left() == (40, 1)
        slower = self.changed(limit(1.0, 60), 1.0, 60, per=60.0)
        assert slower.left() == (0, 60)
        slower.clock.now += 90
        assert slower.left() == (1, 30)

    def test_it_is_never_emptier_than_empty(self) -> None:
        smaller = self.changed(limit(1.0, 60), 1.0, 2)
        assert smaller.left() == (0, 1)
        rejection = smaller.take()
        assert rejection is not None
        assert rejection.wait == pytest.approx(1.0)

    def test_what_is_full_stays_full(self) -> None:
        after = self.changed(limit(1.0, 60), 1.0, 10, per=60.0)
        assert after.left(key=YOU) == (10, 0)
        after.clock.now += 3600
        assert after.left() == (10, 0)

    def test_a_smaller_bucket_fills_from_empty_while_its_key_does_not_come(self) -> None:
        smaller = self.changed(limit(1.0, 60), 1.0, 4)
        smaller.clock.now += 3
        assert smaller.left() == (3, 1)

    def of_two_processes(self, before: RateLimit, after: RateLimit) -> tuple[Scene, Scene]:
        """The one has no new numbers yet, the other has."""
        before.buckets.adapt(before.numbers, 1000.0)
        after.buckets.adapt(after.numbers, 1000.0)
        return Scene(before), Scene(after)

    def test_what_another_process_takes_by_old_numbers_shuts_no_bucket(self) -> None:
        store = MemoryRateStore(slots_for(100))
        day, second = (limit(10.0, 10, per, buckets=Buckets("all", store)) for per in (86_400.0, 1.0))
        late, early = self.of_two_processes(day, second)
        assert late.take() is None
        rejection = early.take()
        assert rejection is not None
        assert rejection.retry_after == 1
        early.clock.now += 1.0
        assert early.admitted(20) == 10

    def test_a_process_with_old_numbers_fills_no_bucket(self) -> None:
        store = MemoryRateStore(slots_for(100))
        second, day = (limit(10.0, 10, per, buckets=Buckets("all", store)) for per in (1.0, 86_400.0))
        late, early = self.of_two_processes(second, day)
        assert early.admitted(20) == 10
        assert late.take() is not None
        assert early.left() == (0, 8640)

    def test_tokens_are_charged_by_the_numbers_that_apply(self) -> None:
        """A response of the old generation that ends after a reload."""
        before = limit(10.0, 10, 86_400.0, late=True)
        after = limit(10.0, 10, 1.0, late=True, buckets=before.buckets)
        before.buckets.adapt(before.numbers, 1000.0)
        before.buckets.adapt(after.numbers, 1000.0)
        Scene(before).machine.charge([ME], 20)
        assert after.missing(ME, 1000.0) == pytest.approx(2.0)


def test_buckets_move_to_another_store() -> None:
    scene = Scene(limit(1.0, 2))
    scene.admitted(2)
    store = MemoryRateStore(slots_for(100))
    scene.machine.limits[0].buckets.move(store)
    assert scene.machine.limits[0].buckets.store is store
    assert scene.take() is not None
    assert scene.take(YOU) is None


def test_buckets_that_are_given_back_are_full_and_stay_so() -> None:
    scene = Scene(limit(1.0, 2), limit(1.0, 9, late=True))
    assert scene.admitted(3) == 2
    stores = [each.buckets.store for each in scene.machine.limits]
    assert [each.buckets.forget() for each in scene.machine.limits] == stores
    assert scene.admitted(9) == 9
    scene.machine.charge([ME, ME], 100)
    assert (scene.left(0), scene.left(1)) == ((2, 0), (9, 0))
    assert [store.table.counts[0] for store in stores] == [1, 0]


class Locked:
    """A store that writes down who is kept out when."""

    def __init__(self, name: str, log: list[str], fails: bool = False) -> None:
        self.name, self.log, self.fails = name, log, fails
        self.own = MemoryRateStore(8)

    @property
    def table(self) -> RateTable:
        if self.fails:
            raise ZeroDivisionError
        return self.own.table

    def enter(self) -> None:
        self.log.append(f"+{self.name}")

    def leave(self) -> None:
        self.log.append(f"-{self.name}")

    def hand_over(self) -> Saved:
        raise NotImplementedError

    def take_over(self, saved: Saved) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_locks_are_taken_in_one_order_whatever_the_list(names: str) -> None:
    log: list[str] = []
    scene = Scene(*[limit(1.0, 1, buckets=Buckets(name, Locked(name, log))) for name in names])
    scene.take()
    assert log == ["+a", "+b", "-b", "-a"]


def test_a_defect_leaves_no_lock_behind() -> None:
    log: list[str] = []
    scene = Scene(limit(1.0, 1, buckets=Buckets("a", Locked("a", log, fails=True))))
    with pytest.raises(ZeroDivisionError):
        scene.take()
    assert log == ["+a", "-a"]


class TestLate:
    """Limits whose tokens are known when a request is over."""

    def test_a_request_takes_nothing_and_needs_one_token(self) -> None:
        scene = Scene(limit(1.0, 3, late=True), weight=9)
        assert scene.admitted(20) == 20
        assert scene.left() == (3, 0)

    def test_what_it_owes_is_paid_first(self) -> None:
        scene = Scene(limit(1.0, 3, late=True))
        scene.machine.charge([ME], 10)
        assert scene.left() == (0, 8)
        rejection = scene.take()
        assert rejection is not None
        assert (rejection.retry_after, scene.machine.limits[0].wait(ME, 5, scene.clock())) == (8, 8.0)
        scene.clock.now += 7.9
        assert scene.take() is not None
        scene.clock.now += 0.1
        assert scene.take() is None
        assert scene.left() == (1, 1)
        assert scene.left(key=YOU) == (3, 0)

    def test_several_that_end_together_all_count(self) -> None:
        scene = Scene(limit(1.0, 3, late=True), weight=2)
        for _ in range(3):
            scene.machine.charge([ME], 5)
        assert scene.left() == (0, 28)
        scene.clock.now += 1e6
        scene.machine.charge([ME], 1)
        assert scene.left() == (1, 1)

    def test_no_tokens_leave_no_trace(self) -> None:
        scene = Scene(limit(1.0, 3, late=True))
        scene.machine.charge([ME], 0)
        assert scene.machine.limits[0].buckets.store.table.counts[0] == 0

    def test_other_numbers_keep_what_is_owed(self) -> None:
        before = limit(1.0, 60, late=True)
        before.buckets.adapt(before.numbers, 1000.0)
        Scene(before).machine.charge([ME], 100)
        after = limit(2.0, 10, late=True, buckets=before.buckets)
        before.buckets.adapt(after.numbers, 1000.0)
        assert Scene(after).left() == (0, 46)

    def test_limits_of_requests_are_not_charged(self) -> None:
        scene = Scene(limit(1.0, 5, name="a"), limit(1.0, 5, name="b", late=True))
        scene.take()
        scene.machine.charge([ME, ME], 3)
        assert [scene.left(at)[0] for at in (0, 1)] == [4, 2]
