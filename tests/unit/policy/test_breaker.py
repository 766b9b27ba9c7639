from __future__ import annotations

import logging
from typing import Self

import pytest
from unit.machines import RECOVERY, BreakerScene
from unit.scene import Clock

from gateway.config.records import CircuitBreaker
from gateway.core.outcome import Outcome
from gateway.policy.breaker import TRANSITIONS, Breaker, Event
from gateway.policy.breaker_rules import Figures, Rules
from gateway.policy.breaker_store import Judged, MemoryBreakerStore, Move, State
from gateway.policy.machine import REFUSED
from gateway.policy.window import Tally

SUCCESS, FAILURE, IGNORED = Outcome
Changes = list[tuple[State, State, str]]


class Scene(BreakerScene):
    """It notes the changes of state."""

    def __init__(self, half_open_requests: int = 1) -> None:
        super().__init__(half_open_requests)
        self.changes: Changes = []
        self.breaker.on_change = self.note

    def note(self, old: State, new: State, cause: str) -> None:
        assert self.breaker.state is new, "a listener sees the new state"
        self.changes.append((old, new, cause))

    def bring_to(self, state: State) -> Self:
        super().bring_to(state)
        self.changes.clear()
        return self


def make_happen(scene: Scene, event: Event) -> None:
    if event is Event.RESET:
        scene.breaker.reset()
    elif event is Event.THRESHOLD:
        for _ in range(3):
            scene.call(FAILURE)
    elif event is Event.FAILURE_RATE:
        scene.breaker.configure(0, RECOVERY, 1, rules=Rules(0.5, minimum_requests=2))
        for outcome in (FAILURE, SUCCESS):
            scene.call(outcome)
    elif event is Event.SLOW_RATE:
        scene.breaker.configure(0, RECOVERY, 1, rules=Rules(0.0, 1.0, 0.5, minimum_requests=1))
        scene.breaker.release(scene.breaker.try_acquire(), SUCCESS, 1.5)
    elif event is Event.RECOVERY:
        scene.clock.now += RECOVERY
        scene.breaker.try_acquire()
    else:
        scene.call(SUCCESS if event is Event.PROBE_OK else FAILURE)


WALK = [(old, event, new) for old, row in TRANSITIONS.items() for event, new in row.items()]


class TestTable:
    @pytest.mark.covers("FR-013", "T025", "T026", "T029")
    @pytest.mark.parametrize(("old", "event", "new"), WALK)
    def test_each_transition(self, old: State, event: Event, new: State) -> None:
        scene = Scene().bring_to(old)
        make_happen(scene, event)
        assert scene.breaker.state is new
        assert scene.changes == ([(old, new, event.value)] if new is not old else [])

    def test_the_table_is_whole(self) -> None:
        assert TRANSITIONS.keys() == set(State)
        assert {event for row in TRANSITIONS.values() for event in row} == set(Event)

    def test_every_state_is_left_and_reached(self) -> None:
        assert {new for old, _, new in WALK if new is not old} == set(State)
        assert {old for old, _, new in WALK if new is not old} == set(State)

    @pytest.mark.covers("T020", "T027")
    def test_numbers_and_words(self) -> None:
        assert [(state.value, state.word) for state in State] == [(0, "closed"), (1, "open"), (2, "half-open")]


