from __future__ import annotations

import os

import pytest

from gateway.observe.slabs import FIRST, MAX_SLABS, Slabs, create


@pytest.fixture
def descriptor() -> int:
    return create()


def test_another_process_reads_what_one_writes_and_the_next_goes_on(descriptor: int) -> None:
    writer, reader = Slabs(descriptor), Slabs(descriptor)
    base = writer.claim("a")
    assert base is not None
    writer.ints[base + FIRST] = 7
    writer.floats[base + FIRST + 1] = 0.5
    assert reader.live() == [("a", base)]
    assert (reader.ints[base + FIRST], reader.floats[base + FIRST + 1]) == (7, 0.5)
    writer.close()
    heir = Slabs(descriptor)
    assert heir.claim("a") == base
    assert heir.ints[base + FIRST] == 7
    os.close(descriptor)


def test_what_is_released_disappears_and_its_place_is_used_again_empty() -> None:
    slabs = Slabs()
    first, second = slabs.claim("a"), slabs.claim("b")
    assert first is not None
    slabs.ints[first + FIRST] = 7
    slabs.release("a")
    slabs.release("a")
    assert [name for name, _ in slabs.live()] == ["b"]
    assert slabs.claim("c") == first
    assert slabs.ints[first + FIRST] == 0
    assert sorted(slabs.live()) == [("b", second), ("c", first)]


def test_places_that_were_free_are_known_to_the_next(descriptor: int) -> None:
    slabs = Slabs(descriptor)
    first = slabs.claim("a")
    slabs.claim("b")
    slabs.release("a")
    assert Slabs(descriptor).claim("c") == first
    os.close(descriptor)


def test_when_all_are_taken_there_is_none() -> None:
    slabs = Slabs()
    assert all(slabs.claim(str(n)) is not None for n in range(MAX_SLABS - 1))
    assert slabs.claim("one more") is None
    slabs.release("5")
    assert slabs.claim("one more") is not None


def test_the_longest_name_fits() -> None:
    slabs = Slabs()
    slabs.claim("x" * 64)
    assert [name for name, _ in slabs.live()] == ["x" * 64]
