"""A child that was started without an object for it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from harness.patience import eventually

from gateway.workers.adopted import Adopted


def start(code: str) -> int:
    return os.posix_spawn(sys.executable, [sys.executable, "-c", code], os.environ)


@pytest.fixture
def sleeper() -> Iterator[int]:
    pid = start("import time; time.sleep(60)")
    yield pid
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


async def test_its_end_is_reported_as_that_of_one_that_we_started() -> None:
    adopted = Adopted(start("raise SystemExit(3)"))
    await eventually(lambda: adopted.poll() is not None, "its end", 10)
    assert (adopted.poll(), adopted.wait(), adopted.wait(1)) == (3, 3, 3)
    adopted.send_signal(signal.SIGKILL)


def test_a_signal_is_a_negative_code(sleeper: int) -> None:
    adopted = Adopted(sleeper)
    assert adopted.poll() is None
    adopted.send_signal(signal.SIGTERM)
    assert adopted.wait(10) == -signal.SIGTERM


def test_a_wait_has_an_end(sleeper: int) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        Adopted(sleeper).wait(0.01)


def test_only_children_are_adopted() -> None:
    with pytest.raises(ChildProcessError):
        Adopted(os.getppid())
