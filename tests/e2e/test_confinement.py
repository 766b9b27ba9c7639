"""What a real worker holds of the environment, and what its templates read all the same."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from harness.answers import ok
from harness.deployment import Deployment
from harness.upstream import Upstream
from prometheus_client.parser import text_string_to_metric_families

from gateway.workers import confinement

pytestmark = pytest.mark.timeout(120)

needs_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root may look into a sealed process of Linux"
)


@needs_root
async def test_a_worker_holds_no_secret_of_the_environment(
    tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.behaviour = ok()
    secrets = {"PGPASSWORD": "s3cret-pg", "SOME_API_KEY": "s3cret-api"}
    for name, value in (secrets | {"MY_RESOLVER": "native"}).items():
        monkeypatch.setenv(name, value)
    async with Deployment(tmp_path, more="worker_env: [MY_RESOLVER]") as gateway:
        for again in (False, True):  # the worker that replaces a dead one too
            if again:
                before = gateway.pid("worker")
                gateway.kill("worker")
                await gateway.replaced("worker", before)
            text = Path(f"/proc/{gateway.pid('worker')}/environ").read_text()
            held = dict(item.partition("=")[::2] for item in text.split("\0") if item)
            assert held == confinement.environment(held, ["MY_RESOLVER"])
            assert held["MY_RESOLVER"] == "native"
            assert "PATH" in held
            assert not [secret for secret in (*secrets.values(), "11" * 32) if secret in text]
        for role in ("worker", "control"):
            limits = Path(f"/proc/{gateway.pid(role)}/limits").read_text()
            assert [row.split()[4] for row in limits.splitlines() if row.startswith("Max core")] == ["0"], role
            assert Path(f"/proc/{gateway.pid(role)}/environ").stat().st_uid == 0


async def test_each_process_reports_its_own_memory(tmp_path: Path) -> None:
    async with Deployment(tmp_path) as gateway:
        headers = {"Authorization": f"Bearer {gateway.token}"}
        async with gateway.session.get(f"{gateway.admin}/api/gateway/metrics", headers=headers) as answer:
            text = await answer.text()
    found = {s.name: s.value for family in text_string_to_metric_families(text) for s in family.samples}
    for prefix in ("process", "gateway_worker_process"):
        assert 1e6 < found[f"{prefix}_proportional_memory_bytes"] <= found[f"{prefix}_resident_memory_bytes"] * 1.1
        assert 3 < found[f"{prefix}_open_fds"] <= found[f"{prefix}_max_fds"]
