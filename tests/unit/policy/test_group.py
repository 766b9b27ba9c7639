from __future__ import annotations

import gc
import weakref

import pytest
from unit.groups import EJECTION, FAILURE, IGNORED, SUCCESS, GroupScene, dice
from unit.scene import Clock

from gateway.policy.balance import LeastRequest
from gateway.policy.ejection import EjectionRules, Standing
from gateway.policy.group import CAUSES, Condition, Group, Rules
from gateway.policy.member import DRAINED, EJECTED, PROBATION, UNHEALTHY, Member

SHADOW = Rules(EJECTION, shadow=True)


class TestWhoIsChosen:
    def test_all_of_them_while_all_are_well(self) -> None:
        assert GroupScene(3).chosen(3) == {"a", "b", "c"}

    def test_one_that_is_drained_is_not(self) -> None:
        scene = GroupScene(3, settings=[(1, False), (1, True), (1, False)])
        assert scene.chosen() == {"a", "c"}
        assert scene.group.usable

    def test_none_when_all_are_drained(self) -> None:
        scene = GroupScene(2, settings=[(1, True), (1, True)])
        assert scene.group.choose(b"") is None
        assert (scene.group.usable, scene.group.panicking) == (False, False)

    def test_one_that_is_down_is_not(self) -> None:
        scene = GroupScene(3)
        scene.group.check(scene.members[0], "status 503")
        assert scene.chosen() == {"b", "c"}
        for _ in range(2):
            scene.group.check(scene.members[0], "")
        assert scene.chosen() == {"a", "b", "c"}
        assert scene.changes == [("a", "down", "status 503"), ("a", "up", "")]

    def test_one_that_has_failed_is_tried_again_only_when_there_is_no_other(self) -> None:
        scene = GroupScene(2)
        a, b = scene.members
        assert {scene.group.choose(b"", (a,)) for _ in range(5)} == {b}
        assert {scene.group.choose(b"", (a, b)) for _ in range(5)} == {a, b}

    def test_one_that_was_passed_over_is_not_chosen_at_all(self) -> None:
        scene = GroupScene(2)
        a, b = scene.members
        assert {scene.group.choose(b"", (), (a,)) for _ in range(5)} == {b}
        assert {scene.group.choose(b"", (a,), (b,)) for _ in range(5)} == {a}
        assert scene.group.choose(b"", (), (a, b)) is None


class TestPanic:
    def test_too_few_that_are_well_make_all_be_used(self) -> None:
        scene = GroupScene(3, settings=[(1, False), (1, False), (1, True)])
        scene.group.check(scene.members[0], "no response")
        assert not scene.group.panicking, "half of those that are not drained are well"
        assert scene.chosen() == {"b"}
        scene.group.check(scene.members[1], "no response")
        assert (scene.group.panicking, scene.group.usable) == (True, True)
        assert scene.chosen(7) == {"a", "b"}
        assert scene.group.take_counts() == (7, 0)
        assert scene.group.take_counts() == (0, 0)

    def test_its_begin_and_its_end_are_told_once(self) -> None:
        scene = GroupScene(2, Rules(healthy_after=1, panic=1.0))
        a = scene.members[0]
        scene.group.check(a, "no response")
        scene.chosen()
        assert scene.panics == [True]
        scene.group.check(a, "")
        scene.chosen()
        assert scene.panics == [True, False]
        scene.group.check(a, "no response")
        scene.group.check(a, "no response")
        scene.group.check(a, "no response")
        scene.chosen()
        assert scene.panics == [True, False, True]

    def test_its_end_is_told_by_a_new_configuration(self) -> None:
        scene = GroupScene(2, Rules(panic=1.0))
        scene.group.check(scene.members[0], "no response")
        scene.chosen()
        old, scene.group = scene.group, scene.made(Rules(panic=0.5))
        scene.group.take_over(old, [(1, False)] * 2, checks=True)
        assert (scene.chosen(), scene.panics) == ({"b"}, [True, False])

    def test_it_can_be_switched_off(self) -> None:
        scene = GroupScene(2, Rules(panic=0.0))
        for member in scene.members:
            scene.group.check(member, "no response")
        assert scene.group.choose(b"") is None
        assert (scene.group.panicking, scene.group.usable) == (False, False)


