"""The log never blocks who writes to it, never mixes lines, and counts what it loses."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import termios
import threading
import time
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.patience import PATIENCE, PROMPT, eventually

from gateway.observe.line_writer import MAX_BACKLOG_BYTES, LineWriter


@contextlib.contextmanager
def pipe(path: Path) -> Iterator[int]:
    """The reading end of a pipe at ``path``; no one reads unless the test does."""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield reader
    finally:
        os.close(reader)


class Taken:
    """What was read from a descriptor that does not block."""

    def __init__(self, reader: int) -> None:
        self._reader = reader
        self.data = bytearray()

    def take(self) -> bytes:
        with contextlib.suppress(BlockingIOError):
            self.data.extend(os.read(self._reader, 1 << 20))
        return bytes(self.data)

    async def all_of(self, log: LineWriter) -> None:
        """Everything up to the end of ``log``, which was closed."""

        def over() -> bool:
            done = log.done
            self.take()
            return done

        await eventually(over, "the rest", 4 * PATIENCE)


async def ended(log: LineWriter) -> None:
    log.close()
    await eventually(lambda: log.done, "the end of the writer")


async def test_what_a_full_pipe_did_not_take_is_written_by_itself_later(tmp_path: Path) -> None:
    with pipe(tmp_path / "pipe") as reader:
        log = LineWriter(str(tmp_path / "pipe"))
        log.write([b"a" * 999 + b"\n"] * 200)
        taken = Taken(reader)
        await eventually(lambda: len(taken.take()) == 200_000)
        await ended(log)
        assert log.dropped == 0


async def test_lines_of_several_writers_stay_whole_on_one_pipe(tmp_path: Path) -> None:
    """As those of several workers: a batch that is larger than the kernel writes in one piece would be cut in two."""
    with pipe(tmp_path / "pipe") as reader:
        logs = [LineWriter(str(tmp_path / "pipe")) for _ in range(2)]
        lines = [[bytes([letter]) * (300 + number % 700) + b"\n" for number in range(3000)] for letter in b"ab"]
        for log, own in zip(logs, lines, strict=True):
            log.write(own)
            log.close()
        taken = Taken(reader)
        for log in logs:
            await taken.all_of(log)
        found = taken.take().splitlines(keepends=True)
        for own in lines:
            assert [line for line in found if line[:1] == own[0][:1]] == own
        assert len(found) == 6000
        assert any(found[at][:1] != found[at + 1][:1] for at in range(2000)), "they wrote at the same time"


async def test_lines_of_several_writers_stay_whole_in_one_file(tmp_path: Path) -> None:
    logs = [LineWriter(str(tmp_path / "log")) for _ in range(2)]
    lines = [[bytes([letter]) * (300 + number % 700) + b"\n" for number in range(2000)] for letter in b"ab"]
    for log, own in zip(logs, lines, strict=True):
        log.write(own)
        await ended(log)
    found = (tmp_path / "log").read_bytes().splitlines(keepends=True)
    for own in lines:
        assert [line for line in found if line[:1] == own[0][:1]] == own


async def test_what_is_left_at_the_end_is_counted(tmp_path: Path) -> None:
    with pipe(tmp_path / "pipe") as reader:
        log = LineWriter(str(tmp_path / "pipe"))
        log.write([b"a" * 999 + b"\n"] * 200)
        log.close()
        log.join(0.2)
        await eventually(lambda: log.done)
        assert log.dropped == 200 - os.read(reader, 1 << 20).count(b"\n") > 0


async def test_lines_come_out_in_order_and_by_themselves(tmp_path: Path) -> None:
    log = LineWriter(str(tmp_path / "log"))
    for i in range(600):
        log.write([b"%d\n" % i])
    await eventually(lambda: (tmp_path / "log").read_bytes().count(b"\n") == 600)
    assert (tmp_path / "log").read_bytes().split() == [b"%d" % i for i in range(600)]
    await ended(log)


async def test_lines_of_many_threads_stay_whole(tmp_path: Path) -> None:
    log = LineWriter(str(tmp_path / "log"))
    threads = [
        threading.Thread(target=lambda c=c: [log.write([c * 300 + b"\n"]) for _ in range(500)]) for c in (b"a", b"b")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    await ended(log)
    lines = (tmp_path / "log").read_bytes().splitlines()
    assert (len(lines), set(lines)) == (1000, {b"a" * 300, b"b" * 300})


async def test_a_file_is_appended_to_and_reopened(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"before\n")
    log = LineWriter(str(path))
    log.write([b"one\n"])
    path.rename(tmp_path / "log.1")
    log.reopen()
    log.write([b"two\n"])
    await ended(log)
    assert (tmp_path / "log.1").read_bytes() == b"before\none\n"
    assert path.read_bytes() == b"two\n"


async def test_a_full_disk_drops_and_counts() -> None:
    refusals: list[OSError] = []
    log = LineWriter("/dev/full", refused=refusals.append)
    for _ in range(300):
        log.write([b"x" * 100 + b"\n"])
    await ended(log)
    assert log.dropped == 300
    assert {error.errno for error in refusals} == {errno.ENOSPC}


async def test_after_its_end_it_takes_nothing(tmp_path: Path) -> None:
    log = LineWriter(str(tmp_path / "log"))
    log.close()
    log.close()
    log.write([b"late\n"])
    log.reopen()
    assert (log.done, log.dropped) == (True, 1)


async def test_of_a_backlog_that_is_too_large_the_longest_lines_go_first(tmp_path: Path) -> None:
    """A caller that sends long paths cannot push the short lines of others out of the log."""
    short = [b"%04d" % i + b"s" * 95 + b"\n" for i in range(1000)]
    long = [b"%04d" % i + b"l" * 8095 + b"\n" for i in range(1000)]
    with pipe(tmp_path / "pipe") as reader:
        log = LineWriter(str(tmp_path / "pipe"))
        for i in range(1000):
            log.write([long[i], short[i]])
        assert 0 < log.dropped < 1000
        taken = Taken(reader)
        await eventually(lambda: taken.take().count(b"\n") == 2000 - log.dropped, within=4 * PATIENCE)
        got = taken.data.splitlines(keepends=True)
        assert [line for line in got if b"s" in line] == short
        assert [line for line in got if b"l" in line] == [line for line in long if line in got]
        await ended(log)


async def test_one_batch_larger_than_all_the_room_loses_lines_and_not_itself(tmp_path: Path) -> None:
    with pipe(tmp_path / "pipe") as reader:
        log = LineWriter(str(tmp_path / "pipe"))
        log.write([*[b"x" * 20_000 + b"\n"] * 270, *[b"attack %d\n" % i for i in range(10)]])
        assert 0 < log.dropped < 270
        taken = Taken(reader)
        await eventually(lambda: taken.take().count(b"\n") == 280 - log.dropped, within=4 * PATIENCE)
        assert [line for line in taken.data.splitlines() if b"attack" in line] == [b"attack %d" % i for i in range(10)]
        await ended(log)


async def test_equal_lines_go_the_newest_first(tmp_path: Path) -> None:
    with pipe(tmp_path / "pipe") as reader:
        log = LineWriter(str(tmp_path / "pipe"))
        log.write([b"%06d" % i + b"y" * 993 + b"\n" for i in range(6000)])
        kept = 6000 - log.dropped
        assert kept * 1000 <= MAX_BACKLOG_BYTES
        taken = Taken(reader)
        await eventually(lambda: taken.take().count(b"\n") == kept, within=4 * PATIENCE)
        assert [int(line[:6]) for line in taken.data.splitlines()] == list(range(kept))
        await ended(log)


async def test_a_torn_line_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    room = fcntl.fcntl(reader, fcntl.F_GETPIPE_SZ)
    log = LineWriter(str(path))
    log.write([b"z" * (room + 1) + b"\n"])
    await eventually(lambda: array("i", fcntl.ioctl(reader, termios.FIONREAD, bytes(4)))[0] == room, "a full pipe")
    os.close(reader)  # the rest of the line meets a broken pipe
    await eventually(lambda: log.dropped == 1)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    taken = Taken(reader)
    await eventually(lambda: taken.take() == b"z" * room, "what the pipe had taken is still in it")
    log.write([b"whole\n"])
    await eventually(lambda: taken.take()[room:] == b"\nwhole\n")
    await ended(log)
    os.close(reader)


@pytest.mark.parametrize("kind", ["pipe", "socket"])
async def test_nobody_waits_for_a_reader_that_does_not_read(kind: str) -> None:
    """A descriptor that blocks, as the gateway inherits them: it is not made non-blocking, for others share it."""
    if kind == "pipe":
        reader, writer = os.pipe()
    else:
        pair = socket.socketpair()
        reader, writer = (end.detach() for end in pair)
    log = LineWriter("-", writer)
    began = time.monotonic()
    for _ in range(20):
        log.write([b"n" * 9_999 + b"\n"] * 100)
    assert time.monotonic() - began < PROMPT
    assert os.get_blocking(writer)
    assert log.dropped > 0
    os.close(writer)
    log.close()
    os.set_blocking(reader, False)
    taken = Taken(reader)
    await taken.all_of(log)
    assert taken.data.count(b"\n") == 2000 - log.dropped
    os.close(reader)


async def test_who_reads_again_learns_how_many_lines_are_missing() -> None:
    reader, writer = os.pipe()
    log = LineWriter("-", writer, lambda count: b"%d lost\n" % count)
    log.write([b"n" * 999 + b"\n"] * 9000)
    lost = log.dropped
    assert lost > 0
    os.close(writer)
    log.close()
    os.set_blocking(reader, False)
    taken = Taken(reader)
    await taken.all_of(log)
    assert taken.data.splitlines().count(b"%d lost" % lost) == 1
    os.close(reader)


async def test_a_pipe_that_nobody_reads_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="No such device"):
        LineWriter(str(tmp_path / "pipe"))