class TestClosed:
    @pytest.mark.covers("T021", "T025", "T026")
    def test_only_failures_in_a_row_open_it(self) -> None:
        scene = Scene()
        for outcome in (FAILURE, FAILURE, SUCCESS, FAILURE, FAILURE):
            scene.call(outcome)
        assert (scene.breaker.state, scene.breaker.failures) == (State.CLOSED, 2)
        scene.call(FAILURE)
        assert (scene.breaker.state, scene.breaker.failures) == (State.OPEN, 3)

    def test_an_ignored_call_neither_counts_nor_forgives(self) -> None:
        scene = Scene()
        for outcome in (FAILURE, IGNORED, FAILURE, IGNORED, IGNORED, FAILURE):
            scene.call(outcome)
        assert scene.breaker.state is State.OPEN

    def test_a_success_of_a_clean_circuit_changes_no_number(self) -> None:
        class Watched(MemoryBreakerStore):
            __slots__ = ("writes",)

            def forgive(self, word: int) -> None:
                self.writes += 1
                super().forgive(word)

        store = Watched()
        store.writes = 0
        breaker = Breaker(3, clock=Clock(), store=store)
        for outcome in [*[SUCCESS] * 100, FAILURE, SUCCESS, SUCCESS]:
            breaker.release(breaker.try_acquire(), outcome)
        assert store.writes == 1

    def test_a_permit_counts_once(self) -> None:
        scene = Scene()
        permit, other = scene.breaker.try_acquire(), scene.breaker.try_acquire()
        for outcome in (FAILURE, FAILURE, SUCCESS, FAILURE):
            scene.breaker.release(permit, outcome)
        assert (scene.breaker.state, scene.breaker.failures, len(scene.breaker.outcomes)) == (State.CLOSED, 1, 1)
        scene.breaker.release(other, SUCCESS)
        for permit_ in (permit, other):
            scene.breaker.release(permit_, FAILURE)
        assert scene.breaker.failures == 0

    @pytest.mark.covers("FR-014")
    def test_a_threshold_of_one(self) -> None:
        breaker = Breaker(1, clock=Clock())
        breaker.release(breaker.try_acquire(), FAILURE)
        assert breaker.state is State.OPEN


