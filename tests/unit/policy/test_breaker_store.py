from __future__ import annotations

from collections.abc import Iterator

import pytest
from unit.page.stage import page_stage

from gateway.core.outcome import Outcome
from gateway.policy.breaker_rules import Figures
from gateway.policy.breaker_store import (
    CLOSED,
    HALF_OPEN,
    OPEN,
    STATE_OF,
    WORDS,
    BreakerStore,
    Judged,
    MemoryBreakerStore,
    State,
)
from gateway.policy.window import Sample, Tally, width_of


@pytest.fixture(params=["memory", "page"])
def store(request: pytest.FixtureRequest) -> Iterator[BreakerStore]:
    """A store that has begun, at 1.0: of one process alone, or of one among several."""
    if request.param == "memory":
        made: BreakerStore = MemoryBreakerStore()
        made.begin(1.0)
        yield made
        return
    with page_stage(1) as stage:
        shared = stage.pages[0].breaker("ai", "http://a")
        shared.begin(1.0)
        yield shared
        shared.slab.check()


WIDTH = width_of(10.0)
FAILED, GOOD = Sample(1.0, failed=True, slow=False, caller=7), Sample(1.0, failed=False, slow=False)


def judged(number: int) -> Judged:
    return Judged(float(number), Outcome.FAILURE, "upstream_reset", 502, b"r%d" % number)


def test_the_states_are_numbered_as_their_words() -> None:
    assert [CLOSED, OPEN, HALF_OPEN] == [0, 1, 2] == [state.value for state in State]
    assert [state.word for state in State] == [*WORDS]
    assert State.HALF_OPEN.api_word == "half_open"


def test_a_store_begins_once(store: BreakerStore) -> None:
    word = store.word
    store.begin(9.0)
    assert (store.word, store.since, store.word & STATE_OF) == (word, 1.0, CLOSED)


def test_each_state_is_a_new_generation_without_probes(store: BreakerStore) -> None:
    words = [store.word]
    for number, state in enumerate((OPEN, HALF_OPEN, HALF_OPEN, CLOSED, CLOSED)):
        assert store.take_probe(store.word, 1)
        assert store.enter(store.word, state, float(number), "why")
        assert (store.word & STATE_OF, store.since, store.probes) == (state, float(number), 0)
        words.append(store.word)
    assert [word >> 2 for word in words] == list(range(1, 7))


def test_of_two_that_move_it_one_does(store: BreakerStore) -> None:
    word = store.word
    assert store.enter(word, OPEN, 2.0, "first")
    assert not store.enter(word, OPEN, 3.0, "second")
    assert (store.since, [move.cause for move in store.moves]) == (2.0, ["first"])


def test_a_state_lasts_as_long_as_it_has_to(store: BreakerStore) -> None:
    assert not store.enter(store.word, OPEN, 10.9, "too early", after=10.0)
    assert store.enter(store.word, OPEN, 11.0, "in time", after=10.0)


def test_failures_are_counted_until_they_are_forgiven_or_the_circuit_closes(store: BreakerStore) -> None:
    assert [store.fail(store.word), store.fail(store.word), store.failures] == [1, 2, 2]
    store.forgive(store.word)
    assert [store.failures, store.fail(store.word)] == [0, 1]
    for state, failures in ((OPEN, 1), (HALF_OPEN, 1), (CLOSED, 0)):
        store.enter(store.word, state, 0.0, "why")
        assert store.failures == failures


def test_no_more_probes_than_allowed(store: BreakerStore) -> None:
    word = store.word
    assert [store.take_probe(word, 2) for _ in range(3)] == [True, True, False]
    store.end_probe(word)
    assert (store.probes, store.take_probe(word, 2), store.take_probe(word, 2)) == (1, True, False)


def test_what_is_meant_for_an_earlier_state_changes_nothing(store: BreakerStore) -> None:
    old = store.word
    store.enter(old, HALF_OPEN, 2.0, "why")
    assert store.take_probe(store.word, 1)
    assert store.fail(store.word) == 1
    store.end_probe(old)
    store.forgive(old)
    store.keep(old, judged(1))
    assert (store.fail(old), store.take_probe(old, 9)) == (0, False)
    assert store.count(old, WIDTH, FAILED) is None
    assert store.tally(2.0) == Tally(1)
    assert (store.failures, store.probes, [*store.outcomes]) == (1, 1, [])


