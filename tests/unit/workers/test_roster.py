"""Who runs where, as another process reads it."""

from __future__ import annotations

import os

import pytest

from gateway.launch import MOST_WORKERS
from gateway.workers import roster
from gateway.workers.roster import Roster, Seated, count_of


def test_a_reader_sees_what_the_supervisor_writes() -> None:
    now = 10.0
    table = roster.create()
    writer, reader = Roster(2, table, lambda: now), Roster(2, table)
    assert reader.seated() == []
    writer.take(1, 501)
    now = 20.0
    writer.take(3, 502)
    assert reader.seated() == [Seated(1, 1, 501, 10.0), Seated(3, 1, 502, 20.0)]
    assert reader.pids() == {1: 501, 3: 502}
    assert [reader.newest(each) for each in reader.seated()] == [False, True]
    assert (reader.starts(0), reader.starts(1)) == (0, 2)
    writer.leave(1)
    assert reader.pids() == {3: 502}
    for each in (writer, reader):
        each.close()
    os.close(table)


def test_a_crash_loop_is_one_of_the_slot() -> None:
    table = Roster(2)
    table.note_looping(3, looping=True)
    assert [table.looping(slot) for slot in (0, 1)] == [False, True]
    table.note_looping(1, looping=False)
    assert not table.looping(1)


def test_a_replacement_is_wanted_for_one_process_until_it_was_begun() -> None:
    table = Roster(2)
    table.take(3, 502)
    table.ask_to_recycle(3, 502)
    assert table.unwanted(3, 502)
    assert not table.unwanted(3, 503), "another process came in its place"
    assert not table.unwanted(1, 502), "of the other place of the slot"
    assert not table.unwanted(0, 0), "no process"
    table.note_recycled(3)
    assert not table.unwanted(3, 502)
    assert (table.recycled(0), table.recycled(1)) == (0, 1)


def test_names_of_variables_are_those_that_were_written_last() -> None:
    descriptor = roster.create()
    writer, reader = Roster(1, descriptor), Roster(1, descriptor)
    assert reader.variables() == ()
    for names in (("ONE", "ANOTHER"), ("ONE",), ()):
        writer.keep_variables(names)
        assert reader.variables() == names
    writer.keep_variables(["A" * (1 << 20)])
    assert reader.variables() == ("A" * (1 << 20),)
    with pytest.raises(OSError, match="write fewer"):
        writer.keep_variables(["A" * (1 << 20), "B"])
    assert (reader.pids(), reader.variables()) == ({}, ("A" * (1 << 20),))
    for each in (writer, reader):
        each.close()
    os.close(descriptor)


def test_all_places_find_room() -> None:
    table = Roster(MOST_WORKERS)
    for place in range(2 * MOST_WORKERS):
        table.take(place, place + 1)
    assert table.pids() == {place: place + 1 for place in range(2 * MOST_WORKERS)}
    assert {table.starts(slot) for slot in range(MOST_WORKERS)} == {2}


def test_zero_means_one_for_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    assert count_of(3) == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(5)), raising=False)
    assert count_of(0) == 5
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(99)), raising=False)
    assert count_of(0) == MOST_WORKERS


def test_an_upgrade_is_ordered_once_where_the_supervisor_offers_it() -> None:
    table = roster.create()
    supervisor, control = Roster(MOST_WORKERS, table), Roster(MOST_WORKERS, table)
    assert control.offered == 0
    supervisor.offer(7)
    assert (control.offered, supervisor.take_order()) == (7, False)
    control.order_upgrade()
    assert (supervisor.take_order(), supervisor.take_order()) == (True, False)
    assert supervisor.seated() == []
    for each in (supervisor, control):
        each.close()
    os.close(table)
