from __future__ import annotations

import pytest
from unit.groups import SUCCESS, GroupScene, weighted
from unit.scene import Clock

from gateway.observe import families
from gateway.policy.balance import LeastRequest
from gateway.policy.capacity import KINDS, LEAVES, Capacity, Reported, ReportRules, Said, understood
from gateway.policy.group import Rules
from gateway.policy.member import DRAINED, LEAVING, UNHEALTHY


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"3/8", Said(3, 8)),
        (b" 0/1\t", Said(0, 1)),
        (b"3 / 8", Said(3, 8)),
        (b"9/8", Said(9, 8)),
        (b"0/1000000", Said(0, 1_000_000)),
        (b"drain", LEAVES),
        (b" DRAIN ", LEAVES),
    ],
)
def test_what_can_be_true_is_understood(text: bytes, said: Said) -> None:
    assert understood(text) == said


@pytest.mark.parametrize(
    "text",
    [
        b"", b"8", b"3/", b"/8", b"0/0", b"3/0", b"-1/8", b"3/-8", b"+3/8", b"0/1000001", b"1000001/1", b"1e3/2e3",
        b"3.5/8", b"3/8/9", b"3/8, 4/8", b"3/8 drain", b"drained", b"0x3/8", b"9" * 400 + b"/8", b"\xb2/8",
        b"\xef\xbc\x93/8", b"3\n/8",
    ],
)  # fmt: skip
def test_what_cannot_be_true_changes_nothing_and_is_counted(text: bytes) -> None:
    assert understood(text) is None
    scene = Scene(2)
    scene.say("a", b"2/4")
    scene.say("a", text)
    assert scene.capacity.now(scene.group.conditions[0].member) == 4
    assert scene.group.conditions[0].reported.counts == [1, 0, 1]


def test_the_words_are_those_of_the_metrics() -> None:
    assert families.REPORTS == KINDS


class Scene(GroupScene):
    def __init__(self, count: int, *, shadow: bool = False, scales: bool = False, **more: float) -> None:
        super().__init__(count, Rules(reporting=ReportRules(10.0, shadow, scales), **more))
        assert self.group.capacity is not None
        self.capacity: Capacity = self.group.capacity

    def say(self, name: str, text: bytes) -> None:
        self.capacity.note(next(each for each in self.members if each.name == name), text)

    def weights(self) -> dict[str, float]:
        return {each.name: weight for each, weight in self.capacity.weigh(weighted(self.members), self.clock.now)}


class TestPlaces:
    def test_one_that_is_full_is_passed_over_while_another_is_not(self) -> None:
        scene = Scene(2)
        a, b = scene.members
        scene.say("a", b"0/2")
        scene.group.begin(a)
        assert scene.chosen() == {"a", "b"}
        scene.group.begin(a)
        assert scene.chosen() == {"b"}, "of b nothing is known"
        scene.say("b", b"0/1")
        scene.group.begin(b)
        assert scene.chosen() == {"a", "b"}, "the limiter rejects, not the balancer"

    def test_requests_of_others_take_places(self) -> None:
        scene = Scene(2)
        a, _ = scene.members
        scene.group.begin(a)
        scene.say("a", b"4/4")
        assert scene.group.conditions[0].reported.others == 3
        assert scene.chosen() == {"b"}
        scene.group.end(a, 0.0, SUCCESS)
        assert scene.chosen() == {"a", "b"}, "three of others, and a free place"

    def test_more_requests_of_this_process_than_it_knows_of_are_no_others(self) -> None:
        scene = Scene(2)
        for _ in range(3):
            scene.group.begin(scene.members[0])
        scene.say("a", b"1/4")  # two of them are on their way
        assert scene.group.conditions[0].reported.others == 0

    def test_weights_grow_with_the_places_when_all_say_them(self) -> None:
        scene = Scene(3, scales=True)
        scene.say("a", b"0/8")
        scene.say("b", b"0/2")
        assert scene.weights() == {"a": 1.0, "b": 1.0, "c": 1.0}
        scene.say("c", b"1/1")
        assert scene.weights() == {"a": 8.0, "b": 2.0}, "c is full"

    def test_other_methods_keep_their_weights(self) -> None:
        scene = Scene(2)
        scene.say("a", b"0/8")
        scene.say("b", b"0/2")
        assert scene.weights() == {"a": 1.0, "b": 1.0}

    def test_least_requests_are_by_their_share_of_the_places(self) -> None:
        scene = Scene(2, scales=True)
        group = scene.made(scene.group.rules, LeastRequest(lambda: 0.0))
        group.take_over(scene.group, [(1, False)] * 2, checks=True)
        a, b = scene.members
        assert group.capacity is not None
        group.capacity.note(a, b"0/10")
        group.capacity.note(b, b"0/2")
        for _ in range(4):
            group.begin(a)
        group.begin(b)
        assert group.choose(b"") is a, "4 of 10 are less than 1 of 2"
        group.begin(a)
        group.begin(a)
        assert group.choose(b"") is b

    def test_all_together(self) -> None:
        scene = Scene(3)
        scene.say("a", b"0/8")
        scene.say("b", b"0/2")
        assert scene.group.places() == 0, "c does not say"
        scene.say("c", b"0/1")
        assert scene.group.places() == 11
        scene.members[0].set(UNHEALTHY, on=True)
        assert scene.group.places() == 3
        scene.members[1].set(UNHEALTHY, on=True)
        assert scene.group.panicking
        assert scene.group.places() == 11, "all are used"
        scene.members[2].set(DRAINED, on=True)
        assert scene.group.places() == 10
        scene.say("a", b"drain")
        assert scene.group.places() == 2

    def test_without_reports_there_are_none(self) -> None:
        assert GroupScene(2, Rules()).group.places() == 0


