"""The process: its signals, its file and its exit codes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.ports import reserved_port

from gateway import launch

PROXY = "proxies: [{name: p, path: /p, upstream: 'http://127.0.0.1:1', access_rule: '%s'}]\n"


class Gateway:
    def __init__(self, folder: Path) -> None:
        self.port = reserved_port()
        self.config = folder / "gateway.yaml"
        self.errors = folder / "stderr"
        self.configure("true")
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "run", "--config", str(self.config)],
                stderr=errors,
                stdout=subprocess.DEVNULL,
            )
        self.until(lambda: "serves 1 proxy" in self.told())

    def configure(self, rule: str) -> None:
        self.write(f"listen: 127.0.0.1:{self.port}\n" + PROXY % rule)

    def write(self, text: str) -> None:
        new = self.config.with_suffix(".new")
        new.write_text(text)
        new.rename(self.config)

    def told(self) -> str:
        return self.errors.read_text()

    def code(self) -> str:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/p", timeout=5)
        except urllib.error.HTTPError as error:
            return str(json.load(error)["code"])
        raise AssertionError("nobody answers at the upstream")

    def until(self, condition: Callable[[], bool], within: float = 15) -> None:
        end = time.monotonic() + within
        while not condition():
            assert time.monotonic() < end, self.told()
            time.sleep(0.02)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path)
    yield gateway
    if gateway.process.poll() is None:
        gateway.process.kill()
    gateway.process.wait()


def test_what_is_read_at_start_is_named_when_it_changes(running: Gateway) -> None:
    listen, proxy = f"listen: 127.0.0.1:{running.port}\n", PROXY % "true"
    running.write(f"listen: [127.0.0.1:{running.port}, '127.0.0.1:0']\n{proxy}")
    running.until(lambda: "configuration 2 applied" in running.told())
    assert "at the next start" not in running.told(), "the name that is made of the addresses stays"
    running.write(f"via: edge-1\n{listen}{proxy}")
    running.until(lambda: "via: a change takes effect at the next start" in running.told())
    running.write(f"via: edge-1\nauth: {{keys_file: {running.config}.k}}\n{listen}{proxy}")
    running.until(lambda: "auth.keys_file: a change takes effect at the next start" in running.told())


def test_reloads_by_file_and_by_signal_and_refuses_bad_ones(running: Gateway) -> None:
    assert running.code() == "dial_failed"
    running.configure("false")
    running.until(lambda: running.code() == "forbidden")
    running.write("listen: 1\nnonsense: true\n")
    running.until(lambda: "nonsense" in running.told())
    assert "gateway.yaml:2: nonsense" in running.told()
    assert running.code() == "forbidden"
    running.process.send_signal(signal.SIGHUP)
    running.until(lambda: running.told().count("gateway.yaml:2: nonsense") == 2)
    assert running.code() == "forbidden"
    running.configure("true")
    running.process.send_signal(signal.SIGHUP)
    running.until(lambda: running.code() == "dial_failed")
    running.process.terminate()
    assert running.process.wait(10) == 0


def test_a_reload_that_changes_nothing_is_logged(running: Gateway) -> None:
    running.process.send_signal(signal.SIGHUP)
    running.until(lambda: "configuration 1 stays active (SIGHUP, nothing has changed)" in running.told())
    good = running.config.read_text()
    running.write("nonsense: true\n")
    running.until(lambda: "file change rejected, configuration 1 stays active" in running.told())
    running.write(good)
    running.until(lambda: "configuration 1 stays active (file change, nothing has changed)" in running.told())
    running.write(good + "# a comment\n")
    again = "configuration 1 stays active (file change, nothing has changed)"
    running.until(lambda: running.told().count(again) == 2)


def many(count: int, limit: int) -> str:
    proxy = "- {name: p%d, path: /p%d, upstream: 'http://127.0.0.1:1', access_rule: 'true', max_concurrent: %d}\n"
    return "proxies:\n" + "".join(proxy % (i, i, limit) for i in range(count))


def seconds(process: subprocess.Popen[bytes]) -> float:
    """Processor time that it took so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_many_signals_are_few_reloads(running: Gateway) -> None:
    head = f"listen: 127.0.0.1:{running.port}\n"
    running.write(head + many(300, 1))
    running.until(lambda: "configuration 2 applied" in running.told(), 30)
    before = seconds(running.process)
    for _ in range(100):
        running.process.send_signal(signal.SIGHUP)
        time.sleep(0.002)
    running.write(head + many(300, 2))  # what is in the file after the last signal is applied
    for _ in range(100):
        running.process.send_signal(signal.SIGHUP)
        time.sleep(0.002)
    running.until(lambda: "configuration 3 applied" in running.told(), 30)
    assert seconds(running.process) - before < 10, "to read 300 proxies takes a third of a second"
    running.process.terminate()
    assert running.process.wait(20) == 0
    assert "configuration 4" not in running.told()


def test_a_signal_during_the_start_ends_it_and_nothing_else_is_said(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text("listen: 127.0.0.1:0\n" + PROXY % "true")
    with launch.held():  # so that the signal waits for its handler, as it does under the supervisor
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "run", "--config", str(config)], stderr=subprocess.PIPE, text=True
        )
    process.terminate()
    _, told = process.communicate(timeout=60)
    assert (process.returncode, "stopping before the start is complete" in told) == (0, True), told
    assert "draining" not in told
    assert "serves" not in told


def test_a_second_signal_cuts(running: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", running.port)) as stuck:
        stuck.sendall(b"GET /p HTTP/1.1\r\nHost: a")
        running.process.terminate()
        running.until(lambda: "draining" in running.told())
        assert running.process.poll() is None
        running.process.terminate()
        assert running.process.wait(10) == 0


def test_an_address_in_use_is_a_runtime_error(tmp_path: Path, running: Gateway) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "run", "--config", str(running.config)],
        capture_output=True,
        text=True,
        timeout=20,
        env=os.environ,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    (line,) = [line for line in done.stderr.splitlines() if " ERROR " in line]
    assert line.endswith(
        f"cannot start: listen: cannot listen on 127.0.0.1:{running.port}: Address already in use; "
        "stop the program that uses it, or change listen"
    )