class TestShares:
    """Rules about shares of a window, beside failures in a row."""

    @staticmethod
    def scene(failure_rate: float = 0.5, slow_rate: float = 0.0, callers: int = 0, threshold: int = 0) -> Scene:
        scene = Scene()
        rules = Rules(failure_rate, 2.0 if slow_rate else 0.0, slow_rate, 10.0, 4, callers)
        scene.breaker.configure(threshold, RECOVERY, 1, rules=rules)
        return scene

    @staticmethod
    def tell(scene: Scene, outcome: Outcome, seconds: float = 0.0, caller: bytes = b"", reason: str = "") -> None:
        scene.breaker.release(scene.breaker.try_acquire(), outcome, seconds, reason, caller=caller)

    def test_a_share_of_failures_that_never_come_in_a_row_opens_it(self) -> None:
        scene = self.scene(threshold=2)
        for outcome in (FAILURE, SUCCESS, FAILURE):
            self.tell(scene, outcome)
        assert (scene.breaker.state, scene.breaker.tally) == (State.CLOSED, Tally(1, 3, 2))
        self.tell(scene, SUCCESS)
        assert scene.changes == [(State.CLOSED, State.OPEN, "failure_rate")]
        assert scene.breaker.moves[-1].figures == Figures(2, 0.5, 4, 10.0)

    def test_failures_in_a_row_still_do(self) -> None:
        scene = self.scene(threshold=2)
        for outcome in (SUCCESS, FAILURE, FAILURE):
            self.tell(scene, outcome)
        assert scene.changes == [(State.CLOSED, State.OPEN, "failure_threshold")]
        assert scene.breaker.moves[-1].figures == Figures(2, 2)

    def test_what_tells_nothing_counts_in_no_window(self) -> None:
        scene = self.scene(slow_rate=0.1)
        for _ in range(9):
            self.tell(scene, IGNORED, 60.0)
        assert scene.breaker.tally == Tally()
        assert not scene.breaker.outcomes

    def test_what_is_older_than_the_window_is_forgotten(self) -> None:
        scene = self.scene()
        for _ in range(3):
            self.tell(scene, FAILURE)
        scene.clock.now += 10.0
        self.tell(scene, FAILURE)
        assert (scene.breaker.state, scene.breaker.tally) == (State.CLOSED, Tally(4, 1, 1))

    def test_slow_calls_open_it_though_all_succeed(self) -> None:
        scene = self.scene(failure_rate=0.0, slow_rate=0.5)
        for seconds in (2.5, 2.0, 0.0, 3.0):
            self.tell(scene, SUCCESS, seconds)
        assert scene.changes == [(State.CLOSED, State.OPEN, "slow_rate")]
        move = scene.breaker.moves[-1]
        assert move.figures == Figures(2, 0.5, 4, 10.0, 2.0)
        assert [judged.reason for judged in move.outcomes] == ["slow_call 2.50 s", "slow_call 3.00 s"]

    def test_a_failure_and_a_status_of_grpc_say_more_than_how_slow_it_was(self) -> None:
        scene = self.scene(slow_rate=1.0, threshold=9)
        self.tell(scene, FAILURE, 9.0)
        self.tell(scene, FAILURE, 9.0, reason="header_timeout")
        self.tell(scene, SUCCESS, 9.0, reason="grpc-status 5")
        assert [judged.reason for judged in scene.breaker.outcomes] == ["", "header_timeout", "grpc-status 5"]

    @pytest.mark.parametrize(("slow_rate", "state"), [(0.5, State.OPEN), (0.0, State.CLOSED)])
    def test_a_slow_probe_has_failed_where_slow_calls_count(self, slow_rate: float, state: State) -> None:
        scene = self.scene(failure_rate=0.5, slow_rate=slow_rate)
        scene.breaker.force(State.OPEN)
        scene.clock.now += RECOVERY
        self.tell(scene, SUCCESS, 2.5)
        assert scene.breaker.state is state
        [probe] = scene.breaker.moves[-1].outcomes
        assert probe.reason == ("slow_call 2.50 s" if slow_rate else "")

    def test_a_window_begins_empty_when_the_circuit_closes(self) -> None:
        scene = self.scene()
        for _ in range(4):
            self.tell(scene, FAILURE)
        assert scene.breaker.state is State.OPEN
        scene.breaker.reset()
        assert scene.breaker.tally == Tally()
        for _ in range(3):
            self.tell(scene, FAILURE)
        assert scene.breaker.state is State.CLOSED
        scene.breaker.reset()
        assert scene.breaker.tally == Tally()

    def test_one_caller_does_not_open_it_for_all(self) -> None:
        scene = self.scene(callers=2, threshold=3)
        for _ in range(50):
            self.tell(scene, FAILURE, caller=b"one")
        assert scene.breaker.state is State.CLOSED
        assert scene.breaker.tally == Tally(50, 50, 50, 0, 1, 1, 0)
        self.tell(scene, FAILURE, caller=b"two")
        assert scene.changes == [(State.CLOSED, State.OPEN, "failure_threshold")]
        assert scene.breaker.moves[-1].figures == Figures(51, 3, callers=2)

    def test_callers_alone_can_be_counted(self) -> None:
        scene = self.scene(failure_rate=0.0, callers=2, threshold=2)
        for outcome, caller in ((FAILURE, b"one"), (SUCCESS, b""), (FAILURE, b"two"), (FAILURE, b"two")):
            self.tell(scene, outcome, caller=caller)
        assert (scene.breaker.state, scene.breaker.tally.run_callers) == (State.CLOSED, 1)
        self.tell(scene, FAILURE, caller=b"one")
        assert scene.breaker.state is State.OPEN

    def test_whose_a_call_was_is_asked_where_it_matters(self) -> None:
        breaker = self.scene(slow_rate=0.5, callers=2).breaker
        asked = [(FAILURE, 0.0), (SUCCESS, 2.5), (SUCCESS, 2.0), (IGNORED, 2.5)]
        assert [breaker.wants_caller(*call) for call in asked] == [True, True, False, False]
        assert not any(self.scene(slow_rate=0.5).breaker.wants_caller(*call) for call in asked)

    def test_a_call_of_an_earlier_time_counts_nowhere(self) -> None:
        class Late(MemoryBreakerStore):
            """Another process resets the breaker between two steps of this one."""

            def keep(self, word: int, judged: Judged) -> None:
                super().keep(word, judged)
                self.enter(word, State.CLOSED, 1000.0, "reset")

        breaker = Breaker(0, clock=Clock(), rules=Rules(1.0, minimum_requests=1), store=Late())
        breaker.release(breaker.try_acquire(), FAILURE)
        assert (breaker.state, breaker.tally) == (State.CLOSED, Tally())

    def test_without_any_rule_nothing_opens_it(self) -> None:
        breaker = Breaker(0, clock=Clock())
        for _ in range(9):
            breaker.release(breaker.try_acquire(), FAILURE)
        assert (breaker.state, breaker.failures) == (State.CLOSED, 9)


