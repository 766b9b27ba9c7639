"""What operators see of a whole deployment: metrics with their own token, explanations, and what survives a crash."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from harness.answers import OK, ok
from harness.deployment import START, Deployment
from harness.patience import eventually
from harness.upstream import Upstream, refused_url
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics_families
from prometheus_client.parser import text_string_to_metric_families


@pytest.fixture
async def deployment(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Deployment]:
    upstream.behaviour = ok()
    proxies = [
        {"name": "good", "path": "/good", "upstream": upstream.url, "access_rule": "true", "max_concurrent": 5},
        {
            "name": "bad",
            "path": "/bad",
            "upstream": refused_url(),
            "access_rule": "true",
            "circuit_breaker": {"enabled": True, "failure_threshold": 2, "recovery_timeout": 600},
        },
    ]
    # A port that is free, and that a worker who comes after another one finds again.
    listen = refused_url().removeprefix("http://")
    async with Deployment(tmp_path, proxies=json.dumps(proxies), listen=listen) as made:
        yield made


async def scrape(deployment: Deployment, token: str, accept: str = "") -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}", "Accept": accept or "*/*"}
    async with deployment.session.get(f"{deployment.admin}/api/gateway/metrics", headers=headers) as answer:
        return answer.status, await answer.text()


async def samples(deployment: Deployment) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    status, text = await scrape(deployment, deployment.token)
    assert status == 200, text
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, frozenset(sample.labels.items())] = sample.value
    return found


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


@pytest.mark.covers("T047")
async def test_metrics_are_for_superusers_and_for_tokens_of_that_scope(deployment: Deployment) -> None:
    made = await deployment.call("POST", "/tokens", {"name": "prometheus", "metrics": True})
    assert (made["metrics"], made["superuser"]) == (True, False)
    assert (await scrape(deployment, made["token"]))[0] == 200
    caller = (await deployment.call("POST", "/tokens", {"name": "caller"}))["token"]
    assert [(await scrape(deployment, token))[0] for token in (caller, "nonsense")] == [403, 401]
    headers = {"Authorization": f"Bearer {made['token']}"}
    for path in ("/proxies", "/tokens", "/upstreams/good/explain", "/live"):
        async with deployment.session.get(f"{deployment.admin}/api/gateway{path}", headers=headers) as answer:
            assert answer.status == 403, path
    text = deployment.config.read_text().replace('"access_rule": "true"', '"access_rule": "@request.auth.id != \'\'"')
    deployment.config.write_text(text)

    async def refused() -> tuple[int, str]:
        return await deployment.get("/good/x", Authorization=headers["Authorization"])

    while (found := await refused()) != (401, "unauthenticated"):
        assert found[0] == 200, "the old rule still"
    assert (await deployment.get("/good/x", Authorization=f"Bearer {caller}"))[0] == 200


@pytest.mark.covers("FR-018", "FR-019", "FR-020", "T042", "T044", "T046", "T052")
async def test_counters_right_after_the_requests_and_over_crashes(deployment: Deployment) -> None:
    for _ in range(10):
        assert (await deployment.get("/good/x"))[0] == 200
    for _ in range(3):
        await deployment.get("/bad/x")
    await deployment.get("/nowhere")
    good = key("gateway_requests_total", proxy="good", method="GET", status="200")
    opened = key(
        "gateway_circuit_breaker_transitions_total",
        proxy="bad",
        to="open",
        reason="failure_threshold",
        **{"from": "closed"},
    )
    found = await samples(deployment)
    assert (found[good], found[opened]) == (10, 1)
    assert found[key("gateway_errors_total", proxy="bad", reason="dial_failed", source="upstream")] == 2
    assert found[key("gateway_errors_total", proxy="bad", reason="breaker_open", source="gateway")] == 1
    assert found[key("gateway_requests_total", proxy="-", method="GET", status="404")] == 1
    assert found[key("gateway_circuit_breaker_state", proxy="bad")] == 1
    assert found[key("gateway_concurrency_limit", proxy="good")] == 5
    assert found[key("gateway_pool_dials_total", proxy="good")] >= 1
    own = found[key("process_resident_memory_bytes")]
    assert found[key("gateway_worker_process_resident_memory_bytes", worker="0")] != own

    deployment.kill("control")
    await deployment.greeted(2)
    assert (await samples(deployment))[good] == 10, "the map is the worker's"

    deployment.kill("worker")

    for _ in range(int(START / 0.05)):
        with contextlib.suppress(aiohttp.ClientError):
            if (await deployment.get("/good/x"))[0] == 200:
                break
        await asyncio.sleep(0.05)
    found = await samples(deployment)
    while found[key("gateway_worker_up", worker="0")] == 0:  # the control process has not met the new one yet
        found = await samples(deployment)
    assert found[good] == 11, "and outlives it"
    assert found[key("gateway_circuit_breaker_state", proxy="bad")] == 0
    assert found[key("gateway_circuit_breaker_open_seconds_total", proxy="bad")] > 0


@pytest.mark.covers("FR-020", "T041")
async def test_what_is_inside_shows_while_it_is(deployment: Deployment, upstream: Upstream) -> None:
    upstream.behaviour = None
    active = key("gateway_active_connections", proxy="good")
    inside = [asyncio.create_task(deployment.get("/good/x")) for _ in range(3)]
    links = [await upstream.link() for _ in inside]
    for link in links:
        await link.request()
    assert (await samples(deployment))[active] == 3
    for link in links:
        await link.send(OK)
    assert [await asking for asking in inside] == [(200, "")] * 3
    assert (await samples(deployment))[active] == 0


@pytest.mark.covers("SC-006", "T060d")
async def test_t060d_a_scrape_takes_little_time(deployment: Deployment) -> None:
    """SC-006: with a hundred proxies, 50 ms of the control process, over the real listener and with a login."""
    proxies = [{"name": f"p{number}", "path": f"/p{number}", "upstream": refused_url()} for number in range(100)]
    deployment.write(json.dumps(proxies))
    series = key("gateway_active_connections", proxy="p99")
    while series not in await samples(deployment):  # the new configuration is not in force yet
        pass
    clock = (~deployment.pid("control") << 3) | 2  # clock_getcpuclockid(3): a busy machine changes nothing
    began = time.clock_gettime(clock)
    for _ in range(21):
        status, text = await scrape(deployment, deployment.token)
        assert status == 200
        assert 'proxy="p0"' in text
    assert (time.clock_gettime(clock) - began) / 21 < 0.05


async def test_open_metrics_with_exemplars(deployment: Deployment) -> None:
    await deployment.get("/good/x", **{"X-Request-Id": "the-one"})
    status, text = await scrape(deployment, deployment.token, "application/openmetrics-text; version=1.0.0")
    assert status == 200
    exemplars = [
        sample.exemplar.labels
        for family in open_metrics_families(text)
        for sample in family.samples
        if sample.exemplar is not None
    ]
    assert {"request_id": "the-one"} in exemplars


async def test_deleted_proxies_disappear(deployment: Deployment) -> None:
    new = {"name": "new", "path": "/new", "upstream": refused_url(), "access_rule": "true"}
    await deployment.call("POST", "/proxies", new)
    await deployment.get("/new/x")
    assert key("gateway_errors_total", proxy="new", reason="dial_failed", source="upstream") in await samples(
        deployment
    )
    await deployment.call("DELETE", "/proxies/new")
    assert not [name for name, labels in await samples(deployment) if ("proxy", "new") in labels]


async def test_why_a_proxy_refuses(deployment: Deployment) -> None:
    for number in range(3):
        await deployment.get("/bad/x", **{"X-Request-Id": f"r{number}"})
    told = await deployment.call("GET", "/upstreams/bad/explain")
    assert (told["verdict"], told["reason"]) == ("refuse", "breaker_open")
    (move,) = told["breaker"]["moves"]
    assert [(o["reason"], o["request_id"]) for o in move["outcomes"]] == [("dial_failed", "r0"), ("dial_failed", "r1")]
    shown = remote(deployment, "explain", "bad")
    assert "bad: a request would be refused (503 breaker_open) for" in shown
    assert "closed -> open, failure_threshold" in shown
    await deployment.call("POST", "/proxies/bad/breaker/reset")
    told = await deployment.call("GET", "/upstreams/bad/explain")
    assert (told["verdict"], told["breaker"]["moves"][-1]["by"]) == ("admit", "token:test")
    async with deployment.session.get(
        f"{deployment.admin}/api/gateway/upstreams/none/explain",
        headers={"Authorization": f"Bearer {deployment.token}"},
    ) as answer:
        assert answer.status == 404


async def test_what_became_of_a_request(deployment: Deployment) -> None:
    for number in range(3):
        await deployment.get("/bad/x", **{"X-Request-Id": f"r{number}"})
    await deployment.get("/good/x?key=hidden", **{"X-Request-Id": "fine"})
    told = await deployment.call("GET", "/requests/r2")
    assert told["reason"]["code"] == "breaker_open"
    assert told["sentence"].startswith("refused with 503 breaker_open before any upstream was asked")
    assert "failed after" in (await deployment.call("GET", "/requests/r0"))["sentence"]
    shown = remote(deployment, "explain", "--request", "fine")
    assert "fine: answered 200 by 127.0.0.1:" in shown
    assert "GET /good/x from 127.0.0.1" in shown
    assert "HTTP/1.1 from the client, HTTP/1.1 to the upstream" in shown
    assert "hidden" not in shown
    assert "not among the newest" in remote(deployment, "explain", "--request", "unknown", code=4)


async def test_without_a_gateway_there_is_nothing_to_explain(deployment: Deployment) -> None:
    assert "name its admin listener" in deployment.cli("explain", "bad").stderr


def remote(deployment: Deployment, *arguments: str, code: int = 0) -> str:
    token = deployment.folder / "token"
    token.write_text(deployment.token)
    where = ("--server", deployment.admin, "--token-file", str(token))
    done = deployment.cli(*arguments, *where, config=False)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


async def test_a_shadow_changes_no_byte(deployment: Deployment) -> None:
    """The same failing upstream behind the same breaker, enforced and in shadow mode."""
    for name, mode in (("shadowed", "shadow"), ("plain", "")):
        breaker: dict[str, Any] = {"enabled": bool(mode), "failure_threshold": 2}
        settings = {"name": name, "path": f"/{name}", "upstream": refused_url(), "access_rule": "true"}
        if mode:
            breaker["mode"] = mode
        await deployment.call("POST", "/proxies", {**settings, "circuit_breaker": breaker})

    async def bodies(name: str) -> list[tuple[int, dict[str, str], bytes]]:
        found = []
        for _ in range(6):
            async with deployment.session.get(f"{deployment.url}/{name}/x", headers={"X-Request-Id": "same"}) as answer:
                kept = {k: v for k, v in answer.headers.items() if k != "Date"}
                found.append((answer.status, kept, await answer.read()))
        return found

    assert await bodies("shadowed") == await bodies("plain")
    found = await samples(deployment)
    assert found[key("gateway_shadow_refusals_total", proxy="shadowed", reason="breaker_open")] == 4
    assert found[key("gateway_protection_mode", proxy="shadowed", protection="breaker")] == 1
    lines = [json.loads(line) for line in (deployment.folder / "access.log").read_text().splitlines()]
    assert [line["shadow"] for line in lines if line["proxy_name"] == "shadowed"] == ["", ""] + ["breaker_open"] * 4
    told = await deployment.call("GET", "/upstreams/shadowed/explain")
    assert told["verdict"] == "admit"
    assert "without the breaker's shadow mode: a request would be refused" in told["sentence"]
    stored = await deployment.call("GET", "/proxies/shadowed")
    assert stored["circuit_breaker"]["mode"] == "shadow"
    await eventually(lambda: "in shadow mode" in deployment.log.read_text())


@pytest.mark.parametrize("trouble", ["full disk", "blocked pipe"])
async def test_a_log_that_nobody_takes_harms_no_request_and_is_counted(
    trouble: str, tmp_path: Path, upstream: Upstream
) -> None:
    upstream.behaviour = ok()
    path = tmp_path / "log-pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    proxies = [{"name": "good", "path": "/good", "upstream": upstream.url, "access_rule": "true"}]
    folder = tmp_path / "gateway"
    folder.mkdir()
    made = Deployment(folder, proxies=json.dumps(proxies))
    log = "/dev/full" if trouble == "full disk" else str(path)
    made.config.write_text(made.config.read_text().replace(f"{folder}/access.log", log))
    long_path = "/good/" + "x" * 6000  # so that few requests fill the pipe and what is kept beyond it
    async with made as deployment:
        dropped = 0.0
        for _ in range(150):  # the log has 2 KiB of each path
            answers = await asyncio.gather(*(deployment.get(long_path) for _ in range(25)))
            assert {status for status, _ in answers} == {200}
            dropped = (await samples(deployment))[key("gateway_log_lines_dropped_total")]
            if dropped:
                break
        assert dropped > 0
        if trouble == "full disk":
            lines = [line for line in deployment.log.read_text().splitlines() if "takes no lines" in line]
            assert len(lines) == 1, "one line a minute"
            assert "the access log /dev/full takes no lines: No space left on device" in lines[0]
    os.close(reader)
