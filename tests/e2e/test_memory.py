"""A worker whose memory stays above the bound is replaced, the others serve on, and no request fails for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.deployment import START, Deployment
from harness.fleet import load, metrics, pids, several
from harness.patience import eventually, when
from harness.upstream import Upstream

pytestmark = pytest.mark.timeout(120)

MIB = 1 << 20
LEAK = """
import os, sys, threading, time

kept = []

def leak():
    while not os.path.exists({folder!r} + f"/grow-{{os.getpid()}}"):
        time.sleep(0.05)
    kept.append(bytes(range(256)) * ({size} // 256))

if "gateway.workers.worker" in sys.orig_argv:
    threading.Thread(target=leak, daemon=True).start()
"""
"""As sitecustomize: a worker takes so much memory, and keeps it, as soon as there is a file with its id."""
GROWTH = 96 * MIB


def bound(gateway: Deployment, size: int) -> None:
    """Write another bound into the file, which is applied by itself."""
    text = gateway.config.read_text()
    kept = [line for line in text.splitlines() if not line.startswith("worker_max_memory")]
    gateway.config.write_text("\n".join([f"worker_max_memory: {size}", *kept]))


async def settled(gateway: Deployment) -> list[int]:
    """What fresh processes have, as soon as that is known of each."""
    found = list[int]()

    async def known() -> bool:
        found[:] = [each["fresh_bytes"] for each in (await gateway.call("GET", "/workers"))["items"]]
        return all(found)

    await when(known, START, "the size of fresh processes")
    return found


async def test_one_that_leaks_is_replaced_and_a_bound_that_is_too_small_replaces_none(
    tmp_path: Path, upstream: Upstream
) -> None:
    (tmp_path / "sitecustomize.py").write_text(LEAK.format(folder=str(tmp_path), size=GROWTH))
    gateway = several(tmp_path, upstream)
    gateway.env["PYTHONPATH"] = str(tmp_path)
    async with gateway:
        before = pids(gateway)
        fresh = await settled(gateway)
        bound(gateway, max(fresh) + GROWTH // 2)
        async with load(gateway) as failed:
            (tmp_path / f"grow-{before[1]}").touch()
            await eventually(lambda: not Path(f"/proc/{before[1]}").exists(), "the end of the one that leaks", START)
        assert failed == []
        after = pids(gateway)
        assert after[0] == before[0], "the other has stayed"
        assert "worker 1 is replaced: its memory" in gateway.log.read_text()
        found = await metrics(gateway)
        assert [found["gateway_worker_recycled_total", f"worker={slot}"] for slot in (0, 1)] == [0, 1]

        bound(gateway, 10 * MIB)
        said = [f"worker_max_memory is too small: a fresh process of worker {slot} has" for slot in (0, 1)]
        await eventually(lambda: all(line in gateway.log.read_text() for line in said), "the errors", START)
        assert pids(gateway) == after
        (tmp_path / "token").write_text(gateway.token)
        where = ["--server", gateway.admin, "--token-file", str(tmp_path / "token")]
        shown = await gateway.here("status", *where, config=False)
        line = shown.stdout.splitlines()[-1]
        assert line.startswith("worker_max_memory is 10 MiB (RSS); worker 0 has "), shown
        assert "replaced 1 times, and no more: a fresh one is above the bound" in line