class TestEjection:
    def test_one_that_fails_gets_nothing_for_its_time(self) -> None:
        scene = GroupScene(3)
        a = scene.members[0]
        scene.fail(a)
        assert a.out == EJECTED
        assert (a.attempts, a.failures, a.in_flight) == (3, 3, 0)
        scene.clock.now += 9.9
        assert scene.chosen() == {"b", "c"}
        scene.clock.now += 0.1
        assert scene.chosen() == {"a", "b", "c"}
        assert a.out == PROBATION
        assert scene.changes == [("a", "ejected", "3 failures in a row"), ("a", "probation", "")]
        assert {cause for _, cause, _ in scene.changes} < set(CAUSES)

    def test_one_on_probation_has_one_request_at_a_time(self) -> None:
        scene = GroupScene(2)
        a = scene.members[0]
        scene.fail(a)
        scene.clock.now += 10.0
        assert scene.chosen() == {"a", "b"}
        began = scene.group.begin(a)
        assert scene.chosen() == {"b"}
        scene.group.end(a, began, IGNORED)
        assert scene.chosen() == {"a", "b"}, "it was neither a success nor a failure"
        began = scene.group.begin(a)
        scene.group.end(a, began, SUCCESS)
        assert a.out == 0
        assert scene.changes[-1] == ("a", "proved", "")

    def test_what_it_had_before_does_not_keep_it_on_probation(self) -> None:
        scene = GroupScene(2)
        a = scene.members[0]
        stream = scene.group.begin(a)
        scene.fail(a)
        scene.clock.now += 10.0
        assert scene.chosen() == {"a", "b"}, "a stream that has run for hours is not the one request"
        began = scene.group.begin(a)
        assert scene.chosen() == {"b"}
        scene.group.end(a, stream, FAILURE)
        assert scene.chosen() == {"b"}, "its end says nothing about the endpoint as it is now"
        scene.group.end(a, began, SUCCESS)
        assert scene.chosen() == {"a", "b"}

    def test_one_on_probation_gets_a_second_one_when_there_is_no_other(self) -> None:
        scene = GroupScene(2, settings=[(1, False), (1, True)])
        a = scene.members[0]
        scene.fail(a)
        scene.clock.now += 10.0
        assert scene.chosen() == {"a"}
        scene.group.begin(a)
        assert scene.chosen() == {"a"}

    def test_an_ejection_ends_for_those_who_ask_before_the_next_choice_is_made(self) -> None:
        """With one endpoint drained and the other ejected, nothing is chosen until a request comes."""
        scene = GroupScene(2, Rules(EJECTION, panic=0.0), settings=[(1, False), (1, True)])
        a = scene.members[0]
        scene.fail(a)
        assert not scene.group.usable
        scene.clock.now += EJECTION.base_time - 0.1
        assert not scene.group.usable
        scene.clock.now += 0.1
        assert scene.group.usable
        assert scene.changes == [("a", "ejected", "3 failures in a row"), ("a", "probation", "")]
        assert scene.chosen(1) == {"a"}
        assert len(scene.changes) == 2, "it ends once"

    def test_a_failure_on_probation_ejects_at_once(self) -> None:
        scene = GroupScene(2)
        a = scene.members[0]
        scene.fail(a)
        scene.clock.now += 10.0
        scene.chosen()
        scene.fail(a, 1)
        assert a.out == EJECTED
        assert scene.conditions[0].ejection.until == scene.clock.now + 20.0
        assert scene.chosen() == {"b"}

    def test_an_attempt_that_began_before_changes_nothing(self) -> None:
        scene = GroupScene(2)
        a = scene.members[0]
        old = [scene.group.begin(a) for _ in range(5)]
        scene.clock.now += 1.0
        scene.fail(a)
        scene.clock.now += 10.0
        scene.chosen()
        for began in old[:4]:
            scene.group.end(a, began, FAILURE)
        scene.group.end(a, old[4], SUCCESS)
        assert (a.out, a.in_flight) == (PROBATION, 0)

    def test_the_only_endpoint_is_never_ejected(self) -> None:
        scene = GroupScene(1)
        scene.fail(scene.members[0], 10)
        assert (scene.chosen(), scene.changes) == ({"a"}, [])
        assert scene.group.take_counts() == (0, 0)

    @pytest.mark.parametrize(("count", "share", "most"), [(2, 0.1, 1), (4, 0.5, 2), (5, 0.5, 2), (3, 1.0, 3)])
    def test_a_share_of_them_is_at_most(self, count: int, share: float, most: int) -> None:
        scene = GroupScene(count, Rules(EJECTION, max_share=share, panic=0.0))
        for member in scene.members:
            scene.fail(member)
        assert len(scene.changes) == most
        assert scene.group.take_counts() == (0, count - most)

    def test_shadow_mode_only_counts(self) -> None:
        scene = GroupScene(2, Rules(EJECTION, shadow=True, slow_start=10.0))
        a = scene.members[0]
        scene.fail(a)
        scene.fail(a)
        assert (a.out, scene.chosen()) == (0, {"a", "b"})
        assert scene.changes == [("a", "ejected", "3 failures in a row")]
        scene.clock.now += 10.0
        scene.attempt(a, SUCCESS)
        assert scene.changes[1:] == [("a", "probation", ""), ("a", "proved", "")]
        assert (a.out, a.warm_from) == (0, 0.0), "it was never away, so that it does not start slowly"

    def test_without_rules_nobody_is(self) -> None:
        scene = GroupScene(2, Rules())
        scene.fail(scene.members[0], 100)
        assert (scene.chosen(), scene.changes) == ({"a", "b"}, [])


