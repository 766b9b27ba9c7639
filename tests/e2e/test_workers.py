"""Several workers as processes: all serve, one that dies is replaced, and a restart fails no request."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from harness.client import Client
from harness.deployment import START, Deployment
from harness.fleet import alone, load, metrics, pids, proxies, requests, restarted, several
from harness.message import Truncated
from harness.patience import eventually, when
from harness.upstream import Upstream

pytestmark = pytest.mark.timeout(180)


async def test_both_workers_get_connections_and_counters_are_summed(tmp_path: Path, upstream: Upstream) -> None:
    async with several(tmp_path, upstream) as gateway:
        assert pids(gateway).keys() == {0, 1}
        for _ in range(40):
            assert await alone(gateway) == 200
        found = await metrics(gateway)
        assert await requests(gateway) == 40
        assert (found["gateway_worker_up", "worker=0"], found["gateway_worker_up", "worker=1"]) == (1, 1)
        assert found["gateway_worker_process_open_fds", "worker=0"] > 0
        assert found["gateway_worker_process_open_fds", "worker=1"] > 0
        told = (await gateway.call("GET", "/workers"))["items"]
        assert [each["worker"] for each in told] == [0, 1]
        assert sum(each["requests"] for each in told) == 40
        assert all(each["requests"] > 0 for each in told), "the kernel spreads connections"
        assert {each["pid"] for each in told} == set(pids(gateway).values())
        assert {each["generation"] for each in told} == {1}
        here = await asyncio.to_thread(gateway.cli, "status", "--json")
        assert [each["pid"] for each in json.loads(here.stdout)["items"]] == [each["pid"] for each in told]
        lines = (tmp_path / "access.log").read_text().splitlines()
        assert len([json.loads(line) for line in lines]) == 40


async def test_a_worker_that_is_killed_is_replaced_and_the_other_serves_on(tmp_path: Path, upstream: Upstream) -> None:
    async with several(tmp_path, upstream) as gateway:
        for _ in range(20):
            await alone(gateway)
        assert await requests(gateway) == 20, "they are counted in batches, and a scrape ends the present one"
        before = pids(gateway)
        await gateway.call(
            "POST", "/proxies", {"name": "new", "path": "/new", "upstream": upstream.url, "access_rule": "true"}
        )
        os.kill(before[0], signal.SIGKILL)
        answers = await asyncio.gather(*(alone(gateway, "/new") for _ in range(20)))
        assert answers == [200] * 20, "also the new worker serves the newest configuration"
        await eventually(lambda: pids(gateway).get(0, before[0]) != before[0], "another worker 0", START)
        assert pids(gateway)[1] == before[1]

        async def all_are_counted() -> bool:  # a scrape that a busy worker answers too late has the counters of before
            return await requests(gateway) == 40

        await when(all_are_counted, START, "counters outlive a worker")
        assert "the worker 0 ended (signal SIGKILL); it is started again in 0 s" in gateway.log.read_text()


async def test_a_worker_that_is_stopped_is_replaced_within_seconds(tmp_path: Path, upstream: Upstream) -> None:
    async with several(tmp_path, upstream) as gateway:
        before = pids(gateway)
        os.kill(before[1], signal.SIGSTOP)
        began = time.monotonic()
        await eventually(lambda: "the worker 1 hangs: it is killed" in gateway.log.read_text(), "its end", 10)
        assert time.monotonic() - began < 4.0, "1.5 seconds, and a margin for a busy machine"
        assert await asyncio.gather(*(alone(gateway) for _ in range(20))) == [200] * 20
        assert pids(gateway)[0] == before[0]


async def test_no_worker_takes_what_one_rejects(tmp_path: Path, upstream: Upstream) -> None:
    async with several(tmp_path, upstream) as gateway:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            text = gateway.config.read_text()
            gateway.config.write_text(
                text.replace("listen: 127.0.0.1:0\nadmin", f"listen: [127.0.0.1:0, 127.0.0.1:{port}]\nadmin").replace(
                    "/web", "/other"
                )
            )
            gateway.signal(signal.SIGHUP)
            said = f"cannot listen on 127.0.0.1:{port}: Address already in use"
            await eventually(lambda: said in gateway.log.read_text(), "the rejection", 20)
            assert await asyncio.gather(*(alone(gateway) for _ in range(20))) == [200] * 20
            told = (await gateway.call("GET", "/workers"))["items"]
            assert {each["generation"] for each in told} == {1}


async def test_a_change_is_active_on_all_workers_when_its_response_comes(tmp_path: Path, upstream: Upstream) -> None:
    async with several(tmp_path, upstream) as gateway:

        async def change(name: str) -> list[int]:
            """What callers on connections of their own get as soon as the response has come."""
            body = {"name": name, "path": f"/{name}", "upstream": upstream.url, "access_rule": "true"}
            made = await gateway.call("POST", "/proxies", body)
            assert made["applied"]["error"] == ""
            return await asyncio.gather(*(alone(gateway, f"/{name}") for _ in range(16)))

        assert await change("one") == [200] * 16
        stopped = pids(gateway)[1]
        os.kill(stopped, signal.SIGSTOP)
        began = time.monotonic()
        assert await change("two") == [200] * 16, "the one that does not follow is replaced"
        assert time.monotonic() - began < START
        assert pids(gateway)[1] != stopped
        await gateway.call("POST", "/workers/restart")
        assert await change("three") == [200] * 16, "old and new processes serve side by side"


@asynccontextmanager
async def idle(gateway: Deployment, number: int = 16) -> AsyncIterator[list[Client]]:
    """Connections that have served a request; `still_open` asks again on each of them."""
    address = "127.0.0.1", int(gateway.url.rpartition(":")[2])
    clients = [await Client.connect(address) for _ in range(number)]
    try:
        await still_open(clients)
        yield clients
    finally:
        for client in clients:
            client.close()


async def still_open(clients: list[Client]) -> None:
    for client in clients:
        response = await client.ask("/web")
        assert (response.status, response.get("connection")) == (200, None)


@pytest.mark.parametrize(("number", "times"), [(1, 1), (2, 3)])
async def test_a_restart_under_load_fails_no_request(
    tmp_path: Path, upstream: Upstream, number: int, times: int
) -> None:
    """Idle connections go to the new process: a request that is sent just then is served, and none is closed."""
    async with several(tmp_path, upstream, number) as gateway:
        async with load(gateway) as failed, load(gateway, keep_alive=False) as failed_alone, idle(gateway) as clients:
            for _ in range(times):
                before = pids(gateway)
                assert await gateway.call("POST", "/workers/restart") == {"workers": number}
                await restarted(gateway, before)
                await still_open(clients)
                assert failed == failed_alone == []
        assert await requests(gateway) > 20
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0


async def test_reloads_and_the_death_of_the_control_process_fail_no_request(tmp_path: Path, upstream: Upstream) -> None:
    async with (
        several(tmp_path, upstream) as gateway,
        load(gateway) as failed,
        load(gateway, keep_alive=False) as failed_alone,
        idle(gateway) as clients,
    ):
        for number in range(2, 7):
            gateway.write(proxies(upstream)[:-2] + f", max_concurrent: {100 + number}}}]", "workers: 2")
            gateway.signal(signal.SIGHUP)

            async def reloaded(number: int = number) -> bool:
                items = (await gateway.call("GET", "/workers"))["items"]
                return {each["generation"] for each in items} == {number}

            await when(reloaded, START, "the next configuration in both workers")
            await still_open(clients)
        greetings = gateway.greetings
        gateway.kill("control")
        await gateway.greeted(greetings + 1)
        await still_open(clients)
        assert failed == failed_alone == []


async def test_the_death_of_a_worker_ends_only_what_was_in_it(tmp_path: Path, upstream: Upstream) -> None:
    async with several(tmp_path, upstream) as gateway, idle(gateway) as clients:
        before = pids(gateway)
        items = (await gateway.call("GET", "/workers"))["items"]
        (held,) = (each["connections"] for each in items if each["pid"] == before[0])
        os.kill(before[0], signal.SIGKILL)
        await eventually(lambda: pids(gateway).get(0, before[0]) != before[0], "another worker 0", START)
        ended = 0
        for client in clients:
            try:
                assert (await client.ask("/web")).status == 200
            except (OSError, Truncated):
                ended += 1
        assert 0 < ended <= held < len(clients) + 1


async def test_a_crash_loop_has_a_line_of_its_own(tmp_path: Path, upstream: Upstream) -> None:
    async with several(tmp_path, upstream) as gateway:
        for _ in range(4):
            before = pids(gateway)[1]
            os.kill(before, signal.SIGKILL)
            await eventually(lambda: pids(gateway).get(1, before) != before, "another worker 1", START)  # noqa: B023
        await eventually(lambda: "the worker 1 is in a crash loop" in gateway.log.read_text(), "the line", 10)
        assert "the worker 0 is in a crash loop" not in gateway.log.read_text()
        found = await metrics(gateway)
        assert [found["gateway_worker_crash_loop", f"worker={slot}"] for slot in (0, 1)] == [0, 1]
        assert found["gateway_worker_starts_total", "worker=1"] == 5


async def test_operators_see_and_replace_workers_by_commands(tmp_path: Path, upstream: Upstream) -> None:
    async with several(tmp_path, upstream) as gateway:
        (tmp_path / "token").write_text(gateway.token)
        where = ["--server", gateway.admin, "--token-file", str(tmp_path / "token")]
        shown = await gateway.here("status", *where, config=False)
        assert shown.returncode == 0, shown.stderr
        for slot, pid in pids(gateway).items():
            assert any(line.split()[:2] == [str(slot), str(pid)] for line in shown.stdout.splitlines()), shown.stdout
        before = pids(gateway)
        done = await asyncio.to_thread(gateway.cli, "restart", *where, config=False)
        assert done.returncode == 0, done.stderr
        await restarted(gateway, before)


async def test_the_environment_decides_how_many(tmp_path: Path, upstream: Upstream) -> None:
    gateway = several(tmp_path, upstream, 1)
    gateway.env["GATEWAY_WORKERS"] = "3"
    async with gateway:
        assert pids(gateway).keys() == {0, 1, 2}
