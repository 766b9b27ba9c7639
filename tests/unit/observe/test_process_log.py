"""The process's own log: what goes into it, and that nothing waits for its reader."""

from __future__ import annotations

import logging
import os
import pty
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from gateway.core.events import LimitDecided
from gateway.observe.process_log import entry, log_event

BEGIN = "from gateway.observe.process_log import begin_process_log; import logging, sys; begin_process_log();"


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BEGIN + code], capture_output=True, text=True, timeout=30)


def test_everything_that_a_process_says_comes_out_before_it_ends() -> None:
    done = run(
        "logging.getLogger('gateway').info('logged'); print('printed', file=sys.stderr); print('out');"
        "sys.stderr.write('no end')"
        "\nimport warnings; warnings.warn('warned', stacklevel=1)"
        "\nclass Odd:\n    def __del__(self): raise ValueError('unraisable')"
        "\nOdd()\nraise KeyError('uncaught')"
    )
    assert (done.returncode, done.stdout) == (1, "out\n")
    for word in ("INFO gateway: logged", "printed", "warned", "unraisable", "KeyError: 'uncaught'"):
        assert word in done.stderr


def test_it_begins_once() -> None:
    assert run("begin_process_log(); logging.getLogger('x').warning('once')").stderr.count("once") == 1


def test_an_entry_that_can_not_be_formatted_is_told_in_one_line() -> None:
    told = run("logging.getLogger('x').warning('%d', 'text')").stderr
    assert (told.count("\n"), "cannot be formatted" in told) == (1, True)


def test_any_text_becomes_bytes() -> None:
    assert entry("grün \udcff") == "grün \\udcff\n".encode()
    long = entry("ü" * 50_000)
    assert long.endswith(b"... 34464 bytes more\n")
    assert len(long) < 66_000


@pytest.fixture(params=["pipe", "unix socket", "terminal"])
def stalled(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """A descriptor for standard error, and one that no one reads at its other end."""
    if request.param == "pipe":
        reader, writer = os.pipe()
    elif request.param == "terminal":
        reader, writer = pty.openpty()
    else:
        reader, writer = (end.detach() for end in socket.socketpair())
    yield writer, reader
    os.close(reader)
    os.close(writer)


def test_a_reader_that_stalls_holds_nobody_up(stalled: tuple[int, int]) -> None:
    """Neither who logs, nor the end of the process for longer than a second."""
    code = (
        "import time; began = time.monotonic()\n"
        "for _ in range(20000): logging.getLogger('x').warning('y' * 500)\n"
        "print('z' * 5_000_000, file=sys.stderr)\n"
        "open(sys.argv[1], 'w').write(str(time.monotonic() - began))"
    )
    writer, _ = stalled
    began = time.monotonic()
    command = [sys.executable, "-c", BEGIN + code, "/dev/stdout"]
    process = subprocess.Popen(command, stderr=writer, stdout=subprocess.PIPE)
    took, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert float(took) < 10
    assert time.monotonic() - began < 20


def test_decisions_of_a_limit_that_adapts_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "gateway"):
        log_event(LimitDecided("ai", 10, 8, "late"))
        log_event(LimitDecided("ai", 8, 9, "probe", shadow=True))
    assert caplog.messages == ["limit of ai: 10 -> 8 (late)", "limit of ai: 8 -> 9 (probe, in shadow mode)"]
