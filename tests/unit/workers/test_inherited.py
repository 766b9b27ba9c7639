"""Where the socket of the channel is, and that nothing is left of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gateway.workers.inherited import Inherited, channel, private_folder


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_all_of_it_is_closed_at_the_end() -> None:
    before = descriptors()
    with Inherited() as inherited:
        for place in (0, 1):
            assert stat.S_ISSOCK(channel(inherited.folder, place).stat().st_mode)
        assert len(descriptors() - before) == 12, (
            "two channels, two maps, the roster and its mapping, two pipes, a pair"
        )
    assert descriptors() <= before
    assert not inherited.folder.exists()


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_nobody_else_enters_the_folder_of_the_channel(mask: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    before = os.umask(mask)
    try:
        made = private_folder()
    finally:
        os.umask(before)
    try:
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
    finally:
        made.rmdir()


def test_a_folder_that_is_too_long_for_a_socket_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    made = private_folder()
    try:
        assert made.parent != long
        assert len(os.fsencode(made)) < 100
    finally:
        made.rmdir()


def test_the_next_program_has_the_same_ones() -> None:
    first = Inherited(2)
    with Inherited(2, first.kept()) as inherited:
        assert (inherited.folder, inherited.alive, inherited.ready) == (first.folder, first.alive, first.ready)
        assert inherited.counters == first.counters
        assert [inherited.listener(place) for place in range(4)] == [first.listener(place) for place in range(4)]
        first.roster.take(3, 17)
        assert inherited.roster.pids() == {3: 17}
        first.roster.close()
    assert not first.folder.exists()
