"""What a worker's environment keeps, and what a sealed process shows to others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.workers import confinement

KEPT = {
    "PATH": "/bin",
    "TZ": "UTC",
    "LANG": "C",
    "LC_ALL": "C",
    "PYTHONPATH": "x",
    "LD_PRELOAD": "x",
    "MALLOC_ARENA_MAX": "2",
    "SSL_CERT_FILE": "x",
    "https_proxy": "http://p",
    "NO_PROXY": "*",
    "OTEL_EXPORTER_OTLP_HEADERS": "x",
    "NOTIFY_SOCKET": "x",
    "AIOHTTP_NO_EXTENSIONS": "1",
}
DROPPED = {
    "GATEWAY_MASTER_KEY": "11",
    "GATEWAY_TOKEN": "t",
    "PGPASSWORD": "p",
    "DATABASE_URL": "d",
    "AWS_SECRET_ACCESS_KEY": "a",
    "HOME": "/h",
    "path": "lower case",
    "MY_PATH": "x",
    "XLC_ALL": "x",
    "proxy": "x",
}


def test_a_worker_keeps_what_is_listed_and_nothing_else() -> None:
    assert confinement.environment(KEPT | DROPPED) == KEPT


def test_more_can_be_listed_but_nothing_of_ours() -> None:
    listed = ["PGPASSWORD", "GATEWAY_MASTER_KEY", "UNSET"]
    assert confinement.environment(KEPT | DROPPED, listed) == KEPT | {"PGPASSWORD": "p"}


def test_whoever_measures_may_look_into_every_process() -> None:
    measuring = {confinement.OPEN: "1"}
    assert confinement.environment(KEPT | DROPPED | measuring) == KEPT | measuring
    code = "from pathlib import Path; from gateway.workers import confinement; confinement.seal(); "
    code += "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"  # PR_GET_DUMPABLE
    for value, expected in (("1", "1"), ("0", "0"), ("", "0")):
        env = os.environ | {confinement.OPEN: value}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=30)
        assert done.stdout.strip() == expected


@pytest.fixture
def sealed(tmp_path: Path) -> subprocess.Popen[str]:
    code = (
        "import asyncio, sys; from gateway.workers import confinement, resources; confinement.seal(); "
        "print(asyncio.run(resources.Resources().report()), flush=True); sys.stdin.read()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is of Linux")
def test_a_sealed_process_leaves_no_core_and_reads_its_own_memory(
    sealed: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert sealed.stdout is not None
    told = sealed.stdout.readline()
    limits = Path(f"/proc/{sealed.pid}/limits").read_text()
    assert [row.split()[4] for row in limits.splitlines() if row.startswith("Max core file size")] == ["0"]
    # The files of a process that is not dumpable belong to root, whoever runs it (proc(5)).
    assert Path(f"/proc/{sealed.pid}/environ").stat().st_uid == 0
    if os.geteuid() != 0:
        with pytest.raises(PermissionError):
            Path(f"/proc/{sealed.pid}/smaps_rollup").read_text()
    used = dict(part.split(": ") for part in told.strip("{}\n").replace("'", "").split(", "))
    assert int(used["proportional_memory_bytes"]) > 1 << 20
    assert int(used["max_fds"]) >= int(used["open_fds"]) >= 3
    sealed.send_signal(signal.SIGSEGV)
    sealed.communicate(timeout=20)
    assert sealed.returncode == -signal.SIGSEGV
    assert list(tmp_path.iterdir()) == []
