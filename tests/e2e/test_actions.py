"""Named actions as operators and integrators use them: whole processes, the API, the command line."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from harness.answers import answer, each_request, head
from harness.deployment import Deployment
from harness.message import Message
from harness.patience import eventually
from harness.spoken import Spoken
from harness.upstream import Link, Upstream, refused_url

pytestmark = pytest.mark.timeout(180)

TOKEN, KEY, PASSWORD = "ghp-0f1e2d3c4b5a-planted", "query-key-5150-planted", "basic-pass-4711-planted"
SECRETS = {"GITHUB_TOKEN": TOKEN, "SHOP_KEY": KEY, "OLD_PASSWORD": PASSWORD}
TWELVE_LINES = """\
    listen: 127.0.0.1:0
    connections:
      github:
        base_url: {url}
        auth:
          type: bearer
          token: ${{GITHUB_TOKEN}}
    actions:
      get-user:
        connection: github
        path: /users/{{login}}
        headers: {{Accept: application/json}}
    """
CONNECTIONS = """\
    workers: 2
    connections:
      github:
        base_url: {url}/api
        auth: {{type: bearer, token: "${{GITHUB_TOKEN}}"}}
        max_concurrent: 5
        circuit_breaker: {{enabled: true, failure_threshold: 3, recovery_timeout: 60}}
        retry: once
      shop:
        base_url: {url}
        auth: {{type: api_key, name: apikey, value: "${{SHOP_KEY}}"}}
        retry: once
      old:
        base_url: {refused}
        auth: {{type: basic, username: reader, password: "${{OLD_PASSWORD}}"}}
        retry: once
      metered:
        base_url: {url}
        rate_limits: [{{rate: 20, per: 86400, name: account}}]
        retry: once
      theirs:
        tenant: other
        base_url: {url}
    actions:
      get-user:
        connection: github
        path: /users/{{login}}
        parameters: [{{name: login, required: true, schema: {{maxLength: 39}}}}]
      fail: {{connection: github, path: /fail}}
      hang: {{connection: github, path: /hang}}
      order:
        connection: shop
        method: POST
        path: /orders
        request_body: {{item: "{{item}}"}}
        parameters: [{{name: item, required: true}}, {{name: note, in: header}}]
      page: {{connection: shop, path: /page}}
      nothing: {{connection: old, path: /}}
      secret: {{connection: theirs, path: /}}
      spend: {{connection: metered, path: /spend}}
    """
PROXIES = """
    - {name: hub, path: /hub, upstream: connection/github, access_rule: 'true'}
    - {name: meter, path: /meter, upstream: connection/metered, access_rule: 'true'}"""


def reply(message: Message) -> bytes:
    path = message.target.partition(b"?")[0]
    if path == b"/api/fail":
        return answer(b"no", status=500)
    if path == b"/page":
        return answer(b"<p>\xc3\xa9</p>", "Content-Type: text/html", status=404)
    if path == b"/orders":
        return answer(b'{"made":' + message.body + b"}", "Content-Type: application/json", status=201)
    return answer(json.dumps({"path": path.decode()}).encode(), "Content-Type: application/json")


async def settled(made: Spoken) -> None:
    """Wait until no permit is in use."""
    async with asyncio.timeout(20):
        while True:
            _, told = await made.api("GET", "/upstreams/hub/explain")
            if told["active_count"] == told["limiter"]["in_flight"] == 0:
                return
            await asyncio.sleep(0.01)


def served(folder: Path, upstream: Upstream, workers: int = 2) -> Deployment:
    more = textwrap.dedent(CONNECTIONS).format(url=upstream.url, refused=refused_url())
    more = more.replace("workers: 2", f"workers: {workers}")
    deployment = Deployment(folder, proxies=PROXIES, more=more)
    deployment.env |= SECRETS
    return deployment


@pytest.mark.covers("ACT-06")
def test_twelve_lines_and_one_command_give_the_first_call(tmp_path: Path) -> None:
    """Without a gateway that runs, without a database."""

    async def play() -> subprocess.CompletedProcess[str]:
        async with Upstream(each_request(reply)) as upstream:
            config = tmp_path / "gateway.yaml"
            config.write_text(textwrap.dedent(TWELVE_LINES).format(url=upstream.url))
            assert len(config.read_text().splitlines()) == 12
            command = [sys.executable, "-m", "gateway", "action", "call", "get-user", "--config", str(config)]
            command += ["--input", "login=octo cat"]
            env = {**os.environ, **SECRETS}
            found = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, env=env)
            (seen,) = upstream.requests
            assert (seen.target, seen.get("authorization")) == (b"/users/octo%20cat", f"Bearer {TOKEN}".encode())
            return found

    found = asyncio.run(play())
    assert (found.returncode, found.stderr) == (0, "")
    assert json.loads(found.stdout)["body"] == {"path": "/users/octo%20cat"}


CASES = (
    ("action", "list"),
    ("action", "show", "order", "--json"),
    ("connection", "show", "shop"),
    ("connection", "test", "shop"),
    ("connection", "test", "old"),
    ("action", "call", "get-user", "--input", "login=x"),
    ("action", "call", "order", "--input", '{"item": [1, "a"], "note": "b"}'),
    ("action", "call", "page", "--output", "body-only"),
    ("action", "call", "page", "--output", "headers-only"),
    ("action", "call", "order", "--input", "item=1", "--dry-run"),
    ("action", "call", "nothing", "--json"),
    ("action", "call", "get-user", "--input", "login=" + "x" * 40),
    ("action", "call", "trn:openact:default:action/http/page@v1"),
    ("action", "call", "no-such"),
    ("action", "show", "secret"),
)
"""Each is done by a gateway and without one."""


@pytest.mark.covers("ACT-32")
async def test_both_ways_give_the_same_bytes(tmp_path: Path, upstream: Upstream) -> None:
    upstream.behaviour = each_request(reply)
    async with served(tmp_path, upstream) as deployment:
        made = Spoken(deployment)
        for at, case in enumerate(CASES):
            run = made.cli if at % 5 == 0 else made.here  # each process takes a second to start
            there, here = await asyncio.gather(run(*case, remote=True), run(*case, remote=False))
            assert there == here, case
            assert there[1] or there[2], case


@pytest.mark.covers("ACT-42")
@pytest.mark.parametrize("workers", [2, 4])
async def test_three_failing_calls_open_the_breaker_for_the_proxy(
    tmp_path: Path, upstream: Upstream, workers: int
) -> None:
    upstream.behaviour = each_request(reply)
    async with served(tmp_path, upstream, workers) as deployment:
        made = Spoken(deployment)
        assert await deployment.get("/hub/x") == (200, "")
        for _ in range(3):
            status, body = await made.execute("fail")
            assert (status, body["status"]) == (200, 500)
        await deployment.comes_to("/hub/x", (503, "breaker_open"))
        status, body = await made.execute("get-user", login="x")
        assert (status, body["code"]) == (503, "breaker_open")
        for name in ("hub", "connection/github", "action/fail"):
            status, told = await made.api("GET", f"/upstreams/{quote(name, safe='')}/explain")
            assert (status, told["verdict"], told["reason"]) == (200, "refuse", "breaker_open")
            (move,) = told["breaker"]["moves"]
            assert {each["action"] for each in move["outcomes"]} == {"action/fail"}
        code, out, _ = await made.here("explain", "hub", remote=True)
        assert (code, " of action/fail" in out) == (0, True)


REPEATS = int(os.environ.get("CALLS_FLEET_REPEATS", "10"))
"""`make calls` sets more."""


async def _called(made: Spoken) -> int:
    status, body = await made.execute("hang")
    return int(body["status"]) if status == 200 else status


async def _asked(made: Spoken, path: str = "/hub/slow") -> int:
    """A request of a proxy, on a connection of its own, so that any worker may get it."""
    async with aiohttp.ClientSession() as session, session.get(f"{made.deployment.url}{path}") as response:
        await response.read()
        return response.status


@pytest.mark.covers("ACT-42")
@pytest.mark.timeout(1200)
async def test_calls_and_requests_of_four_workers_share_one_limit_exactly(tmp_path: Path, upstream: Upstream) -> None:
    async with served(tmp_path, upstream, workers=4) as deployment:
        made = Spoken(deployment)
        for _ in range(REPEATS):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(work(made)) for _ in range(5) for work in (_called, _asked)]
                links = [await upstream.link() for _ in range(5)]
                for link in links:
                    await link.request()
                await eventually(lambda tasks=tasks: sum(task.done() for task in tasks) == 5, "five are refused")
                for link in links:
                    await link.send(head("Content-Length: 2", "Connection: close"), b"ok")
            assert sorted(task.result() for task in tasks) == [200] * 5 + [429] * 5
            await settled(made)
        upstream.behaviour = each_request(reply)
        await _spend(made)


async def _spend(made: Spoken) -> None:
    """Of 25 calls and requests at once as many are served as the connection has tokens."""
    calls = [made.execute("spend") for _ in range(13)]
    statuses = [_asked(made, "/meter/x") for _ in range(12)]
    called, asked = await asyncio.gather(asyncio.gather(*calls), asyncio.gather(*statuses))
    assert sorted([*asked, *(status for status, _ in called)]) == [200] * 20 + [429] * 5
    for name in ("connection/metered", "action/spend", "meter"):
        _, found = await made.api("GET", f"/upstreams/{quote(name, safe='')}/explain")
        assert (found["verdict"], found["reason"]) == ("refuse", "rate_limit")
        assert [(each["of"], each["name"], each["left"]) for each in found["rates"]] == [
            ("connection/metered", "account", 0)
        ]
    code, out, _ = await made.here("explain", "meter", remote=True)
    assert (code, "rate limit account of connection/metered" in out) == (0, True)


def _is_gone(link: Link) -> bool:
    """Whether the gateway has ended the connection, also when the script has not read that yet."""
    try:
        return link.closed or link.sock.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


class Counting:
    """An upstream that takes its time, and knows how many requests it ever had at the same time."""

    def __init__(self) -> None:
        self.running: set[Link] = set()
        self.most = 0

    async def __call__(self, link: Link) -> None:
        while True:
            await link.request()
            self.running = {other for other in self.running if not _is_gone(other)} | {link}
            self.most = max(self.most, len(self.running))
            try:
                await asyncio.sleep(0.004)
            finally:
                self.running.discard(link)
            await link.send(answer(b"ok"))


@pytest.mark.timeout(1200)
async def test_callers_who_leave_four_workers_at_any_moment_lose_no_permit(tmp_path: Path, upstream: Upstream) -> None:
    counting = upstream.behaviour = Counting()
    dice = random.Random(7)
    async with served(tmp_path, upstream, workers=4) as deployment:
        made = Spoken(deployment)
        for _ in range(REPEATS):
            tasks = [asyncio.create_task(work(made)) for _ in range(10) for work in (_called, _asked)]
            for task in tasks:
                asyncio.get_running_loop().call_later(dice.random() * 0.05, task.cancel)
            await asyncio.gather(*tasks, return_exceptions=True)
        await settled(made)
        assert (await _called(made), await _asked(made)) == (200, 200)
    assert 1 < counting.most <= 5


async def test_a_caller_who_leaves_ends_the_work_of_the_upstream(tmp_path: Path, upstream: Upstream) -> None:
    async with served(tmp_path, upstream) as deployment:
        made = Spoken(deployment)
        async with aiohttp.ClientSession() as session:
            headers = {"Authorization": f"Bearer {deployment.token}"}
            url = f"{deployment.admin}/api/gateway/execute"
            request = asyncio.create_task(session.post(url, json={"action_trn": "hang"}, headers=headers))
            link = await upstream.link()
            await link.request()
            _, told = await made.api("GET", "/upstreams/hub/explain")
            assert [(each["phase"], each["action"]) for each in told["active"]] == [("first_byte", "action/hang")]
            request.cancel()
        assert await link.gone()

        await settled(made)


@pytest.mark.covers("ACT-29", "ACT-30")
async def test_no_planted_secret_stands_in_any_output(tmp_path: Path, upstream: Upstream) -> None:
    upstream.behaviour = each_request(reply)
    async with served(tmp_path, upstream) as deployment:
        made = Spoken(deployment)
        await made.execute("get-user", login="x")
        await made.execute("order", item="a", note="b")
        await made.execute("nothing")
        await made.execute("fail")
        await made.execute("get-user", login=1)
        for action in ("get-user", "order", "nothing", "page"):
            options = {"dry_run": True}
            given = {"login": "x"} if action == "get-user" else {"item": "a"} if action == "order" else {}
            status, body = await made.api(
                "POST", "/execute", {"action_trn": action, "input": given, "options": options}
            )
            assert (status, body["dry_run"]) == (200, True)
        adhoc = {"connection_trn": "shop", "path": "/x", "query": {"a": "1"}}
        assert (await made.api("POST", "/execute/adhoc", adhoc))[0] == 200
        for path in ("/connections", "/actions", "/connections/shop", "/actions/order", "/actions/order/schema"):
            assert (await made.api("GET", path))[0] == 200
        for name in ("connection/github", "connection/shop", "action/order", "hub"):
            assert (await made.api("GET", f"/upstreams/{quote(name, safe='')}/explain"))[0] == 200
        await made.api("GET", "/metrics")
        status, found = await made.execute("page")
        assert (await made.api("GET", f"/requests/{found['request_id']}"))[0] == 200
        await made.here("connection", "show", "old", remote=False)
        await made.here("action", "call", "order", "--input", "item=1", "--dry-run", remote=False)
        await eventually(lambda: "action/page" in (tmp_path / "access.log").read_text(), "the log is written")
        everything = "\n".join([*made.texts, deployment.log.read_text(), (tmp_path / "access.log").read_text()])
        assert 'proxy="action/order"' in everything
        assert "[REDACTED]" in everything
        for name, secret in SECRETS.items():
            assert secret not in everything, name
    sent = b"".join(line for seen in upstream.requests for line in [seen.target, *seen.lines])
    assert TOKEN.encode() in sent
    assert KEY.encode() in sent