class TestOpen:
    @pytest.mark.covers("T024")
    def test_nothing_passes_until_the_time_is_over(self) -> None:
        scene = Scene().bring_to(State.OPEN)
        scene.clock.now += RECOVERY - 0.001
        assert scene.breaker.try_acquire() == REFUSED
        assert scene.breaker.state is State.OPEN
        scene.clock.now += 0.001
        assert scene.breaker.try_acquire() != REFUSED
        assert scene.breaker.state is State.HALF_OPEN

    def test_it_stays_open_while_nobody_asks(self) -> None:
        scene = Scene().bring_to(State.OPEN)
        scene.clock.now += 100 * RECOVERY
        assert scene.breaker.state is State.OPEN

    def test_calls_of_before_do_not_prolong_the_time(self) -> None:
        scene = Scene()
        stragglers = [scene.breaker.try_acquire() for _ in range(5)]
        scene.bring_to(State.OPEN)
        for straggler in stragglers:
            scene.clock.now += 5.0
            scene.breaker.release(straggler, FAILURE)
        assert (scene.breaker.failures, scene.breaker.retry_after(), scene.changes) == (3, 5, [])
        scene.clock.now += 5.0
        assert scene.breaker.try_acquire() != REFUSED

    def test_a_late_success_of_before_does_not_close_it(self) -> None:
        scene = Scene()
        straggler = scene.breaker.try_acquire()
        scene.bring_to(State.OPEN)
        scene.breaker.release(straggler, SUCCESS)
        assert scene.breaker.state is State.OPEN

    def test_a_refusal_is_no_permit(self) -> None:
        scene = Scene().bring_to(State.OPEN)
        for outcome in Outcome:
            scene.breaker.release(REFUSED, outcome)
        assert (scene.breaker.state, scene.breaker.failures) == (State.OPEN, 3)

    @pytest.mark.covers("T021")
    @pytest.mark.parametrize(("passed", "left"), [(0.0, 30), (0.5, 30), (28.9, 2), (29.5, 1), (30.0, 1), (99.0, 1)])
    def test_retry_after_is_the_time_left(self, passed: float, left: int) -> None:
        scene = Scene().bring_to(State.OPEN)
        scene.clock.now += passed
        assert scene.breaker.retry_after() == left


class TestHalfOpen:
    @pytest.mark.covers("FR-014", "T024")
    @pytest.mark.parametrize("probes", [1, 3])
    def test_no_more_probes_than_allowed(self, probes: int) -> None:
        scene = Scene(probes).bring_to(State.OPEN)
        scene.clock.now += RECOVERY
        asked = [scene.breaker.try_acquire() for _ in range(50)]
        assert sum(permit != REFUSED for permit in asked) == probes
        assert scene.breaker.retry_after() == 1

    def test_an_ignored_probe_makes_room_for_another(self) -> None:
        scene = Scene().bring_to(State.HALF_OPEN)
        permit = scene.breaker.try_acquire()
        assert scene.breaker.try_acquire() == REFUSED
        scene.breaker.release(permit, IGNORED)
        assert scene.breaker.try_acquire() != REFUSED
        assert (scene.breaker.state, scene.changes) == (State.HALF_OPEN, [])

    @pytest.mark.covers("T026")
    def test_a_failed_probe_opens_it_for_the_whole_time_again(self) -> None:
        scene = Scene().bring_to(State.HALF_OPEN)
        scene.clock.now += 7.0
        scene.call(FAILURE)
        assert (scene.breaker.retry_after(), scene.breaker.failures) == (RECOVERY, 4)

    def test_a_slow_probe_does_not_close_what_a_faster_one_opened(self) -> None:
        scene = Scene(2).bring_to(State.HALF_OPEN)
        fast, slow = scene.breaker.try_acquire(), scene.breaker.try_acquire()
        scene.breaker.release(fast, FAILURE)
        scene.breaker.release(slow, SUCCESS)
        assert scene.breaker.state is State.OPEN

    def test_a_slow_probe_does_not_count_in_the_circuit_that_a_faster_one_closed(self) -> None:
        scene = Scene(2).bring_to(State.HALF_OPEN)
        fast, slow = scene.breaker.try_acquire(), scene.breaker.try_acquire()
        scene.breaker.release(fast, SUCCESS)
        scene.breaker.release(slow, FAILURE)
        assert (scene.breaker.state, scene.breaker.failures) == (State.CLOSED, 0)

    def test_a_probe_of_an_earlier_time_takes_no_place_in_this_one(self) -> None:
        scene = Scene(2).bring_to(State.HALF_OPEN)
        early, other = scene.breaker.try_acquire(), scene.breaker.try_acquire()
        scene.breaker.release(other, FAILURE)
        scene.clock.now += RECOVERY
        assert [scene.breaker.try_acquire() != REFUSED for _ in range(3)] == [True, True, False]
        scene.breaker.release(early, IGNORED)
        assert scene.breaker.try_acquire() == REFUSED

    def test_a_permit_given_back_twice_frees_one_place(self) -> None:
        scene = Scene().bring_to(State.HALF_OPEN)
        permit = scene.breaker.try_acquire()
        for outcome in (IGNORED, IGNORED, FAILURE):
            scene.breaker.release(permit, outcome)
        assert scene.breaker.state is State.HALF_OPEN
        assert [scene.breaker.try_acquire() != REFUSED for _ in range(2)] == [True, False]


