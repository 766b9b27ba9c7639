"""A file that holds a body is whole, or is not there."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import click
import pytest

from gateway.cli import downloads
from gateway.cli.downloads import Download, check, saved


def save(name: str, data: bytes) -> None:
    with saved(name) as file:
        file.write(data[:1])
        file.write(data[1:])


pytestmark = pytest.mark.covers("ACT-46")


def test_a_file_is_written_whole_and_replaces_an_older_one(tmp_path: Path) -> None:
    file = tmp_path / "body"
    for data in (b"\x00\xff" * 1000, b"", b"new"):
        save(str(file), data)
        assert file.read_bytes() == data
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_leads_to_the_file_that_is_written(tmp_path: Path) -> None:
    file, link = tmp_path / "body", tmp_path / "link"
    file.write_bytes(b"old")
    link.symlink_to(file)
    save(str(link), b"new")
    assert (file.read_bytes(), link.is_symlink()) == (b"new", True)


_ENDLESS = """
import signal, sys, time
from gateway.cli.downloads import saved
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run below nohup, which has it ignored
with saved(sys.argv[1]) as file:
    file.write(b"a part")
    file.flush()
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_process_that_is_ended_leaves_the_old_file_and_nothing_else(tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / "body"
    file.write_bytes(b"old")
    command = [sys.executable, "-c", _ENDLESS, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(number)
    assert (file.read_bytes(), list(tmp_path.iterdir())) == (b"old", [file])


def test_a_file_system_without_files_that_have_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "_OPEN", str(tmp_path / "none"))
    file = tmp_path / "body"
    with contextlib.suppress(BrokenPipeError), saved(str(file)) as stream:
        stream.write(b"a part")
        assert len(list(tmp_path.iterdir())) == 1
        raise BrokenPipeError
    assert list(tmp_path.iterdir()) == []
    save(str(file), b"whole")
    assert (file.read_bytes(), list(tmp_path.iterdir())) == (b"whole", [file])


@pytest.mark.parametrize("fails", ["fsync", "replace", "link"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def full(*_: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "body"
    file.write_bytes(b"old")
    monkeypatch.setattr(Path if fails == "replace" else os, fails, full)
    with pytest.raises(OSError, match="No space"):
        save(str(file), b"new")
    assert (file.read_bytes(), list(tmp_path.iterdir())) == (b"old", [file])


def test_a_body_that_breaks_off_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "body"
    for before in ([], [file]):
        with contextlib.suppress(BrokenPipeError), saved(str(file)) as stream:
            stream.write(b"a part")
            raise BrokenPipeError
        assert list(tmp_path.iterdir()) == before
        file.write_bytes(b"old")
    assert file.read_bytes() == b"old"


def test_standard_output_and_pipes(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    save("-", b"\x00a")
    assert capfdbinary.readouterr().out == b"\x00a"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    save(str(pipe), b"through")
    reader.join()
    assert (read, pipe.is_fifo()) == ([b"through"], True)


_CALL = """
import asyncio, sys
from gateway.cli.action_call import _write
from gateway.cli import downloads
from gateway.cli.downloads import Download
asyncio.run(_write(sys.argv[1], Download(b"body", {"x-upstream-status": "200"})))
"""


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1"])
def test_standard_output_gets_the_body_alone_by_each_of_its_names(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-c", _CALL, name]
    assert subprocess.run(command, check=True, capture_output=True).stdout == b"body"
    file = tmp_path / "log"
    with file.open("ab") as log:
        for text in (b"before ", b" after"):
            log.write(text)
            log.flush()
            subprocess.run(command, check=True, stdout=log)
    assert file.read_bytes() == b"before body afterbody"


def test_a_place_that_cannot_be_written_is_known_before_the_call(tmp_path: Path) -> None:
    check("-")
    check(str(tmp_path / "new"))
    with pytest.raises(click.UsageError, match="cannot be written"):
        check(str(tmp_path / "none" / "file"))


def test_what_it_is() -> None:
    found = Download(b"abc", {"content-type": "image/png", "content-encoding": "gzip", "x-upstream-status": "404"})
    assert (found.about(3), found.status) == ("3 bytes, image/png, gzip", 404)
