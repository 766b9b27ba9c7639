from __future__ import annotations

import pytest
from unit.page.stage import page_stage
from unit.scene import Clock

from gateway.core.outcome import Outcome
from gateway.page.breakers import PageBreakerStore
from gateway.page.layout import KEPT_MOVES, KEPT_OUTCOMES, OUTCOMES, WINDOW
from gateway.policy.breaker import Breaker
from gateway.policy.breaker_rules import Figures, Rules
from gateway.policy.breaker_store import CLOSED, HALF_OPEN, OPEN, STATE_OF, Judged, State
from gateway.policy.machine import REFUSED
from gateway.policy.window import CELLS

ORIGIN = "http://127.0.0.1:9000"
FAILED = Outcome.FAILURE


def judged(number: int, reason: str = "upstream_reset") -> Judged:
    return Judged(float(number), Outcome.FAILURE, reason, 502, b"r%d" % number)


def test_a_threshold_is_met_by_all_processes_together() -> None:
    with page_stage() as stage:
        clock, changes = Clock(), list[tuple[int, State]]()
        breakers = [
            Breaker(
                3,
                30.0,
                1,
                clock=clock,
                store=page.breaker("ai", ORIGIN),
                on_change=lambda old, new, cause, slot=page.slot: changes.append((slot, new)),  # type: ignore[misc]
            )
            for page in stage.pages
        ]
        for breaker in breakers:
            breaker.release(breaker.try_acquire(), Outcome.FAILURE, 0.0, "upstream_reset", 502, b"id")
        assert [breaker.try_acquire() for breaker in breakers] == [REFUSED] * 3
        assert changes == [(2, State.OPEN)], "one process says it"
        for breaker in breakers:
            [move] = breaker.moves
            assert (move.old, move.new, move.cause) == (State.CLOSED, State.OPEN, "failure_threshold")
            assert [(outcome.worker, outcome.request_id) for outcome in move.outcomes] == [(n, b"id") for n in range(3)]
        clock.now += 30.0
        permits = [breaker.try_acquire() for breaker in breakers]
        assert sorted(permits)[:2] == [REFUSED, REFUSED], "one probe"
        winner = next(at for at, permit in enumerate(permits) if permit != REFUSED)
        breakers[winner].release(permits[winner], Outcome.SUCCESS)
        assert [breaker.state for breaker in breakers] == [State.CLOSED] * 3
        breakers[0].reset("ann")
        assert breakers[1].moves[-1].by == "ann"


def test_a_rate_is_met_by_all_processes_together() -> None:
    with page_stage() as stage:
        clock, rules = Clock(), Rules(0.5, minimum_requests=6, distinct_callers=3)
        stores = [page.breaker("ai", ORIGIN) for page in stage.pages]
        breakers = [Breaker(0, 30.0, 1, rules=rules, clock=clock, store=store) for store in stores]
        for outcome in (Outcome.SUCCESS, Outcome.FAILURE):
            assert [breaker.state for breaker in breakers] == [State.CLOSED] * 3
            for number, breaker in enumerate(breakers):
                breaker.release(breaker.try_acquire(), outcome, caller=b"%d" % number if outcome is FAILED else b"")
        assert [breaker.try_acquire() for breaker in breakers] == [REFUSED] * 3
        assert [breaker.moves[-1].figures for breaker in breakers] == [Figures(3, 0.5, 6, 30.0, 0.0, 3)] * 3


def test_a_window_has_room_before_what_is_remembered() -> None:
    assert WINDOW + CELLS <= OUTCOMES


class TestStore:
    def test_it_begins_once(self) -> None:
        with page_stage() as stage:
            one, two, _ = [page.breaker("ai", ORIGIN) for page in stage.pages]
            one.begin(5.0)
            two.begin(9.0)
            assert (two.since, two.word & STATE_OF, two.word >> 2) == (5.0, CLOSED, 1)

    def test_of_two_that_move_it_one_does(self) -> None:
        with page_stage() as stage:
            one, two = self.begun(stage.pages[0].breaker("ai", ORIGIN)), stage.pages[1].breaker("ai", ORIGIN)
            word = one.word
            assert two.enter(word, OPEN, 2.0, "first")
            assert not one.enter(word, OPEN, 3.0, "second")
            assert not one.enter(two.word, HALF_OPEN, 11.0, "early", after=10.0)
            assert [move.cause for move in one.moves] == ["first"]

    def test_no_more_probes_than_allowed(self) -> None:
        with page_stage() as stage:
            one, two = self.begun(stage.pages[0].breaker("ai", ORIGIN)), stage.pages[1].breaker("ai", ORIGIN)
            assert [one.take_probe(one.word, 2), two.take_probe(two.word, 2), one.take_probe(one.word, 2)] == [
                True,
                True,
                False,
            ]
            two.end_probe(two.word)
            two.end_probe(two.word)
            assert (one.probes, one.take_probe(one.word, 2)) == (1, True)

    def test_the_newest_are_kept_and_no_more(self) -> None:
        with page_stage() as stage:
            store = self.begun(stage.pages[0].breaker("ai", ORIGIN))
            for number in range(KEPT_OUTCOMES + 3):
                store.keep(store.word, judged(number))
            assert [outcome.at for outcome in store.outcomes] == list(map(float, range(3, KEPT_OUTCOMES + 3)))
            for number in range(KEPT_MOVES + 2):
                store.enter(store.word, OPEN, float(number), "reset", str(number))
            assert [move.by for move in store.moves] == [str(number) for number in range(2, KEPT_MOVES + 2)]

    def test_a_record_whose_writer_died_is_skipped(self) -> None:
        with page_stage() as stage:
            store = self.begun(stage.pages[0].breaker("ai", ORIGIN))
            store.keep(store.word, judged(1))
            store.keep(store.word, judged(2))
            store.slab.cells[OUTCOMES] = 0
            assert [outcome.at for outcome in store.outcomes] == [2.0]

    @pytest.mark.parametrize(("reason", "request_id"), [("", b""), ("x" * 99, b"i" * 200), ("a", b"\xff\x00")])
    def test_texts_are_cut_to_their_room(self, reason: str, request_id: bytes) -> None:
        with page_stage() as stage:
            store = self.begun(stage.pages[0].breaker("ai", ORIGIN))
            store.keep(store.word, Judged(1.0, Outcome.IGNORED, reason, 0, request_id))
            [found] = store.outcomes
            assert found.outcome is Outcome.IGNORED
            assert (reason.startswith(found.reason), request_id.startswith(found.request_id)) == (True, True)
            assert len(found.reason) >= min(len(reason), 40)
            assert len(found.request_id) >= min(len(request_id), 60)

    @staticmethod
    def begun(store: PageBreakerStore) -> PageBreakerStore:
        store.begin(1.0)
        return store
