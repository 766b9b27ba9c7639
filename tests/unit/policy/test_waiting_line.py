from __future__ import annotations

import random

import pytest

from gateway.policy.codel import Codel
from gateway.policy.waiting_line import ANY, HIGH, LOW, MOST_PASSED, NORMAL, Rank, WaitingLine

HIGHS, LOWS = Rank(HIGH), Rank(LOW)


def line_of(*waiters: tuple[str, Rank], codel: Codel = Codel()) -> WaitingLine[str]:  # noqa: B008 - frozen
    line: WaitingLine[str] = WaitingLine(codel)
    for waiter, rank in waiters:
        line.add(waiter, rank, 100.0)
    return line


def taken(line: WaitingLine[str], count: int = 99) -> str:
    return "".join(line.take(100.0) for _ in range(min(count, len(line))))


def test_the_order_of_arrival() -> None:
    line = line_of(("a", ANY), ("b", ANY), ("c", ANY))
    assert len(line) == 3
    assert (line.counts, "b" in line, "x" in line) == ((0, 3, 0), True, False)
    line.remove("b")
    line.remove("b")
    assert taken(line) == "ac"
    assert (len(line), line.counts) == (0, (0, 0, 0))


def test_the_order_is_known_before_it_is_taken() -> None:
    line = line_of(("a", Rank(NORMAL, "x")), ("b", Rank(NORMAL, "x")), ("c", Rank(NORMAL, "y")), ("l", LOWS))
    assert "".join(line.lanes[NORMAL].order()) == "acb"
    assert "".join(line.order()) == "acbl" == taken(line)
    assert list(line.order()) == []


@pytest.mark.parametrize("seed", range(30))
def test_the_order_known_before_is_that_of_the_takes_whatever_was_before(seed: int) -> None:
    dice = random.Random(seed)
    line: WaitingLine[str] = WaitingLine(Codel(0.1, 0.5))
    for number in range(60):
        line.add(f"{number} ", Rank(dice.choice((HIGH, NORMAL, LOW)), dice.randrange(4)), 100.0)
    for lane in line.lanes[dice.randrange(3) :]:
        for now in (101.0, 102.0):
            lane.switch.observe(1.0, now)
    assert line.newest_first
    taken(line, dice.randrange(20))
    assert "".join(line.order()) == "".join(line.take(102.0) for _ in range(len(line)))


class TestPriority:
    def test_a_higher_one_goes_first(self) -> None:
        line = line_of(("l", LOWS), ("n", ANY), ("h", HIGHS), ("H", HIGHS))
        assert taken(line) == "hHnl"

    def test_of_two_classes_that_were_passed_too_often_the_lowest_is_first_and_no_one_waits_for_more_than_eight(
        self,
    ) -> None:
        line = line_of(*[(f"{n:x}", HIGHS) for n in range(12)], ("n", ANY), ("l", LOWS))
        assert taken(line) == "01234567ln89ab"
        assert MOST_PASSED == 8

    def test_one_who_comes_to_an_empty_class_begins_to_count(self) -> None:
        line = line_of(*[(f"{n:x}", HIGHS) for n in range(16)])
        assert taken(line, 7) == "0123456"
        line.add("l", LOWS, 100.0)
        assert taken(line) == "789abcdel" + "f"


class TestFairness:
    def test_callers_take_turns(self) -> None:
        one, two = Rank(NORMAL, b"1"), Rank(NORMAL, b"2")
        line = line_of(("a", one), ("b", one), ("c", one), ("d", two), ("e", two))
        assert taken(line) == "adbec"

    def test_a_caller_who_left_has_no_turn(self) -> None:
        one, two = Rank(NORMAL, b"1"), Rank(NORMAL, b"2")
        line = line_of(("a", one), ("d", two), ("b", one))
        line.remove("d")
        assert taken(line) == "ab"
        assert [lane.callers for lane in line.lanes] == [0, 0, 0]


class TestMakingWay:
    def test_no_one_makes_way_for_his_equal(self) -> None:
        line = line_of(("a", ANY), ("b", ANY), ("c", ANY))
        assert not line.yields_to(ANY)
        assert line.displace(ANY) is None
        assert line.displace(LOWS) is None
        assert len(line) == 3

    def test_the_newest_of_the_lowest_makes_way_for_a_higher_one_but_for_the_last(self) -> None:
        line = line_of(("l", LOWS), ("L", LOWS), ("n", ANY), ("N", ANY))
        assert [line.yields_to(HIGHS), line.displace(HIGHS)] == [True, "L"]
        assert line.displace(ANY) is None
        assert line.displace(HIGHS) == "N"
        assert line.displace(HIGHS) is None
        assert taken(line) == "nl"

    def test_the_newest_of_the_caller_with_the_most_makes_way_for_one_with_less(self) -> None:
        one, two, three = (Rank(NORMAL, caller) for caller in (b"1", b"2", b"3"))
        line = line_of(("a", one), ("b", one), ("c", one), ("d", two), ("e", two), ("f", two), ("g", two))
        assert line.displace(three) == "g"
        line.add("x", three, 100.0)
        assert line.displace(three) == "c"
        assert line.displace(one) is None, "two of his wait, and no one has more than three"
        line.remove("f")
        assert line.displace(three) is None
        assert taken(line) == "adxbe"


