"""A change that no running process can apply: new workers come by themselves, and the rest has a command in the log."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import aiohttp
import pytest
from harness.deployment import START, Deployment
from harness.fleet import load, pids, restarted, several
from harness.patience import eventually
from harness.upstream import Upstream

pytestmark = pytest.mark.timeout(120)


def held(pid: int, name: str) -> str | None:
    """A variable in the environment of a process."""
    rows = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(row.partition("=")[::2] for row in rows if row).get(name)


async def test_what_workers_read_at_their_start_replaces_them_and_fails_no_request(
    tmp_path: Path, upstream: Upstream
) -> None:
    gateway = several(tmp_path, upstream)
    gateway.env |= {"MY_RESOLVER": "native", "GATEWAY_DUMPABLE": "1"}
    async with gateway:
        before = pids(gateway)
        assert [held(pid, "MY_RESOLVER") for pid in before.values()] == [None, None]
        async with load(gateway) as failed:
            gateway.config.write_text(f"worker_env: [MY_RESOLVER]\nvia: edge-1\n{gateway.config.read_text()}")
            gateway.signal(signal.SIGHUP)
            await restarted(gateway, before)
        assert failed == []
        said = "worker_env, via: only new workers apply a change, so all workers are replaced now"
        assert gateway.log.read_text().count(said) == 1, "the signal and the change of the file are one reload"
        assert [held(pid, "MY_RESOLVER") for pid in pids(gateway).values()] == ["native", "native"]
        assert await gateway.get("/web") == (200, "")
        assert upstream.links[-1].requests[-1].get("via") == b"1.1 edge-1"
        after = pids(gateway)
        os.kill(gateway.pid("control"), signal.SIGKILL)
        await gateway.greeted(2)
        assert pids(gateway) == after, "another control process finds nothing to do"
        os.kill(after[0], signal.SIGKILL)
        await eventually(lambda: pids(gateway).get(0, after[0]) != after[0], "another worker 0", START)
        assert held(pids(gateway)[0], "MY_RESOLVER") == "native"


async def called(gateway: Deployment, host: str) -> int:
    """The status of the API, called by this name."""
    headers = {"Authorization": f"Bearer {gateway.token}", "Host": host}
    async with gateway.session.get(f"{gateway.admin}/api/gateway/workers", headers=headers) as answer:
        return answer.status


async def test_the_command_of_the_log_applies_what_the_control_process_reads_at_its_start(
    tmp_path: Path, upstream: Upstream
) -> None:
    async with several(tmp_path, upstream, 1) as gateway:
        assert await called(gateway, "a.example.org") == 421
        worker = pids(gateway)
        gateway.config.write_text(gateway.config.read_text().replace("{listen:", "{hosts: [a.example.org], listen:"))
        pattern = re.compile(r"admin\.hosts: only a new control process applies a change; run: kill (\d+) ")
        await eventually(lambda: pattern.search(gateway.log.read_text()), "the command", 20)
        found = pattern.search(gateway.log.read_text())
        assert found is not None
        assert int(found[1]) == gateway.pid("control")
        assert await called(gateway, "a.example.org") == 421
        os.kill(int(found[1]), signal.SIGTERM)
        await gateway.greeted(2)
        assert await called(gateway, "a.example.org") == 200
        assert pids(gateway) == worker
        async with aiohttp.ClientSession() as session, session.get(gateway.url + "/web") as answer:
            assert answer.status == 200


async def test_another_number_of_workers_has_a_command(tmp_path: Path, upstream: Upstream) -> None:
    async with several(tmp_path, upstream, 1) as gateway:
        gateway.config.write_text(gateway.config.read_text().replace("workers: 1", "workers: 3"))
        said = "workers: 1 serve until the gateway itself is started again; run: "
        await eventually(lambda: said in gateway.log.read_text(), "the command", 20)
