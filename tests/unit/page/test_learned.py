from __future__ import annotations

import math

from unit.page.stage import PageStage, page_stage

from gateway.page.layout import DECISION_CELLS, DECISIONS, OPEN
from gateway.page.learned import PageLearnedStore
from gateway.policy.adaptive import Adaptive
from gateway.policy.learned import CAUSES, KEPT_DECISIONS, KEPT_SAMPLES, Decision, Learned, Load
from gateway.policy.lessons import Bounds
from gateway.policy.limiter import Limiter


def learned_stores(stage: PageStage) -> list[PageLearnedStore]:
    stage.permits(5)
    return [page.learned("ai") for page in stage.pages]


def decision(number: int) -> Decision:
    return Decision(
        float(number), number, number + 1, CAUSES[number % len(CAUSES)], 9, 8, 7, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0
    )


FULL = Learned(
    limit=7,
    changed_at=1.5,
    raised_at=2.5,
    rest_until=3.5,
    rest=4.5,
    looked_at=5.5,
    timely=6.5,
    late=7.5,
    dropped=8.5,
    proved=True,
    span=9.5,
    area=10.5,
    begins=11.5,
    misjudged=12,
    sampled_at=13.5,
    slow=14.5,
    samples=[number / 4 for number in range(KEPT_SAMPLES)],
    decisions=[decision(number) for number in range(KEPT_DECISIONS)],
)


def test_its_numbers_have_their_place_in_the_slab() -> None:
    assert DECISIONS + KEPT_DECISIONS * DECISION_CELLS <= OPEN


def test_a_new_one_knows_nothing() -> None:
    with page_stage() as stage:
        store = learned_stores(stage)[0]
        assert (store.read(), store.bound) == (Learned(), math.inf)


def test_all_processes_see_every_number() -> None:
    with page_stage() as stage:
        one, two, _ = learned_stores(stage)
        one.write(FULL, 0.25)
        assert (two.read(), two.bound) == (FULL, 0.25)
        two.write(Learned(), math.inf)
        assert (one.read(), one.bound) == (Learned(), math.inf)
        one.slab.check()


def test_a_change_sees_what_all_living_processes_have_at_the_upstream() -> None:
    with page_stage() as stage:
        one, two, three = learned_stores(stage)
        seen = list[Load]()

        def change(learned: Learned, load: Load) -> float:
            learned.limit += 1
            seen.append(load)
            return 0.5

        one.update(Load(3, 2, 1), change)
        two.update(Load(5, 5, 0), change)
        three.update(Load(1, 0, 1), change)
        stage.supervisor.bury(2)
        one.update(Load(), change)
        assert seen == [Load(3, 2, 1), Load(8, 7, 1), Load(9, 7, 2), Load(5, 5, 0)]
        assert (two.read().limit, two.bound) == (4, 0.5)


def test_there_is_one_limit_whoever_decides() -> None:
    now = 1000.0
    with page_stage(2) as stage:
        bounds = Bounds(4, 1, 8)
        adaptives = [
            Adaptive(Limiter(4, store=page.permits("ai")), bounds, page.learned("ai"), lambda: now)
            for page in stage.pages
        ]
        for adaptive in adaptives:
            adaptive.configure(bounds)
        adaptives[1].configure(Bounds(4, 1, 3))
        assert [adaptive.limiter.max for adaptive in adaptives] == [3, 3]
        assert [each.cause for each in adaptives[0].store.read().decisions] == ["bounds"]