class TestHistory:
    """What a breaker can tell about itself afterwards."""

    def test_results_that_count_are_kept_with_all_that_is_known_of_them(self) -> None:
        scene = Scene()
        breaker = scene.breaker
        breaker.release(breaker.try_acquire(), FAILURE, 0.0, "dial_failed", 502, b"r1")
        scene.clock.now += 2.0
        breaker.release(breaker.try_acquire(), SUCCESS)
        assert list(breaker.outcomes) == [
            Judged(1000.0, FAILURE, "dial_failed", 502, b"r1"),
            Judged(1002.0, SUCCESS, "", 0, b""),
        ]

    def test_what_tells_nothing_is_not_kept(self) -> None:
        scene = Scene()
        for outcome in (SUCCESS, IGNORED):  # in a circuit without a failure a success is no news
            scene.call(outcome)
        scene.breaker.release(scene.breaker.try_acquire() + 1, FAILURE)
        assert not scene.breaker.outcomes

    def test_each_probe_is_kept_even_if_it_tells_nothing(self) -> None:
        scene = Scene().bring_to(State.HALF_OPEN)
        scene.call(IGNORED)
        assert [judged.outcome for judged in scene.breaker.outcomes] == [IGNORED, IGNORED]

    def test_a_move_tells_when_why_and_from_what(self) -> None:
        scene = Scene()
        for number in range(3):
            scene.clock.now += 1.0
            scene.breaker.release(scene.breaker.try_acquire(), FAILURE, 0.0, "dial_failed", 502, b"r%d" % number)
        scene.clock.now += RECOVERY
        scene.call(SUCCESS)
        results = tuple(Judged(1001.0 + number, FAILURE, "dial_failed", 502, b"r%d" % number) for number in range(3))
        probe = Judged(1033.0, SUCCESS, "", 0, b"")
        assert list(scene.breaker.moves) == [
            Move(1003.0, State.CLOSED, State.OPEN, "failure_threshold", "", results, Figures(3, 3)),
            Move(1033.0, State.OPEN, State.HALF_OPEN, "recovery_timeout", "", ()),
            Move(1033.0, State.HALF_OPEN, State.CLOSED, "probe_succeeded", "", (probe,)),
        ]

    def test_a_reset_tells_who_said_so_and_no_later_move_does(self) -> None:
        scene = Scene().bring_to(State.OPEN)
        scene.breaker.reset("root@example.org")
        scene.breaker.reset()
        scene.bring_to(State.OPEN)
        told = [(move.cause, move.by) for move in scene.breaker.moves]
        assert told == [
            ("failure_threshold", ""),
            ("reset", "root@example.org"),
            ("reset", ""),
            ("failure_threshold", ""),
        ]

    def test_a_move_that_was_forced_is_told_as_such(self) -> None:
        scene = Scene()
        for state in (State.OPEN, State.HALF_OPEN):
            scene.breaker.force(state)
        scene.breaker.reset()
        assert [(move.new, move.cause) for move in scene.breaker.moves] == [
            (State.OPEN, "external"),
            (State.HALF_OPEN, "external"),
            (State.CLOSED, "reset"),
        ]

    def test_since_when_the_state_holds(self) -> None:
        scene = Scene()
        assert scene.breaker.since == 1000.0
        scene.clock.now += 5.0
        scene.bring_to(State.OPEN)
        assert scene.breaker.since == 1005.0
        scene.clock.now += RECOVERY
        scene.breaker.try_acquire()
        assert scene.breaker.since == 1035.0

    def test_the_newest_are_kept_and_no_more(self) -> None:
        scene = Scene()
        scene.breaker.configure(1000, RECOVERY, 1)
        for number in range(130):
            scene.breaker.release(scene.breaker.try_acquire(), FAILURE, status=number)
        assert [judged.status for judged in scene.breaker.outcomes] == list(range(2, 130))
        for number in range(34):
            scene.breaker.reset(str(number))
        assert [move.by for move in scene.breaker.moves] == [str(number) for number in range(2, 34)]