def test_a_move_keeps_what_led_to_it(store: BreakerStore) -> None:
    store.keep(store.word, judged(1))
    store.enter(store.word, OPEN, 2.0, "failure_threshold")
    store.enter(store.word, CLOSED, 3.0, "reset", "ann")
    first, second = store.moves
    assert (first.old, first.new, first.cause) == (State.CLOSED, State.OPEN, "failure_threshold")
    assert [(outcome.at, outcome.request_id) for outcome in first.outcomes] == [(1.0, b"r1")]
    assert (second.at, second.by, second.outcomes) == (3.0, "ann", ())


def test_attempts_are_counted_in_a_window_and_failures_in_a_row(store: BreakerStore) -> None:
    assert store.count(store.word, WIDTH, GOOD) == Tally(0, 1)
    assert store.count(store.word, WIDTH, FAILED) == Tally(1, 2, 1, 0, 1, 1)
    assert store.count(store.word, WIDTH, FAILED._replace(slow=True, caller=8)) == Tally(2, 3, 2, 1, 2, 2, 1)
    assert (store.failures, store.tally(10.9)) == (2, Tally(2, 3, 2, 1, 2, 2, 1))
    assert store.tally(11.0) == Tally(2, 0, 0, 0, 2)
    assert store.count(store.word, WIDTH, GOOD) == Tally(0, 4, 2, 1, 0, 2, 1)
    assert store.count(store.word, WIDTH, FAILED) == Tally(1, 5, 3, 1, 1, 2, 1)
    assert store.enter(store.word, OPEN, 1.0, "why")
    assert store.tally(1.0) == Tally(1)
    assert store.enter(store.word, CLOSED, 1.0, "why")
    assert store.count(store.word, WIDTH, FAILED) == Tally(1, 1, 1, 0, 1, 1)


@pytest.mark.parametrize("cause", ["failure_threshold", "failure_rate", "slow_rate"])
def test_a_move_keeps_the_figures_that_made_it(store: BreakerStore, cause: str) -> None:
    figures = Figures(12, 0.5, 20, 30.0, 2.5, 3)
    assert store.enter(store.word, OPEN, 2.0, cause, figures=figures)
    assert store.enter(store.word, CLOSED, 3.0, "reset", figures.text)
    first, second = store.moves
    assert (first.cause, first.by, first.figures) == (cause, "", figures)
    assert (second.by, second.figures) == (figures.text, None)


def test_another_store_goes_on_with_the_window(store: BreakerStore) -> None:
    first = MemoryBreakerStore()
    first.begin(1.0)
    for sample in (GOOD, FAILED, FAILED._replace(caller=8)):
        first.count(first.word, WIDTH, sample)
    counted = first.tally(1.0)
    assert counted == Tally(2, 3, 2, 0, 2, 2)
    store.take_over(first.hand_over())
    assert store.tally(1.0) == counted
    last = MemoryBreakerStore()
    last.take_over(store.hand_over())
    assert last.tally(1.0) == counted
    assert last.count(last.word, WIDTH, FAILED._replace(at=2.0)) == Tally(3, 4, 3, 0, 2, 2)
    for left in (first, store):
        left.begin(5.0)  # the next one begins, though with the word that the first began with
        assert left.tally(5.0) == Tally()


def test_another_store_goes_on_in_the_same_state(store: BreakerStore) -> None:
    first = MemoryBreakerStore()
    first.begin(1.0)
    for number in range(3):
        first.keep(first.word, judged(number))
        assert first.fail(first.word) == number + 1
    assert first.enter(first.word, OPEN, 4.0, "failure_threshold")
    assert first.enter(first.word, HALF_OPEN, 34.0, "recovery_timeout")
    first.keep(first.word, judged(9))
    assert first.take_probe(first.word, 2)
    word, moves, outcomes = first.word, list(first.moves), list(first.outcomes)
    store.take_over(first.hand_over())
    last = MemoryBreakerStore()
    for _ in range(2):
        assert (store.word, store.since, store.failures, store.probes) == (word, 34.0, 3, 1)
        assert (list(store.moves), list(store.outcomes)) == (moves, outcomes)
        numbers = store.hand_over()
        assert (store.word, store.probes) == (0, 0), "the next one begins"
        store.take_over(numbers)
    last.take_over(store.hand_over())
    last.end_probe(word)
    assert last.enter(word, CLOSED, 35.0, "probe_succeeded")
    assert (last.failures, last.probes, last.moves[-1].outcomes) == (0, 0, (judged(9),))
