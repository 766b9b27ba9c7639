from __future__ import annotations

import asyncio

from unit.page.stage import page_stage

from gateway.page.census import PageCensus


def test_connections_of_all_processes_are_counted() -> None:
    with page_stage() as stage:
        permits = stage.permits(2)
        one, two, three = (PageCensus(store.slab) for store in permits)
        closed = list[int]()
        two.on_crowded(lambda: closed.append(two.excess()))
        one.opened()
        two.opened()
        assert (one.excess(), stage.rung(1)) == (0, False)
        three.opened()
        assert [stage.rung(slot) for slot in range(2)] == [True, False], "one is enough"
        assert permits[1].take() > 0
        assert permits[0].take() > 0
        three.opened()
        assert [stage.rung(slot) for slot in range(2)] == [True, True], "none seems idle, so each looks"
        three.closed()
        two.rung()
        assert closed == [1]
        two.closed()
        two.rung()
        assert (three.excess(), closed) == (0, [1])
        with one.slab.locked():
            one.closed()
            assert one.excess() == 0
        assert one.excess() == -1
        stage.supervisor.bury(2)
        assert one.excess() == -2
        one.slab.check()


def test_a_process_with_idle_connections_closes_its_own() -> None:
    with page_stage() as stage:
        permits = stage.permits(1)
        one = PageCensus(permits[0].slab)
        closed = list[int]()
        one.on_crowded(lambda: closed.append(one.excess()))
        for _ in range(3):
            one.opened()
        assert closed == [1, 2]


async def test_a_bell_reaches_it() -> None:
    with page_stage() as stage:
        stage.permits(1)
        one, two = (page.census("ai") for page in stage.pages[:2])
        assert stage.pages[0].census("ai") is one
        closed = asyncio.Event()
        one.on_crowded(closed.set)
        stage.pages[0].listen(asyncio.get_running_loop())
        one.opened()
        two.opened()
        await asyncio.wait_for(closed.wait(), 5)
        stage.pages[0].close()
