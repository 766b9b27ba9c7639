"""A child that is silent for too long is seen; who looks seldom blames nobody."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest
from harness.patience import eventually

from gateway.workers.pulse import _ENDING_LOOKS, Pulse, beating


@pytest.fixture
def pulse() -> Iterator[Pulse]:
    made = Pulse(starting=5, running=3)
    yield made
    made.close()


async def test_who_beats_does_not_hang(pulse: Pulse) -> None:
    with beating(pulse.writer):
        for _ in range(2):
            await eventually(lambda: not pulse.hangs() and pulse._silent == 0, "a beat")


async def test_who_is_silent_hangs_after_a_few_looks(pulse: Pulse) -> None:
    with beating(pulse.writer):
        assert not pulse.hangs()
        assert [pulse.hangs() for _ in range(3)] == [False, False, True]


async def test_a_process_whose_loop_has_ended_gets_time_to_write_its_log(pulse: Pulse) -> None:
    with beating(pulse.writer):
        assert not pulse.hangs()
    assert not pulse.hangs()
    looks = [pulse.hangs() for _ in range(_ENDING_LOOKS)]
    assert looks == [False] * (_ENDING_LOOKS - 1) + [True]


def test_who_begins_gets_more_time(pulse: Pulse) -> None:
    assert [pulse.hangs() for _ in range(5)] == [False, False, False, False, True]


async def test_a_new_process_is_not_judged_by_the_one_before(pulse: Pulse) -> None:
    with beating(pulse.writer):
        pulse.hangs()
        for _ in range(2):
            pulse.hangs()
    pulse.began()
    assert [pulse.hangs() for _ in range(5)] == [False, False, False, False, True]


async def test_a_supervisor_that_does_not_look_holds_nobody_up(pulse: Pulse) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.write(pulse.writer, bytes(4096)):
            pass
    with beating(pulse.writer):
        pass
    assert not pulse.hangs()


async def test_the_next_program_reads_the_same_pipe(pulse: Pulse) -> None:
    adopted = Pulse(5, 3, pulse.ends)
    with beating(pulse.writer):
        assert not adopted.hangs()
        assert [adopted.hangs() for _ in range(3)] == [False, False, True]