class TestNewestFirst:
    RULES = Codel(target=0.1, interval=0.5)

    def overloaded(self) -> WaitingLine[str]:
        line: WaitingLine[str] = WaitingLine(self.RULES)
        for at, waiter in enumerate("abcdefgh"):
            line.add(waiter, ANY, 100.0 + at / 10)
        assert [line.take(101.0), line.newest_first] == ["a", False]
        assert [line.take(101.5), line.newest_first] == ["h", True]
        return line

    def test_the_newest_goes_first_when_all_wait_long(self) -> None:
        line = self.overloaded()
        line.add("x", ANY, 101.5)
        assert [line.take(101.5), line.take(101.5)] == ["x", "g"]

    def test_who_is_too_old_is_named_the_oldest_first(self) -> None:
        line = self.overloaded()
        line.add("x", ANY, 101.5)
        gone = []
        for waiter in line.too_old(101.5):
            gone.append(waiter)
            line.remove(waiter)
        assert gone == list("bcdefg")
        assert [*line.too_old(101.5)] == []
        assert line.take(101.5) == "x"

    def test_short_waits_bring_the_order_of_arrival_back(self) -> None:
        line = self.overloaded()
        for waiter in "bcdefg":
            line.remove(waiter)
        line.add("x", ANY, 102.0)
        assert not line.newest_first, "no one waited any more"
        line.add("y", ANY, 102.0)
        assert taken_at(line, 102.05) == "xy"

    def test_a_class_that_is_served_is_not_overloaded_because_a_lower_one_waits(self) -> None:
        line: WaitingLine[str] = WaitingLine(self.RULES)
        line.add("l", LOWS, 90.0)
        for at in range(8):
            line.add(f"h{at}", HIGHS, 100.0 + at)
            assert line.take(100.0 + at) == f"h{at}"
        assert [line.take(110.0), line.newest_first] == ["l", False]

    def test_without_a_target_the_order_is_that_of_arrival_again(self) -> None:
        line = self.overloaded()
        line.configure(Codel())
        assert not line.newest_first
        assert taken(line) == "bcdefg"


def taken_at(line: WaitingLine[str], now: float) -> str:
    return "".join(line.take(now) for _ in range(len(line)))


class TestAhead:
    def test_all_that_wait_in_the_order_of_arrival(self) -> None:
        line = line_of(("a", ANY), ("b", ANY))
        assert [line.ahead(rank) for rank in (HIGHS, ANY, LOWS)] == [0, 2, 2]

    def test_of_many_higher_ones_those_that_may_pass(self) -> None:
        line = line_of(*[(f"h{n}", HIGHS) for n in range(30)], ("n", ANY))
        assert [line.ahead(rank) for rank in (HIGHS, ANY, LOWS)] == [30, 17, 8]

    def test_with_turns_one_of_each_other_caller_at_the_least(self) -> None:
        one, two, three = (Rank(NORMAL, caller) for caller in (b"1", b"2", b"3"))
        line = line_of(*[(f"a{n}", one) for n in range(9)], ("d", two))
        assert [line.ahead(rank) for rank in (one, two, three)] == [10, 2, 2]

    def test_no_one_of_the_same_class_when_the_newest_goes_first(self) -> None:
        assert TestNewestFirst().overloaded().ahead(ANY) == 0

    @pytest.mark.parametrize("seed", range(30))
    def test_no_fewer_are_admitted_before_a_newcomer(self, seed: int) -> None:
        dice = random.Random(seed)
        callers = dice.choice((1, 3))
        line = line_of(*[(f"{n}", Rank(dice.choice((HIGH, NORMAL)), dice.randrange(callers))) for n in range(40)])
        taken(line, dice.randrange(20))
        rank = Rank(dice.choice((HIGH, NORMAL)), 0)
        ahead = line.ahead(rank)
        line.add("new", rank, 100.0)
        before = list(line.order()).index("new")
        assert ahead <= before
        if callers == 1 and rank.priority == NORMAL:
            assert ahead == before, "exact, because none is below that may come between"