class TestControl:
    def test_a_breaker_without_settings_has_those_of_the_configuration(self) -> None:
        breaker, settings = Breaker(), CircuitBreaker()
        assert (breaker.failure_threshold, breaker.recovery_timeout, breaker.half_open_requests) == (
            settings.failure_threshold,
            settings.recovery_timeout,
            settings.half_open_requests,
        )
        assert (breaker.name, breaker.shadow, breaker.counts) == ("", False, False)
        rules = breaker.rules
        assert (rules.failure_rate, rules.slow_call, rules.slow_rate, rules.window, rules.minimum_requests) == (
            settings.failure_rate,
            settings.slow_call,
            settings.slow_rate,
            settings.window,
            settings.minimum_requests,
        )
        assert rules.distinct_callers == settings.distinct_callers

    @pytest.mark.parametrize(("passed", "left"), [(0.0, 30.0), (29.5, 0.5), (30.0, 0.0), (99.0, 0.0)])
    def test_how_long_it_takes_until_a_probe_is_let_through(self, passed: float, left: float) -> None:
        scene = Scene()
        assert scene.breaker.until_probe() == 0.0
        scene.bring_to(State.OPEN)
        scene.clock.now += passed
        assert scene.breaker.until_probe() == left

    @pytest.mark.covers("T028")
    def test_a_reset_forgets_failures_and_what_runs(self) -> None:
        scene = Scene()
        scene.call(FAILURE)
        old = [scene.breaker.try_acquire() for _ in range(3)]
        scene.breaker.reset()
        assert scene.breaker.failures == 0
        for permit in old:
            scene.breaker.release(permit, FAILURE)
        assert (scene.breaker.state, scene.breaker.failures) == (State.CLOSED, 0)

    @pytest.mark.covers("FR-014")
    def test_new_settings_leave_the_state_alone(self) -> None:
        scene = Scene().bring_to(State.OPEN)
        scene.breaker.configure(1, 10.0, 2)
        assert (scene.breaker.state, scene.breaker.retry_after()) == (State.OPEN, 10)
        scene.clock.now += 10.0
        assert [scene.breaker.try_acquire() != REFUSED for _ in range(3)] == [True, True, False]

    def test_a_listener_that_raises_harms_nobody(self, caplog: pytest.LogCaptureFixture) -> None:
        def broken(old: State, new: State, cause: str) -> None:
            raise ValueError("a defect")

        clock = Clock()
        breaker = Breaker(1, RECOVERY, name="sidecar", clock=clock, on_change=broken)
        with caplog.at_level(logging.ERROR, "gateway.policy.breaker"):
            breaker.release(breaker.try_acquire(), FAILURE)
            clock.now += RECOVERY
            breaker.release(breaker.try_acquire(), SUCCESS)
        assert breaker.state is State.CLOSED
        assert [record.getMessage() for record in caplog.records] == ["a listener of breaker 'sidecar' failed"] * 3

    def test_a_listener_may_itself_reset(self) -> None:
        clock = Clock()

        def stubborn(old: State, new: State, cause: str) -> None:
            if new is State.OPEN:
                breaker.reset()

        breaker = Breaker(1, RECOVERY, clock=clock, on_change=stubborn)
        breaker.release(breaker.try_acquire(), FAILURE)
        assert (breaker.state, breaker.failures) == (State.CLOSED, 0)

    def test_a_forced_state_begins_a_new_generation(self) -> None:
        scene = Scene()
        straggler = scene.breaker.try_acquire()
        scene.breaker.force(State.OPEN)
        assert (scene.breaker.state, scene.breaker.retry_after()) == (State.OPEN, RECOVERY)
        scene.breaker.release(straggler, SUCCESS)
        assert scene.breaker.try_acquire() == REFUSED
        assert scene.changes == [(State.CLOSED, State.OPEN, "external")]

    def test_a_circuit_that_was_forced_half_open_without_a_failure_closes_by_a_probe(self) -> None:
        scene = Scene()
        scene.breaker.force(State.HALF_OPEN)
        scene.call(SUCCESS)
        assert scene.breaker.state is State.CLOSED

    def test_breakers_over_one_store_tell_one_truth(self) -> None:
        clock, store = Clock(), MemoryBreakerStore()
        one, other = (Breaker(2, RECOVERY, clock=clock, store=store) for _ in range(2))
        straggler = other.try_acquire()
        for breaker in (one, other):
            breaker.release(breaker.try_acquire(), FAILURE)
        assert [breaker.try_acquire() for breaker in (one, other)] == [REFUSED, REFUSED]
        other.release(straggler, FAILURE)
        assert (one.state, one.failures, one.since) == (State.OPEN, 2, 1000.0)
        clock.now += RECOVERY
        probe = one.try_acquire()
        assert (probe != REFUSED, other.try_acquire(), other.probes) == (True, REFUSED, 1)
        one.release(probe, SUCCESS)
        assert (other.state, other.failures) == (State.CLOSED, 0)

    def test_it_goes_on_in_another_store_with_its_permits(self) -> None:
        scene = Scene().bring_to(State.OPEN)
        scene.clock.now += RECOVERY
        probe = scene.breaker.try_acquire()
        for store in (MemoryBreakerStore(), MemoryBreakerStore()):
            scene.breaker.move(store)
            scene.breaker.move(store)
            assert scene.breaker.store is store
            assert (scene.breaker.state, scene.breaker.probes, scene.breaker.failures) == (State.HALF_OPEN, 1, 3)
        assert scene.breaker.try_acquire() == REFUSED
        scene.breaker.release(probe, SUCCESS)
        assert (scene.breaker.state, scene.breaker.failures) == (State.CLOSED, 0)

    @pytest.mark.covers("T050")
    def test_breakers_know_nothing_of_each_other(self) -> None:
        one, other = Scene(), Scene()
        one.bring_to(State.OPEN)
        assert (other.breaker.state, other.breaker.failures) == (State.CLOSED, 0)


