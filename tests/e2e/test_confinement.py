"""What a real worker holds of the environment, and what its templates read all the same."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from harness.answers import ok
from harness.deployment import Deployment
from harness.patience import eventually
from harness.upstream import Upstream
from prometheus_client.parser import text_string_to_metric_families

from gateway.config import single
from gateway.store.keys import KeyRing
from gateway.store.store import Store
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


async def test_proxies_of_the_database_read_listed_variables_alone(
    tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker has none of them: the control process fills them in."""
    upstream.behaviour = ok()
    for name, value in {"REGION": "eu-1", "PGPASSWORD": "s3cret-pg"}.items():
        monkeypatch.setenv(name, value)
    body = {"name": "good", "path": "/good", "upstream": upstream.url, "access_rule": "true"}
    own = json.dumps([body | {"name": "own", "path": "/own", "headers": {"X-P": "{env.PGPASSWORD}"}}])
    async with Deployment(tmp_path, proxies=own, more="template_env: [REGION]") as gateway:
        await gateway.call("POST", "/proxies", body | {"headers": {"X-Region": "{env.REGION}"}})
        assert await gateway.get("/good") == (200, "")
        assert upstream.links[-1].requests[-1].get("X-Region") == b"eu-1"
        assert await gateway.get("/own") == (200, "")
        assert upstream.links[-1].requests[-1].get("X-P") == b"s3cret-pg"
        # As an earlier version has stored them.
        store = await Store.open(gateway.database, KeyRing.of("11" * 32))
        for name in ("PGPASSWORD", "GATEWAY_MASTER_KEY"):
            old = body | {"name": name, "path": f"/{name}", "headers": {"X-P": f"{{env.{name}}}"}}
            await store.proxies.create(single.stored(old), "test")
        await store.aclose()
        for name in ("PGPASSWORD", "GATEWAY_MASTER_KEY"):
            told = f"proxy {name} of the database names {{env.{name}}}"
            await eventually(lambda told=told: told in gateway.log.read_text(), told, 10)  # type: ignore[misc]
            await gateway.comes_to(f"/{name}", (500, "template_missing"))
        checked = await gateway.here("check")
        assert (checked.returncode, checked.stdout) == (0, f"{gateway.config}: ok (1 proxy)\n")
        assert "warning: proxy PGPASSWORD of the database names {env.PGPASSWORD}" in checked.stderr
        assert "warning: proxy GATEWAY_MASTER_KEY of the database names" in checked.stderr
        assert len(checked.stderr.splitlines()) == 2
        assert "s3cret" not in gateway.log.read_text() + checked.stderr
        gateway.write(own, "template_env: [REGION, PGPASSWORD]")  # what the log says helps
        await eventually(lambda: "(file change)" in gateway.log.read_text(), "a reload", 10)
        await gateway.comes_to("/PGPASSWORD", (200, ""))
        assert await gateway.get("/GATEWAY_MASTER_KEY") == (500, "template_missing")


async def test_each_process_reports_its_own_memory(tmp_path: Path) -> None:
    async with Deployment(tmp_path) as gateway:
        headers = {"Authorization": f"Bearer {gateway.token}"}
        async with gateway.session.get(f"{gateway.admin}/api/gateway/metrics", headers=headers) as answer:
            text = await answer.text()
    found = {s.name: s.value for family in text_string_to_metric_families(text) for s in family.samples}
    for prefix in ("process", "gateway_worker_process"):
        assert 1e6 < found[f"{prefix}_proportional_memory_bytes"] <= found[f"{prefix}_resident_memory_bytes"] * 1.1
        assert 3 < found[f"{prefix}_open_fds"] <= found[f"{prefix}_max_fds"]


async def test_a_secret_that_does_not_exist_is_named_wherever_an_operator_looks(
    tmp_path: Path, upstream: Upstream
) -> None:
    """At the start, by `gateway check`, in an explanation, and once more when the secret is deleted."""
    upstream.behaviour = ok()
    web = {"name": "web", "path": "/web", "upstream": upstream.url, "access_rule": "true"}
    told = "proxy web of the file names {secret.KEY}, and there is no such secret"
    async with Deployment(tmp_path, proxies=json.dumps([web | {"headers": {"X-Key": "{secret.KEY}"}}])) as gateway:
        assert gateway.log.read_text().count(told) == 1
        assert await gateway.get("/web") == (500, "template_missing")
        assert "there is no value for {secret.KEY}" in (await gateway.call("GET", "/upstreams/web/explain"))["sentence"]
        checked = await gateway.here("check")
        assert f"warning: {told}" in checked.stderr
        await gateway.call("PUT", "/secrets/KEY", {"value": "sk-live-9"})
        await gateway.comes_to("/web", (200, ""))
        assert (await gateway.call("GET", "/upstreams/web/explain"))["verdict"] == "admit"
        assert (await gateway.here("check")).stderr == ""
        await gateway.call("DELETE", "/secrets/KEY?force=true")
        await eventually(lambda: gateway.log.read_text().count(told) == 2, "the same warning again", 10)


async def test_a_bound_secret_reaches_no_other_origin(tmp_path: Path, upstream: Upstream) -> None:
    """Whatever stands in the database: as an earlier version, another process or a hand has stored it."""
    upstream.behaviour = ok()
    body = {"name": "web", "path": "/web", "upstream": upstream.url, "access_rule": "true"}
    async with Deployment(tmp_path) as gateway:
        await gateway.call("PUT", "/secrets/KEY", {"value": "sk-live-9", "origins": [upstream.url]})
        await gateway.call("POST", "/proxies", body | {"headers": {"X-Key": "{secret.KEY}"}})
        assert await gateway.get("/web") == (200, "")
        assert upstream.links[-1].requests[-1].get("X-Key") == b"sk-live-9"
        elsewhere = upstream.url.replace("127.0.0.1", "localhost")
        store = await Store.open(gateway.database, KeyRing.of("11" * 32))
        stray = body | {"name": "stray", "path": "/stray", "upstream": elsewhere, "headers": {"X-Key": "{secret.KEY}"}}
        await store.proxies.create(single.stored(stray), "test")
        await store.aclose()
        told = "proxy stray of the database names {secret.KEY}, which is bound to other origins"
        await eventually(lambda: told in gateway.log.read_text(), told, 10)
        seen = len(upstream.requests)
        await gateway.comes_to("/stray", (500, "template_missing"))
        assert len(upstream.requests) == seen
        checked = await gateway.here("check")
        assert f"warning: {told}" in checked.stderr