class TestAge:
    def test_what_is_too_old_holds_no_longer(self) -> None:
        scene = Scene(2)
        scene.say("a", b"1/1")
        assert scene.chosen() == {"b"}
        scene.clock.now += 9.99
        assert scene.chosen() == {"b"}
        scene.clock.now += 0.01
        assert scene.chosen() == {"a", "b"}

    def test_the_next_look_is_due_when_the_oldest_report_gets_too_old(self) -> None:
        scene = Scene(2)
        assert scene.capacity.age() == 0.0
        scene.say("a", b"0/4")
        scene.clock.now += 4.0
        scene.say("b", b"0/4")
        assert scene.capacity.age() == 6.0
        scene.clock.now += 6.0
        assert scene.capacity.age() == 4.0
        scene.clock.now += 4.0
        assert scene.capacity.age() == 0.0


class TestDrain:
    def test_it_gets_nothing_until_a_report_without_it(self) -> None:
        scene = Scene(2)
        scene.say("a", b"drain")
        assert scene.chosen() == {"b"}
        assert scene.members[0].out == LEAVING
        scene.say("a", b"drain")
        scene.say("a", b"nonsense")
        assert scene.chosen() == {"b"}
        scene.say("a", b"0/8")
        assert scene.chosen() == {"a", "b"}
        assert scene.changes == [("a", "leaving", ""), ("a", "returned", "")]
        assert scene.group.conditions[0].reported.take_counts() == [1, 2, 1]
        assert scene.group.conditions[0].reported.take_counts() == [0, 0, 0]

    def test_it_ends_with_its_age(self) -> None:
        scene = Scene(2)
        scene.say("a", b"drain")
        scene.clock.now += 10.0
        scene.capacity.age()
        assert scene.chosen() == {"a", "b"}
        assert scene.changes[1:] == [("a", "returned", "its report is too old")]

    def test_the_last_ones_are_used_all_the_same(self) -> None:
        scene = Scene(3)
        scene.members[2].set(DRAINED, on=True)
        scene.say("a", b"drain")
        scene.say("b", b"drain")
        assert scene.group.usable
        assert not scene.group.panicking
        assert scene.chosen() == {"a", "b"}, "not what an operator drains"
        scene.members[0].set(UNHEALTHY, on=True)
        assert scene.chosen() == {"b"}
        scene.members[1].set(DRAINED, on=True)
        assert scene.chosen() == {"-"}
        assert not scene.group.usable

    def test_it_counts_for_no_panic(self) -> None:
        scene = Scene(3, panic=0.6)
        scene.members[0].set(UNHEALTHY, on=True)
        assert not scene.group.panicking
        scene.say("b", b"drain")
        assert scene.group.panicking, "one of two"
        assert scene.chosen() == {"a", "c"}

    def test_one_that_comes_back_starts_slowly(self) -> None:
        scene = Scene(2, slow_start=10.0)
        scene.say("a", b"drain")
        scene.say("a", b"0/8")
        assert scene.members[0].warm_from == scene.clock.now


class TestShadow:
    def test_reports_are_counted_and_change_nothing(self) -> None:
        scene = Scene(2, shadow=True, scales=True)
        scene.say("b", b"1/1")
        scene.say("a", b"drain")
        assert scene.chosen() == {"a", "b"}
        assert scene.changes == [("a", "leaving", "")]
        assert [each.out for each in scene.members] == [0, 0]

    @pytest.mark.parametrize("rules", [Rules(), Rules(reporting=ReportRules(10.0, shadow=True))], ids=["off", "shadow"])
    def test_one_that_leaves_comes_back_when_reports_are_switched_off(self, rules: Rules) -> None:
        scene = Scene(2)
        scene.say("a", b"drain")
        after = scene.made(rules)
        after.take_over(scene.group, [(1, False)] * 2, checks=True)
        assert scene.group.serving is after
        assert scene.members[0].out == 0
        assert not scene.conditions[0].reported.leaving

    def test_a_new_configuration_with_reports_keeps_them(self) -> None:
        scene = Scene(2)
        scene.say("a", b"drain")
        after = scene.made(Rules(reporting=ReportRules(20.0)))
        after.take_over(scene.group, [(1, False)] * 2, checks=True)
        assert scene.members[0].out == LEAVING


def test_one_that_is_no_endpoint_any_more_is_not_heard() -> None:
    scene, other = Scene(2), Scene(1)
    scene.capacity.note(other.members[0], b"drain")
    assert other.members[0].out == 0
    assert not scene.changes


def test_nothing_is_said_at_first() -> None:
    capacity = Capacity({}, ReportRules(1.0), Clock(5.0), lambda *_: None)
    assert capacity.holding(Reported(), 0.5) is None
