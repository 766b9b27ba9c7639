"""`gateway demo` as its reader meets it: the real command, and every printed line run by a shell.

Each line is given to bash as printed; what it must show is written down here once more, in terms that a program can
check, so that text and truth cannot part.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.script import Scene, steps

GATEWAY = Path(sys.executable).with_name("gateway")
PATIENCE = 20.0
"""Seconds to wait for what the command should print."""

needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None and "CI" not in os.environ, reason="the printed lines need curl, which is not here"
)


class Demo:
    """The running command. Its standard output goes to a file, as a terminal would keep it to be read again."""

    def __init__(self, directory: Path) -> None:
        self._output = directory / "output"
        with self._output.open("w") as out:
            command = [
                GATEWAY,
                "demo",
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
                "--folder",
                directory / "state",
            ]
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        self.wait_for("Ctrl-C ends the demo")
        sidecar = re.findall(r"sidecar listens on (\S+):", self.output())[0]
        base, admin = re.findall(r"The gateway listens on (\S+), its admin API on (\S+), with", self.output())[0]
        self.scene = Scene(base, admin, f"sqlite:///{directory}/state/gateway.db", sidecar)

    def output(self) -> str:
        return self._output.read_text()

    def wait_for(self, text: str) -> None:
        """Until ``text`` was printed; AssertionError when it is not in time, or the command has ended."""
        end = time.monotonic() + PATIENCE
        while text not in self.output():
            waiting = self.process.poll() is None and time.monotonic() < end
            assert waiting, f"no {text!r} in:\n{self.output()}"
            time.sleep(0.02)

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output().splitlines() if line.startswith("{")]

    def paste(self, command: str) -> str:
        """What a terminal shows for ``command``."""
        shell = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, check=False)
        return shell.stdout.replace("\r", "") + shell.stderr

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    running = Demo(tmp_path_factory.mktemp("demo"))
    yield running
    assert running.end(signal.SIGTERM) == 0, running.output()


def shows_an_answer(demo: Demo, shown: str) -> None:
    head, body = shown.split("\n\n", 1)
    assert head.startswith("HTTP/1.1 200 OK\n")
    request_id = re.findall(r"(?im)^x-request-id: (\S+)$", head)
    assert len(request_id) == 1
    assert json.loads(body) == {"message": "hello from the sidecar"}
    demo.wait_for(request_id[0])


def statuses_and_seconds(shown: str) -> list[tuple[int, float]]:
    found = re.findall(r"(?m)^(\d{3}) after ([\d.]+) s$", shown)
    assert len(found) == 10, shown
    return sorted((int(status), float(seconds)) for status, seconds in found)


def shows_an_overrun(demo: Demo, shown: str) -> None:
    answers = statuses_and_seconds(shown)
    assert [status for status, _ in answers] == [200] * 8 + [500] * 2
    assert sum(seconds > 1.19 for status, seconds in answers if status == 200) >= 3


def shows_the_limit(demo: Demo, shown: str) -> None:
    counted = dict(line.strip().split(" ", 1)[::-1] for line in shown.splitlines())
    retry = [name for name in counted if name.lower().startswith("retry-after: ")]
    assert counted.pop("HTTP/1.1 200 OK") == "5"
    assert counted.pop("HTTP/1.1 429 Too Many Requests") == "5"
    assert sum(int(counted.pop(name)) for name in retry) == 5
    assert all(int(name.split()[1]) >= 1 for name in retry)
    assert not counted


def shows_the_queue(demo: Demo, shown: str) -> None:
    answers = statuses_and_seconds(shown)
    assert [status for status, _ in answers] == [200] * 10
    seconds = [seconds for _, seconds in answers]
    assert seconds[0] >= 1
    assert seconds[5] - seconds[4] > 0.5, "five go first, and five wait for their end"


def shows_the_breaker(demo: Demo, shown: str) -> None:
    lines = shown.splitlines()
    assert json.loads(lines[0]) == {"answers_that_will_fail": 3}
    assert lines[1:4] == ["HTTP/1.1 500 Internal Server Error"] * 3
    refused = {line.lower() for line in lines[4:7]}
    assert "http/1.1 503 service unavailable" in refused
    assert "x-circuit-breaker: open" in refused
    assert {f"retry-after: {seconds}" for seconds in (4, 5, 6)} & refused
    assert lines[7:] == ["HTTP/1.1 200 OK"]
    assert [line["reason"] for line in demo.log()].count("breaker_open") == 1


def shows_tokens(demo: Demo, shown: str) -> None:
    words = re.findall(r'data: \{"token": "word-(\d+)"\}', shown)
    assert words == [str(number) for number in range(20)]
    assert shown.endswith("data: [DONE]\n\n")


def shows_a_refused_smuggler(demo: Demo, shown: str) -> None:
    head, body = shown.split("\n\n", 1)
    assert head.startswith("HTTP/1.1 400 Bad Request\n")
    assert json.loads(body)["code"] == "bad_framing"
    assert [line["attempts"] for line in demo.log() if line["reason"] == "bad_framing"] in ([], [0])


def shows_a_closed_door(demo: Demo, shown: str) -> None:
    head, body = shown.split("\n\n", 1)
    assert head.startswith("HTTP/1.1 403 Forbidden\n")
    document = json.loads(body)
    assert document.keys() == {"error", "details", "code", "request_id"}
    assert document["code"] == "forbidden"
    assert document["request_id"] in head


def shows_who_left(demo: Demo, shown: str) -> None:
    stats = json.loads(shown)
    assert stats["abandoned"] == 1
    assert stats["inside"] == 0
    demo.wait_for('"client_gone"')
    gone = [line for line in demo.log() if line["reason"] == "client_gone"]
    assert [line["status_code"] for line in gone] == [499]
    assert 900 < gone[0]["duration_ms"] < 3000


def shows_an_explanation(demo: Demo, seen: str) -> None:
    first, *rest = seen.splitlines()
    assert re.match(r"ai: (a request would be forwarded|without|a request would be refused)", first), seen
    assert any(line.strip().startswith("breaker (enforce): ") for line in rest)
    assert any(line.startswith('gateway_requests_total{proxy="') for line in rest)


def shows_the_administration(demo: Demo, shown: str) -> None:
    assert shown.split() == ["404", "201", "200", "200", "404"]


SHOWN: dict[str, Callable[[Demo, str], None]] = {
    "answer": shows_an_answer,
    "overrun": shows_an_overrun,
    "limit": shows_the_limit,
    "queue": shows_the_queue,
    "breaker": shows_the_breaker,
    "tokens": shows_tokens,
    "smuggling": shows_a_refused_smuggler,
    "closed": shows_a_closed_door,
    "gone": shows_who_left,
    "administer": shows_the_administration,
    "explain": shows_an_explanation,
}


@needs_curl
@pytest.mark.parametrize("name", [step.name for step in steps(Scene("", "", "", ""))])
def test_each_printed_line_shows_what_it_says(demo: Demo, name: str) -> None:
    command = next(step.command for step in steps(demo.scene) if step.name == name)
    assert command in demo.output()
    SHOWN[name](demo, demo.paste(command))


@needs_curl
def test_tokens_do_not_wait_for_the_last_one(demo: Demo) -> None:
    command = next(step.command for step in steps(demo.scene) if step.name == "tokens")
    begun = time.monotonic()
    with subprocess.Popen(["bash", "-c", command], stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        assert "word-0" in shell.stdout.readline()
        first = time.monotonic() - begun
        shell.stdout.read()
    assert first < (time.monotonic() - begun) / 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    demo = Demo(tmp_path)
    assert demo.end(number) == 0
    rest = demo.output().partition("Ctrl-C ends the demo.\n")[2]
    assert "ERROR" not in rest, "nothing is complained about on the way out"
    assert "Traceback" not in rest


def test_an_address_in_use_is_a_failure_at_run_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        failed = subprocess.run(
            [GATEWAY, "demo", "--listen", listen], capture_output=True, text=True, check=False, cwd=tmp_path
        )
    assert failed.returncode == 1
    assert listen.rpartition(":")[2] in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_bad_address_is_bad_configuration() -> None:
    refused = subprocess.run([GATEWAY, "demo", "--listen", "nowhere"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "listen" in refused.stderr
    assert "Traceback" not in refused.stderr
