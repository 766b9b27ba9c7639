from __future__ import annotations

import os

import pytest

from gateway.observe.counters import FIRST, MAX_SLABS, CounterMap, Kind, create


@pytest.fixture
def descriptor() -> int:
    return create()


def test_another_process_reads_what_one_writes_and_the_next_goes_on(descriptor: int) -> None:
    writer, reader = CounterMap(descriptor), CounterMap(descriptor)
    base = writer.claim("a")
    assert base is not None
    writer.ints[base + FIRST] = 7
    writer.floats[base + FIRST + 1] = 0.5
    assert reader.live() == [("a", base)]
    assert (reader.ints[base + FIRST], reader.floats[base + FIRST + 1]) == (7, 0.5)
    writer.close()
    heir = CounterMap(descriptor)
    assert heir.claim("a") == base
    assert heir.ints[base + FIRST] == 7
    os.close(descriptor)


def test_what_is_released_disappears_and_its_place_is_used_again_empty() -> None:
    counters = CounterMap()
    first, second = counters.claim("a"), counters.claim("b")
    assert first is not None
    counters.ints[first + FIRST] = 7
    counters.release("a")
    counters.release("a")
    assert [name for name, _ in counters.live()] == ["b"]
    assert counters.claim("c") == first
    assert counters.ints[first + FIRST] == 0
    assert sorted(counters.live()) == [("b", second), ("c", first)]


def test_a_reader_sees_each_change_of_the_names(descriptor: int) -> None:
    writer, reader = CounterMap(descriptor), CounterMap(descriptor)
    assert reader.live() == reader.live(Kind.ENDPOINT) == []
    first = writer.claim("a")
    known = reader.live()
    assert (known, reader.live() is known) == ([("a", first)], True)
    writer.release("a")
    assert writer.claim("b") == first
    assert reader.live() == [("b", first)]
    writer.claim("b", Kind.ENDPOINT)
    assert [name for name, _ in reader.live(Kind.ENDPOINT)] == ["b"]
    os.close(descriptor)


def test_places_that_were_free_are_known_to_the_next(descriptor: int) -> None:
    counters = CounterMap(descriptor)
    first = counters.claim("a")
    counters.claim("b")
    counters.release("a")
    assert CounterMap(descriptor).claim("c") == first
    os.close(descriptor)


def test_when_all_are_taken_there_is_none() -> None:
    counters = CounterMap()
    assert all(counters.claim(str(n)) is not None for n in range(MAX_SLABS - 1))
    assert counters.claim("one more") is None
    counters.release("5")
    assert counters.claim("one more") is not None


def test_the_longest_name_fits() -> None:
    counters = CounterMap()
    counters.claim("x" * 64)
    assert [name for name, _ in counters.live()] == ["x" * 64]


def test_endpoints_have_slabs_of_their_own_with_names_as_long_as_an_address(descriptor: int) -> None:
    counters = CounterMap(descriptor)
    proxy, name = counters.claim("a"), "a http://" + "h" * 200 + ".test:8080"
    endpoint = counters.claim(name, Kind.ENDPOINT)
    same_name = counters.claim("a", Kind.ENDPOINT)
    assert len({proxy, endpoint, same_name}) == 3
    assert CounterMap(descriptor).live(Kind.ENDPOINT) == [("a", same_name), (name, endpoint)]
    assert CounterMap(descriptor).known(name, Kind.ENDPOINT) == endpoint
    assert counters.live() == [("a", proxy)]
    counters.release("a", Kind.ENDPOINT)
    assert (counters.names(), counters.names(Kind.ENDPOINT)) == (["a"], [name])
    os.close(descriptor)


def test_a_name_that_has_no_room_gets_no_slab() -> None:
    counters = CounterMap()
    assert counters.claim("n" * 65) is None
    assert counters.claim("n" * 2048, Kind.ENDPOINT) is not None
    assert counters.claim("n" * 2049, Kind.ENDPOINT) is None
