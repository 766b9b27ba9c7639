"""Every store of every operation on the shared page: a process dies before it, and the next one finds the truth.

For each operation and each number k a child process runs it and is killed before its k-th store. Then another process
takes the lock, the supervisor buries the dead one, and everyone lets go: the invariants hold all the way, and nothing
is left or lost.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, cast

import pytest
from unit.page.stage import PageStage, page_stage

from gateway.core.outcome import Outcome
from gateway.page.breakers import PageBreakerStore
from gateway.page.census import PageCensus
from gateway.page.layout import HELD, LIMIT, PROBES, QUARANTINE, RING, TAIL, TOTAL, WAITING
from gateway.page.permits import PagePermitStore
from gateway.page.rates import PageRateStore
from gateway.policy.breaker_rules import Figures
from gateway.policy.breaker_store import CLOSED, HALF_OPEN, OPEN, STATE_OF, BreakerNumbers, Judged, Move, State
from gateway.policy.retry_after import SLOTS as SECONDS
from gateway.policy.retry_after import Saved
from gateway.policy.store import PermitNumbers
from gateway.policy.window import Sample, width_of

ME, OTHER, THIRD = range(3)
LEFT = None


class Deadly:
    """Memory whose process is killed before its k-th store."""

    stores = 0

    def __init__(self, memory: Any, last: int) -> None:
        self.memory, self.last = memory, last

    def __getitem__(self, at: Any) -> Any:
        return self.memory[at]

    def __setitem__(self, at: Any, value: Any) -> None:
        if Deadly.stores == self.last:
            os.kill(os.getpid(), signal.SIGKILL)
        Deadly.stores += 1
        self.memory[at] = value


def census(store: PagePermitStore) -> PageCensus:
    return PageCensus(store.slab)


NUMBERS = PermitNumbers(3, 9, 0.5, 70, 0, Saved(1000, 60, 65, 2.5, 900.0, 3, 2), [1] * SECONDS)


@dataclass(frozen=True)
class Case:
    name: str
    limit: int
    held: tuple[int, int, int]
    """Permits of me, the other and the third process."""
    line: tuple[int | None, ...]
    """The processes of those who wait; `LEFT`: one who has left."""
    do: Callable[[PagePermitStore], object]


CASES = (
    Case("take a free one", 5, (1, 1, 0), (), PagePermitStore.take),
    Case("take the last one", 3, (1, 1, 0), (), PagePermitStore.take),
    Case("give back, no one waits", 3, (1, 2, 0), (), PagePermitStore.give_back),
    Case("give to another process", 3, (1, 2, 0), (OTHER, THIRD), PagePermitStore.give_back),
    Case("give to my own waiter", 3, (1, 2, 0), (ME, THIRD), PagePermitStore.give_back),
    Case("give, behind those who left", 3, (1, 2, 0), (LEFT, LEFT, THIRD, OTHER), PagePermitStore.give_back),
    Case("join", 2, (1, 1, 0), (OTHER,), PagePermitStore.join),
    Case("join where one is free", 3, (1, 1, 0), (), PagePermitStore.join),
    Case("leave", 2, (1, 1, 0), (OTHER, ME, THIRD), lambda store: store.leave(1)),
    Case("raise the limit", 2, (1, 1, 0), (OTHER, ME, LEFT, THIRD), lambda store: store.resize(5)),
    Case("lower the limit", 3, (1, 2, 0), (OTHER,), lambda store: store.resize(1)),
    Case("bury another", 4, (1, 3, 0), (THIRD, OTHER, ME, THIRD), lambda store: store.bury(OTHER)),
    Case("exhume", 3, (1, 2, 0), (THIRD, OTHER), lambda store: (store.bury(OTHER), store.exhume(2))),
    Case("open a connection", 2, (1, 1, 0), (), lambda store: census(store).opened()),
    Case("close a connection", 2, (1, 1, 0), (), lambda store: (census(store).opened(), census(store).closed())),
    Case("hand over", 3, (1, 2, 0), (OTHER, ME, LEFT, ME, THIRD), PagePermitStore.hand_over),
    Case("hand over more than the limit", 2, (2, 2, 0), (ME, OTHER), PagePermitStore.hand_over),
    Case("take over", 1, (0, 0, 0), (), lambda store: store.take_over(NUMBERS, 3, 2)),
    Case("promise a return", 2, (1, 1, 0), (), lambda store: store.reserve_return(1000.0, 3.0, 3.0, 0.0)),
)


def prepared(stage: PageStage, case: Case, number: int) -> list[PagePermitStore]:
    stores = stage.permits(case.limit, max_waiting=100, name=str(number))
    slab = stores[ME].slab
    for slot, permits in enumerate(case.held):
        slab.cells[HELD + slot] = permits
    slab.cells[TOTAL] = sum(case.held)
    for place, slot in enumerate(case.line):
        slab.entries[place] = 0 if slot is LEFT else slot + 1
    slab.cells[TAIL] = len(case.line)
    slab.cells[WAITING] = sum(slot is not LEFT for slot in case.line)
    slab.check()
    return stores


def died(do: Callable[[], object]) -> bool:
    """Whether a child process that does it was killed; otherwise it came to its end."""
    child = os.fork()
    if not child:
        do()
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code < 0


def deadly(store: PagePermitStore, last: int) -> PagePermitStore:
    slab = store.slab
    slab.cells = store._cells = cast(memoryview, Deadly(slab.cells, last))
    slab.entries = cast(memoryview, Deadly(slab.entries, last))
    slab.floats = cast("memoryview[float]", Deadly(slab.floats, last))
    for name in PagePermitStore.__slots__:
        if isinstance(getattr(store, name), memoryview):  # a cell of its own
            setattr(store, name, Deadly(getattr(store, name), last))
    store._schedule._cells, store._schedule._floats = slab.cells, slab.floats
    return store


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_limiter_survives_death_at_each_store(case: Case) -> None:
    with page_stage() as stage:
        points = 0
        for last in count():
            stores = prepared(stage, case, last)
            store = stores[OTHER]
            if not died(lambda stores=stores, last=last: case.do(deadly(stores[ME], last))):  # type: ignore[misc]
                store.slab.check()
                break
            points += 1
            with store.slab.locked():  # whoever comes first
                pass
            store.slab.check()
            mine = store.slab.cells[HELD + ME]
            before = store.slab.cells[HELD + QUARANTINE]
            assert stores[THIRD].bury(ME) == mine
            store.slab.check()
            assert store.slab.cells[HELD + QUARANTINE] == before + mine
            assert stores[THIRD].bury(ME) == 0, "nothing comes back twice"
            stores[THIRD].exhume(int(store.slab.cells[HELD + QUARANTINE]))
            store.slab.check()
            empty(stores)
        assert points, "the operation stores something"


def empty(stores: list[PagePermitStore]) -> None:
    """Everyone lets go, and gets what the others release."""
    cells = stores[ME].slab.cells = memoryview(stores[OTHER].slab.cells)
    while cells[TOTAL]:
        for slot in (OTHER, THIRD):
            if cells[HELD + slot]:
                stores[slot].give_back()
                stores[slot].slab.check()
    assert cells[WAITING] == 0 or cells[LIMIT] == 0
    assert not any(stores[OTHER].slab.entries[place % RING] for place in range(cells[TAIL]))


FAILED = Judged(1.0, Outcome.FAILURE, "reset", 502, b"id")
WIDTH = width_of(10.0)
BAD = Sample(5.0, failed=True, slow=True, caller=7)
GOOD = Sample(5.0, failed=False, slow=False)
BREAKER = BreakerNumbers(
    2 << 2 | OPEN,
    9.0,
    2,
    0,
    (FAILED,),
    (Move(9.0, State.CLOSED, State.OPEN, "failure_threshold", "", (FAILED,) * 2, Figures(2, 2)),),
    (2 << 2 | OPEN, WIDTH, 5, *range(1, 129)),
)


def breaker_steps() -> Iterator[tuple[str, int, Callable[[PageBreakerStore], object]]]:
    yield "begin", -1, lambda store: store.begin(5.0)
    yield "fail", CLOSED, lambda store: store.fail(store.word)
    yield "forgive", CLOSED, lambda store: store.forgive(store.word)
    yield "keep", CLOSED, lambda store: store.keep(store.word, FAILED)
    yield "count the first", CLOSED, lambda store: store.count(store.word, WIDTH, BAD)
    yield "count a failure", CLOSED, lambda store: [store.count(store.word, WIDTH, BAD) for _ in range(2)]
    yield "count a success", CLOSED, lambda store: [store.count(store.word, WIDTH, each) for each in (BAD, GOOD)]
    yield (
        "turn the window",
        CLOSED,
        lambda store: [store.count(store.word, WIDTH, BAD._replace(at=at)) for at in (1, 5)],
    )
    yield "open", CLOSED, lambda store: store.enter(store.word, OPEN, 9.0, "failure_threshold")
    yield "half-open", OPEN, lambda store: store.enter(store.word, HALF_OPEN, 9.0, "recovery_timeout")
    yield "take a probe", HALF_OPEN, lambda store: store.take_probe(store.word, 3)
    yield "end a probe", HALF_OPEN, lambda store: (store.take_probe(store.word, 3), store.end_probe(store.word))
    yield "hand over", HALF_OPEN, lambda store: (store.take_probe(store.word, 3), store.hand_over())
    yield "take over", CLOSED, lambda store: store.take_over(BREAKER)
    yield "close", HALF_OPEN, lambda store: store.enter(store.word, CLOSED, 9.0, "probe_succeeded")


@pytest.mark.parametrize(("name", "state", "do"), [*breaker_steps()], ids=[name for name, *_ in breaker_steps()])
def test_a_breaker_survives_death_at_each_store(
    name: str, state: int, do: Callable[[PageBreakerStore], object]
) -> None:
    with page_stage() as stage:
        for last in count():
            mine, other, _ = [page.breaker(str(last), "http://a") for page in stage.pages]
            if state >= 0:
                mine.begin(1.0)
                assert mine.fail(mine.word) == 1
                if state != CLOSED:
                    assert mine.enter(mine.word, state, 2.0, "why")
                    assert other.take_probe(other.word, 3)
            before = other.word

            def step(store: PageBreakerStore = mine, last: int = last) -> None:
                slab = store.slab
                slab.cells = store._cells = cast(memoryview, Deadly(slab.cells, last))
                slab.floats = cast("memoryview[float]", Deadly(slab.floats, last))
                store._window.cells = slab.cells
                do(store)

            if not died(step):
                break
            with other.slab.locked():
                pass
            other.slab.check()
            stage.supervisor.bury(ME)
            other.slab.check()
            nothing = () if name not in ("hand over", "take over") else (0,)  # the next process begins
            assert other.word in (before, ((before >> 2) + 1) << 2 | other.word & STATE_OF, *nothing), (
                "one step, or none"
            )
            assert other.probes == other.slab.cells[PROBES + OTHER], "the probes of the dead are free"
            _ = other.outcomes, other.moves  # a record that is not whole is skipped
            left = other.tally(5.0)
            assert max(left.failed, left.slow) <= left.total <= 2 or name == "take over", "no more than there were"
            assert (left.failed_callers, left.slow_callers) <= (1, 1) or name == "take over"
            other.begin(7.0)
            assert other.fail(other.word) >= 1
            before = other.tally(7.0).total
            counted = other.count(other.word, WIDTH, BAD._replace(at=7.0))
            assert counted is not None
            assert (counted.total, counted.run >= 2) == (before + 1, True)
        assert last >= 1, name


NOW = 1000.0
FULL = [(key, NOW + key) for key in range(1, 9)]
"""The entries of a table of one set, each live."""


@pytest.mark.parametrize(
    ("before", "key"), [((), 50), (FULL[:3], 50), (FULL[:3], 2), (FULL, 50)], ids=["first", "new", "known", "replaces"]
)
def test_a_rate_limit_survives_death_at_each_store(before: list[tuple[int, float]], key: int) -> None:
    """An entry is lost at most, and none is ever another's."""
    with page_stage() as stage:
        for last in count():
            mine, other, _ = [page.rates(str(last), 8) for page in stage.pages]
            for known, moment in before:
                other.table.put(other.table.find(known), known, moment, NOW)

            def step(store: PageRateStore = mine, last: int = last) -> None:
                table = store.table
                table.hashes, table.moments, table.counts = (
                    cast(Any, Deadly(memory, last)) for memory in (table.hashes, table.moments, table.counts)
                )
                store.enter()
                table.put(table.find(key), key, NOW + 99, NOW)

            if not died(step):
                break
            other.enter()  # the dead one held the lock
            found = dict(zip(other.table.hashes.tolist(), other.table.moments.tolist(), strict=True))
            found.pop(0, None)
            for known, moment in before:
                assert found.pop(known, moment) in (moment, NOW + 99 if known == key else moment)
            assert found.pop(key, NOW + 99) == NOW + 99
            assert not found
            other.table.put(other.table.find(77), 77, NOW + 100, NOW)
            other.leave()
            assert other.table.moments[other.table.find(77)] == NOW + 100
        assert last, "the operation stores something"
