"""The parts that measure: what load generators print, what the kernel tells, the search, small runs on real proxies."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness import debian
from harness.toolbox import unavailable
from meta.sources import ROOT

from loadtest.http1 import whole
from loadtest.peers import idle, procfs, tls
from loadtest.peers.pacer import FRAMES, frame
from loadtest.peers.record import Record
from loadtest.peers.server import origin, peer
from loadtest.peers.streams import Reading, Stage, Trial, most, oldest
from loadtest.peers.target import FOLDER, TARGETS, fill
from loadtest.wrk_output import Result, parsed

PRINTED = """Running 2s test @ http://127.0.0.1:1/
  1 threads and 64 connections
  Latency Distribution
     50%    3.10ms
  17012 requests in 2.05s, 5.47MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 5
Requests/sec:   8298.54
"""
PRINTED_OVER_TLS = """TLS Protocol: TLSv1.3
Cipher: TLS_AES_128_GCM_SHA256
Application protocol: h2

finished in 500.20ms, 4000.00 req/s, 277.60KB/s
requests: 4014 total, 4028 started, 4014 done, 4000 succeeded, 14 failed, 14 errored, 2 timeout
status codes: 4005 2xx, 0 3xx, 0 4xx, 0 5xx
"""


def test_what_wrk_prints_is_read() -> None:
    assert parsed(PRINTED) == Result(17012, 2.05, 15)
    assert parsed("  7 requests in 1.00m, 1MB read") == Result(7, 60, 0)
    with pytest.raises(ValueError, match="not what wrk prints"):
        parsed("unable to connect")


def test_what_h2load_prints_is_read_when_it_spoke_what_is_measured() -> None:
    assert tls.parsed(PRINTED_OVER_TLS, "h2") == Result(4000, pytest.approx(0.5002), 16)
    with pytest.raises(ValueError, match=r"not http/1.1 over TLS"):
        tls.parsed(PRINTED_OVER_TLS, "http/1.1")
    with pytest.raises(ValueError, match=r"not h2 over TLS 1\.3"):
        tls.parsed(PRINTED_OVER_TLS.replace("TLSv1.3", "TLSv1.2"), "h2")
    with pytest.raises(ValueError, match="not what h2load prints"):
        tls.parsed(PRINTED_OVER_TLS.replace("finished", ""), "h2")


def test_names_of_processes_may_hold_anything() -> None:
    assert procfs.fields("17 (a) b (c) S 1 2")[:2] == ["S", "1"]


def test_cpu_and_memory_are_those_of_the_whole_tree() -> None:
    """A shell whose child burns time and holds memory."""
    hold = "import time\nheld = bytes(range(256)) * 200_000\n"
    burn = f"{hold}while time.process_time() < 0.5: pass\nprint(1, flush=True)\ninput()"
    shell = ["sh", "-c", f'"{sys.executable}" -c "$0"; true', burn]
    with subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        tree, cpu, memory = procfs.tree(process.pid), procfs.cpu_seconds(process.pid), procfs.memory(process.pid)
        process.communicate(b"\n", timeout=10)
    assert len(tree) == 2
    assert 0.45 < cpu < 2
    assert 50 < memory < 200
    assert (procfs.cpu_seconds(process.pid), procfs.memory(process.pid)) == (0, 0), "it has ended"


@pytest.mark.parametrize("limit", [0, 63, 64, 100, 777, 4095, 4096, 9999])
def test_the_search_ends_close_below_the_limit(limit: int) -> None:
    asked: list[int] = []

    def holds(size: int) -> bool:
        asked.append(size)
        return size <= limit

    found = most(holds, 64, 4096)
    assert found == 0 if limit < 64 else min(limit, 4096) / 1.1 <= found <= limit
    assert len(asked) == len(set(asked)) < 14
    assert max(asked) <= 4096


def test_a_trial_holds_when_all_came_in_time() -> None:
    assert Trial(2, 2 * FRAMES, 0.19, 0).held
    assert not Trial(2, 2 * FRAMES, 0.21, 1).held
    assert not Trial(2, 2 * FRAMES - 1, 0.0, 0).held


async def test_a_stream_ends_at_its_last_chunk_and_not_before() -> None:
    """The identifier in the head ends like a last chunk; the mark of a frame and the last chunk come in pieces."""
    stage = Stage(1)
    reading = Reading(stage, b"")
    text = b"HTTP/1.1 200 OK\r\nX-Request-Id: 70\r\n\r\n" + frame(time.monotonic()) * FRAMES
    for at in range(0, len(text), 7):
        reading.data_received(text[at : at + 7])
    assert (stage.ready.is_set(), stage.done.is_set(), stage.count) == (True, False, FRAMES)
    for piece in (b"0\r", b"\n\r\n"):
        reading.data_received(piece)
    assert stage.done.is_set()


def test_a_frame_tells_when_it_was_due() -> None:
    due = time.monotonic() - 1.5
    assert oldest(b"tail" + frame(due) + frame(due + 1)) == pytest.approx(due, abs=2e-6)
    assert oldest(frame(due)[:20]) == pytest.approx(time.monotonic(), abs=0.5), "digits that have not come"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Request-Id: 70\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", True),
    ],
)
def test_where_an_answer_ends(answer: bytes, expected: bool) -> None:
    assert whole(answer) == expected


def test_each_template_is_filled_and_belongs_to_a_target() -> None:
    values = dict.fromkeys(
        ("PORT", "ADMIN", "ORIGIN", "SECURE", "PRIOR", "SCHEME", "MORE", "AUTHORITY", "WORK", "FAILURES"), "1"
    )
    used = {name for target in TARGETS.values() for name in target.templates} | {"origin.conf"}
    assert used == {path.name for path in FOLDER.iterdir()}
    for name in used:
        assert "@PORT@" not in fill((FOLDER / name).read_text(), values)
    with pytest.raises(KeyError):
        fill("@NOBODY@", values)
    secure = {name for name, target in TARGETS.items() if target.serves_tls}
    assert secure == {"gateway", "compiled", "haproxy", "nginx", "envoy", "caddy"}


def needed(*programs: str) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        unavailable("two cores are needed")
    for program in (*programs, "nginx", "taskset", "setpriv"):
        if not debian.found(program):
            unavailable(f"{program} is not installed here")


@pytest.mark.timeout(60)  # the start of a whole gateway, and a second for each load
async def test_load_over_tls_on_real_proxies() -> None:
    """With HTTP/2 on both sides of the gateway; handshakes of each kind; idle connections of each protocol."""
    needed("h2load")
    with origin() as behind, peer(TARGETS["gateway"], behind, "h2c") as server:
        result = tls.run(tls.Load(2, 4, various=True), server, 1)
        assert result.errors == 0
        assert result.requests > 10
        for resumed in (False, True):
            result = tls.handshakes(server, 0.2, resumed=resumed)
            assert result.errors == 0
            assert result.requests > 2
        for alpn in ("http/1.1", "h2"):
            opened = await idle.idle(server, alpn, 20)
            for transport in opened:
                assert transport.get_extra_info("ssl_object").selected_alpn_protocol() == alpn
                transport.close()


@pytest.mark.timeout(180)  # some ten seconds where nothing else runs
def test_a_small_run_on_real_proxies(tmp_path: Path) -> None:
    needed("wrk")
    what = ("--targets", "gateway,naive", "--cases", "get", "--rounds", "1", "--seconds", "1", "--out", str(tmp_path))
    command = [sys.executable, "-m", "loadtest.peers", *what]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr
    run = Record.load_from(tmp_path / "raw.json")
    assert run.differences == {"gateway": [], "naive": []}, "both do the work"
    for target in ("gateway", "naive"):
        assert run.figure("get", target, "errors") == 0
        assert run.figure("get", target, "log_lines_per_request") == pytest.approx(1, abs=0.2)
        assert 10 < (run.figure("get", target, "cpu_us") or 0) < 20_000
    assert "| small GET, us of CPU |" in (tmp_path / "report.md").read_text()