class TestFastFailures:
    def test_one_counts_as_in_flight_as_long_as_a_success_takes(self) -> None:
        scene = GroupScene(2, Rules())
        a, b = scene.members
        scene.attempt(b, SUCCESS, 2.0)
        assert scene.group.typical == 2.0
        scene.attempt(a, FAILURE, 0.5)
        assert a.load(scene.clock.now) == 1
        scene.clock.now += 1.5
        assert a.load(scene.clock.now) == 0
        scene.attempt(a, FAILURE, 2.0)
        assert a.load(scene.clock.now) == 0, "it took as long as a success"

    def test_before_anything_succeeded_it_counts_until_something_does(self) -> None:
        scene = GroupScene(2, Rules())
        a, b = scene.members
        scene.fail(a, 5)
        scene.attempt(b, IGNORED, 1.0)
        assert (a.load(1e9), scene.group.typical) == (5, 0.0)
        scene.attempt(b, SUCCESS, 0.0)
        assert a.load(scene.clock.now) == 0
        assert scene.group.typical > 0.0, "a success in no time is one"

    def test_the_typical_time_follows_the_successes(self) -> None:
        scene = GroupScene(2, Rules())
        a = scene.members[0]
        scene.attempt(a, SUCCESS, 1.0)
        scene.attempt(a, SUCCESS, 2.0)
        assert scene.group.typical == pytest.approx(1.1)
        for _ in range(100):
            scene.attempt(a, SUCCESS, 2.0)
        assert scene.group.typical == pytest.approx(2.0, rel=0.01)


class TestSlowStart:
    def test_one_that_comes_back_begins_with_a_tenth(self) -> None:
        scene = GroupScene(2, Rules(slow_start=10.0))
        a = scene.members[0]
        scene.group.check(a, "status 503")
        scene.clock.now += 100.0
        for _ in range(2):
            scene.group.check(a, "")
        shares = []
        for _ in range(5):
            names = [scene.group.choose(b"") for _ in range(1100)]
            shares.append(names.count(a))
            scene.clock.now += 2.5
        assert shares == [pytest.approx(share, abs=2) for share in (100, 220, 1100 / 3, 1100 * 3 / 7, 550)]
        assert a.warm_from == 0.0

    def test_one_that_goes_down_again_is_not_warm(self) -> None:
        scene = GroupScene(2, Rules(slow_start=10.0))
        a = scene.members[0]
        scene.group.check(a, "x")
        for _ in range(2):
            scene.group.check(a, "")
        assert a.warm_from == scene.clock.now
        for _ in range(3):
            scene.group.check(a, "x")
        assert (a.warm_from, a.out) == (0.0, UNHEALTHY)

    def test_one_that_was_ejected_starts_slowly_too(self) -> None:
        scene = GroupScene(2, Rules(EJECTION, slow_start=10.0))
        a = scene.members[0]
        scene.fail(a)
        scene.clock.now += 10.0
        scene.chosen()
        scene.attempt(a, SUCCESS)
        assert a.warm_from == scene.clock.now
        assert [scene.group.choose(b"") for _ in range(22)].count(a) == 2


