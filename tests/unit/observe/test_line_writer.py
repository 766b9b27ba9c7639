"""The log never blocks, never mixes lines, and counts what it loses."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from harness.patience import eventually

from gateway.observe.line_writer import LineWriter


def writer(path: Path | str) -> LineWriter:
    return LineWriter(str(path), asyncio.get_running_loop())


async def test_what_a_full_pipe_did_not_take_is_written_by_itself_later(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log = writer(path)
    log.write([b"a" * 999 + b"\n"] * 200)
    got = bytearray(os.read(reader, 1 << 20))
    assert len(got) < 200_000, "the pipe was full"

    def all_there() -> bool:
        with contextlib.suppress(BlockingIOError):
            got.extend(os.read(reader, 1 << 20))
        return len(got) == 200_000

    await eventually(all_there)
    log.close()
    os.close(reader)
    assert log.dropped == 0


async def test_what_is_left_at_the_end_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log = writer(path)
    log.write([b"a" * 999 + b"\n"] * 200)
    log.close()
    got = os.read(reader, 1 << 20)
    os.close(reader)
    assert log.dropped == 200 - got.count(b"\n")


async def test_lines_come_out_in_order_and_by_themselves(tmp_path: Path) -> None:
    log = writer(tmp_path / "log")
    for i in range(600):
        log.write([b"%d\n" % i])
    await eventually(lambda: (tmp_path / "log").read_bytes().count(b"\n") == 600)
    assert (tmp_path / "log").read_bytes().split() == [b"%d" % i for i in range(600)]
    log.close()


async def test_a_file_is_appended_to_and_reopened(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"before\n")
    log = writer(path)
    log.write([b"one\n"])
    path.rename(tmp_path / "log.1")
    log.reopen()
    log.write([b"two\n"])
    log.close()
    assert (tmp_path / "log.1").read_bytes() == b"before\none\n"
    assert path.read_bytes() == b"two\n"


async def test_a_full_disk_drops_and_counts() -> None:
    log = writer("/dev/full")
    for _ in range(300):
        log.write([b"x" * 100 + b"\n"])
    assert log.dropped == 300
    log.close()


async def test_a_blocked_pipe_keeps_then_drops_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log = writer(path)
    line = b"y" * 999
    for _ in range(8):
        log.write([line + b"\n"] * 1000)
    assert log.dropped > 0
    got = b""
    written = 8000 - log.dropped
    while got.count(b"\n") < written:
        try:
            got += os.read(reader, 1 << 20)
        except BlockingIOError:
            log.flush()
    assert set(got.split(b"\n")) == {line, b""}
    log.close()
    os.close(reader)


async def test_a_torn_line_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log = writer(path)
    log.write([b"z" * 100_000 + b"\n"])
    os.close(reader)  # the rest of the line meets a broken pipe
    log.flush()
    assert log.dropped == 1
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log.write([b"whole\n"])
    assert set(os.read(reader, 1 << 20)) == {ord("z")}, "what the pipe had taken is still in it"
    log.flush()
    assert os.read(reader, 1 << 20) == b"\nwhole\n"
    log.close()
    os.close(reader)