class Raced(MemoryBreakerStore):
    """Another process moves the breaker just before the first move of this one."""

    __slots__ = ("rival",)

    def enter(
        self,
        word: int,
        state: int,
        now: float,
        cause: str,
        by: str = "",
        after: float = 0.0,
        figures: Figures | None = None,
    ) -> bool:
        rival, self.rival = self.rival, -1
        if rival >= 0:
            super().enter(self.word, rival, now, "elsewhere")
        return super().enter(word, state, now, cause, by, after, figures)


class TestRaces:
    """Of two processes that move a breaker at once one does, and says it."""

    @staticmethod
    def raced(rival: State) -> tuple[Breaker, list[str]]:
        store = Raced()
        store.rival = rival.value
        changes = list[str]()
        breaker = Breaker(1, RECOVERY, clock=Clock(), store=store)
        breaker.on_change = lambda old, new, cause: changes.append(cause)
        return breaker, changes

    def test_a_threshold_that_another_process_has_met(self) -> None:
        breaker, changes = self.raced(State.OPEN)
        breaker.release(breaker.try_acquire(), FAILURE)
        assert (breaker.state, changes, [move.cause for move in breaker.moves]) == (State.OPEN, [], ["elsewhere"])

    def test_a_reset_wins_in_the_end(self) -> None:
        breaker, changes = self.raced(State.OPEN)
        breaker.reset("ann")
        assert (breaker.state, changes, breaker.moves[-1].by) == (State.CLOSED, ["reset"], "ann")

    def test_a_forced_state_wins_in_the_end(self) -> None:
        breaker, changes = self.raced(State.OPEN)
        breaker.force(State.HALF_OPEN)
        assert (breaker.state, changes) == (State.HALF_OPEN, ["external"])

    def test_one_that_is_closed_while_it_is_asked_admits(self) -> None:
        breaker, _ = self.raced(State.CLOSED)
        store = breaker.store
        assert isinstance(store, Raced)
        rival, store.rival = store.rival, -1
        breaker.force(State.OPEN)
        store.rival = rival
        clock = breaker.clock
        assert isinstance(clock, Clock)
        clock.now += RECOVERY
        assert breaker.try_acquire() != REFUSED
        assert (breaker.state, breaker.probes) == (State.CLOSED, 0)
        assert not breaker.idle