class TestAnotherConfiguration:
    def test_what_is_known_stays(self) -> None:
        scene = GroupScene(3)
        a = scene.members[0]
        scene.fail(a)
        scene.attempt(scene.members[1], SUCCESS, 2.0)
        group = scene.made(Rules(EJECTION))
        group.take_over(scene.group, [(1, False), (2, True), (3, False)], checks=True)
        assert ([each.weight for each in scene.members], group.typical) == ([1, 2, 3], 2.0)
        assert [each.out for each in scene.members] == [EJECTED, DRAINED, 0]
        assert [each.warm_from for each in scene.members] == [0.0, 0.0, 0.0]

    def test_a_new_endpoint_starts_slowly_beside_old_ones(self) -> None:
        scene = GroupScene(1)
        new = Condition(Member("new"))
        group = scene.made(Rules(slow_start=10.0), conditions=[*scene.conditions, new])
        group.take_over(scene.group, [(1, False)] * 2, checks=True)
        assert (scene.members[0].warm_from, new.member.warm_from) == (0.0, scene.clock.now)

    def test_groups_between_are_not_kept(self) -> None:
        scene = GroupScene(2)
        first = scene.group
        began = first.begin(scene.members[0])
        between = scene.made(Rules())
        between.take_over(first, [(1, False)] * 2, checks=True)
        gone = weakref.ref(between)
        scene.group = scene.made(Rules(EJECTION))
        scene.group.take_over(between, [(1, False)] * 2, checks=True)
        del between
        gc.collect()
        assert gone() is None
        first.end(scene.members[0], began, SUCCESS)
        assert (scene.members[0].in_flight, scene.members[0].attempts) == (0, 1)

    def test_what_checks_in_shadow_mode_have_found_holds_as_soon_as_they_are_enforced(self) -> None:
        shadow, enforced = Rules(checks_shadow=True, slow_start=9.0), Rules()
        scene = GroupScene(2, shadow)
        a = scene.members[0]
        scene.group.check(a, "status 503")
        assert (a.out, a.warm_from, scene.chosen()) == (0, 0.0, {"a", "b"})
        assert scene.changes == [("a", "down", "status 503")]
        for rules, chosen in ((enforced, {"b"}), (shadow, {"a", "b"}), (enforced, {"b"})):
            before, scene.group = scene.group, scene.made(rules)
            scene.group.take_over(before, [(1, False)] * 2, checks=True)
            assert scene.chosen() == chosen
        scene.group.check(a, "")
        scene.group.check(a, "")
        assert scene.chosen() == {"a", "b"}

    def test_checks_that_end_leave_nobody_down(self) -> None:
        scene = GroupScene(2)
        old, a = scene.group, scene.members[0]
        old.check(a, "status 503")
        scene.group = scene.made(Rules())
        scene.group.take_over(old, [(1, False)] * 2, checks=False)
        old.check(a, "status 503")
        assert (a.out, scene.chosen()) == (0, {"a", "b"}), "the last check of before has no say"

    @pytest.mark.parametrize("rules", [Rules(), SHADOW])
    def test_ejections_that_end_leave_nobody_ejected(self, rules: Rules) -> None:
        scene = GroupScene(2)
        old, (a, b) = scene.group, scene.members
        began = [old.begin(b) for _ in range(5)]
        scene.fail(a)
        scene.group = scene.made(rules)
        scene.group.take_over(old, [(1, False)] * 2, checks=True)
        assert a.out == 0
        for each in began:
            old.end(b, each, FAILURE)
        assert (b.out, b.in_flight, b.failures) == (0, 0, 5), "the rules that hold now judge what began before"
        assert scene.chosen() == {"a", "b"}

    def test_a_rule_that_is_new_judges_what_began_before(self) -> None:
        scene = GroupScene(2, Rules())
        first, a = scene.group, scene.members[0]
        began = [first.begin(a) for _ in range(3)]
        second = scene.made(Rules())
        second.take_over(first, [(1, False)] * 2, checks=True)
        scene.group = scene.made(Rules(EJECTION))
        scene.group.take_over(second, [(1, False)] * 2, checks=True)
        for each in began:
            first.end(a, each, FAILURE)
        assert a.out == EJECTED

    def test_what_shadow_mode_has_ejected_is_not_when_it_ends(self) -> None:
        """It would stay so: nothing ends an ejection that keeps no requests from it."""
        scene = GroupScene(2, SHADOW)
        a = scene.members[0]
        scene.fail(a)
        old, scene.group = scene.group, scene.made(Rules(EJECTION))
        scene.group.take_over(old, [(1, False)] * 2, checks=True)
        assert scene.conditions[0].ejection.state is Standing.ACTIVE
        scene.fail(a)
        assert a.out == EJECTED

    def test_the_last_one_is_no_longer_ejected(self) -> None:
        scene = GroupScene(2)
        a = scene.members[0]
        scene.fail(a)
        group = scene.made(Rules(EJECTION), conditions=scene.conditions[:1])
        group.take_over(scene.group, [(1, False)], checks=True)
        assert (a.out, group.choose(b"")) == (0, a)

    def test_an_endpoint_that_left_is_no_longer_judged(self) -> None:
        scene = GroupScene(3)
        old, c = scene.group, scene.members[2]
        began = [old.begin(c) for _ in range(5)]
        group = scene.made(Rules(EJECTION), conditions=scene.conditions[:2])
        group.take_over(old, [(1, False)] * 2, checks=True)
        for each in began:
            old.end(c, each, FAILURE)
        assert (c.in_flight, c.failures, c.out) == (0, 5, 0)


def test_nobody_has_to_listen() -> None:
    conditions = [Condition(Member(name)) for name in "ab"]
    group = Group(conditions, LeastRequest(dice().random), Rules(EjectionRules(1)), Clock())
    group.end(conditions[0].member, group.begin(conditions[0].member), FAILURE)
    assert conditions[0].member.out == EJECTED
