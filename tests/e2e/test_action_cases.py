"""Recorded cases of named calls: the same by the command alone, by the command through a gateway, and over REST."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

import aiohttp
import orjson
import pytest
from harness.answers import answer, each_request, head
from harness.deployment import Deployment
from harness.message import Message
from harness.patience import when
from harness.spoken import Spoken
from harness.upstream import Link, Upstream, refused_url

from gateway.api.forms import mapped

pytestmark = pytest.mark.timeout(300)

KEY = "query-key-5150-planted"
FILE = """\
    workers: 2
    connections:
      shop:
        base_url: {url}/v1
        auth: {{type: api_key, name: apikey, value: "${{SHOP_KEY}}"}}
        headers: {{X-Ours: ours, Accept: text/plain}}
        retry: once
      strict: {{base_url: "{url}", merge: strict, headers: {{X-Ours: ours}}}}
      away: {{base_url: {refused}, retry: once}}
      theirs: {{tenant: other, base_url: {url}}}
    actions:
      get:
        connection: shop
        path: /users/{{login}}
        headers: {{Accept: application/json}}
        parameters: [{{name: login, required: true, schema: {{maxLength: 39}}}}]
      order:
        connection: shop
        method: POST
        path: /orders
        request_body: {{item: "{{item}}"}}
        parameters: [{{name: item, required: true}}, {{name: note, in: header}}]
      remove: {{connection: shop, method: DELETE, path: "/orders/{{id}}"}}
      form: {{connection: shop, method: POST, path: /echo, body: {{type: form, value: {{a: "{{a}}"}}}}}}
      free: {{connection: shop, path: /echo}}
      firm: {{connection: strict, path: /v1/echo}}
      page: {{connection: shop, path: /page}}
      binary: {{connection: shop, path: /binary}}
      empty: {{connection: shop, path: /empty}}
      moved: {{connection: shop, path: /moved}}
      broken: {{connection: shop, path: /broken}}
      cookies: {{connection: shop, path: /cookies}}
      large: {{connection: shop, path: /large, limits: {{max_bytes: 10}}}}
      down: {{connection: shop, path: /down}}
      slow: {{connection: shop, path: /slow, timeout_ms: 200}}
      nothing: {{connection: away}}
      forbidden: {{connection: shop, path: /page}}
      search:
        connection: shop
        path: /search
        parameters: [{{name: q, required: true}}, {{name: page, type: integer}}, {{name: fail, type: boolean}}]
        pagination: {{type: page, items: items, max_pages: 5}}
      linked: {{connection: shop, path: /linked, pagination: {{type: link}}}}
      secret: {{connection: theirs}}
    governance: {{deny: [http.forbidden]}}
    """
BINARY = bytes(range(256)) * 40
JSON_TYPE = "Content-Type: application/json"
FIXED = {
    b"/v1/page": answer("<p>é</p>".encode(), "Content-Type: text/html", status=404),
    b"/v1/binary": answer(BINARY, "Content-Type: image/png"),
    b"/v1/empty": b"HTTP/1.1 204 No Content\r\n\r\n",
    b"/v1/moved": answer(b"", "Location: /elsewhere", status=302),
    b"/v1/broken": answer(b"{broken", JSON_TYPE),
    b"/v1/cookies": answer(b"[1, 2.50, null]", JSON_TYPE, "Set-Cookie: a=1", "Set-Cookie: b=2", "X-A: 1", "x-a: 2"),
    b"/v1/large": answer(b"x" * 11, "Content-Type: text/plain"),
    b"/v1/down": answer(b"no", status=500),
    b"/v1/slow": b"",
    b"/v1/linked": answer(b"[1]", JSON_TYPE, 'Link: <https://elsewhere.test/2>; rel="next"'),
}
"""By the path of the request, without its query."""


def reply(message: Message) -> bytes:
    path, _, query = message.target.partition(b"?")
    if path in FIXED:
        return FIXED[path]
    if path == b"/v1/search":
        return found_by(dict(parse_qsl(query.decode())))
    shown = {
        "method": message.method.decode(),
        "target": message.target.decode().replace(KEY, "its-key"),
        "ours": (message.get("x-ours") or b"").decode(),
        "note": (message.get("note") or b"").decode("latin-1"),
        "accept": (message.get("accept") or b"").decode(),
        "body": message.body.decode(),
    }
    return answer(json.dumps(shown).encode(), JSON_TYPE)


def found_by(query: Mapping[str, str]) -> bytes:
    """Three pages of one search; with `fail` the second one fails."""
    page = int(query.get("page", "1"))
    if query.get("fail") == "true" and page == 2:
        return answer(b"no", status=503)
    return answer(json.dumps({"items": [f"{query['q']}{page}"] if page < 4 else []}).encode(), JSON_TYPE)


class Case(NamedTuple):
    """One call. ``exit``: the exit code of the command; ``output``: what it prints of the response."""

    exit: int
    action: str
    input: Mapping[str, object] = {}
    options: Mapping[str, object] = {}
    overrides: Mapping[str, Any] = {}
    output: str = "full"
    version: str = ""
    tenant: str = ""

    def arguments(self) -> list[str]:
        found = ["action", "call", self.action, "--output", self.output]
        found += ["--input", json.dumps(self.input)] if self.input else []
        found += ["--dry-run"] if self.options.get("dry_run") else []
        found += ["--all"] if self.options.get("all_pages") else []
        found += ["--timeout-ms", str(self.options["timeout_ms"])] if "timeout_ms" in self.options else []
        for name in ("method", "endpoint"):
            found += [f"--{name}", self.overrides[name]] if name in self.overrides else []
        found += ["--body", json.dumps(self.overrides["body"])] if "body" in self.overrides else []
        for option, name, sign in (("--header", "headers", ":"), ("--query", "query", "=")):
            for key, value in self.overrides.get(name, {}).items():
                found += [option, f"{key}{sign}{value}"]
        found += ["--version", self.version] if self.version else []
        return [*found, "--tenant", self.tenant] if self.tenant else found

    def body(self) -> dict[str, object]:
        made: dict[str, object] = {"action_trn": self.action, "input": self.input, "options": self.options}
        return made | ({"overrides": self.overrides} if self.overrides else {})

    def query(self, **more: str) -> str:
        given = {"version": self.version, "tenant": self.tenant, **more}
        query = urlencode({name: value for name, value in given.items() if value})
        return f"?{query}" if query else ""


DRY = {"dry_run": True}
ALL = {"all_pages": True}
TRN = "trn:openact:default:action/http/"
CASES = (
    Case(0, "get", {"login": "x"}),
    Case(0, "get", {"login": "a/b?c=d&e"}),
    Case(0, "get", {"login": "é €"}),
    Case(2, "get", {"login": "x" * 40}),
    Case(2, "get", {"login": 7}),
    Case(2, "get"),
    Case(2, "get", {"login": "x", "more": 1}),
    Case(2, "get", {"login": ".."}),
    Case(0, "order", {"item": "a", "note": "b"}),
    Case(2, "order", {"item": "a", "note": "b\r\nX-More: y"}),
    Case(0, "order", {"item": "é\n\"'"}),
    Case(0, "order", {"item": "a"}, overrides={"method": "PUT", "headers": {"Note": "mine"}, "query": {"a": "b c"}}),
    Case(0, "order", {"item": "a"}, overrides={"body": {"other": "{item}"}, "endpoint": "/other?x=1"}),
    Case(2, "order", {"item": "a"}, overrides={"endpoint": "https://elsewhere.test/"}),
    Case(2, "order", {"item": "a"}, overrides={"method": "BREW"}),
    Case(0, "remove", {"id": "7"}),
    Case(0, "form", {"a": "b&c"}),
    Case(0, "free", {"q": ["a", "b"], "headers": {"X-Ours": "mine"}, "cookies": {"a": "b"}}),
    Case(0, "free", {"query": {"a": None, "b": 1.5, "c": True}}),
    Case(2, "free", {"query": {"a": {"b": 1}}}),
    Case(0, "firm", {"headers": {"X-Ours": "mine"}}),
    Case(1, "page"),
    Case(1, "page", output="body-only"),
    Case(1, "page", output="headers-only"),
    Case(1, "page", output="status-only"),
    Case(1, "page", version="latest"),
    Case(4, "page", version="7"),
    Case(2, "page", version="x"),
    Case(4, "page", tenant="other"),
    Case(1, f"{TRN}page@v1"),
    Case(1, f"{TRN}page"),
    Case(4, f"{TRN}page@v2"),
    Case(2, "trn:wrong"),
    Case(4, "no-such"),
    Case(4, "secret"),
    Case(0, "binary"),
    Case(0, "binary", output="body-only"),
    Case(0, "binary", output="-"),
    Case(0, "cookies"),
    Case(0, "cookies", output="-"),
    Case(0, "empty"),
    Case(0, "moved"),
    Case(0, "broken"),
    Case(1, "large"),
    Case(1, "down"),
    Case(1, "slow"),
    Case(1, "slow", options={"timeout_ms": 100}),
    Case(1, "nothing"),
    Case(5, "forbidden"),
    Case(0, "search", {"q": "a"}, ALL),
    Case(1, "search", {"q": "a", "fail": True}, ALL),
    Case(1, "linked", options=ALL),
    Case(2, "page", options=ALL),
    Case(0, "order", {"item": "a", "note": "n"}, DRY),
    Case(0, "order", {"item": "a"}, DRY, {"headers": {"Cookie": "a=b"}, "query": {"token": "x"}}),
    Case(2, "get", options=DRY),
    Case(0, "search", {"q": "a"}, DRY | ALL),
)


def printed(found: Any, output: str) -> str:
    """What the command prints for a response of ``POST /execute``."""
    if found.get("dry_run"):
        shown = found["request"]
    elif "items" in found:
        shown = found["items"]
    elif output == "full":
        shown = {key: found[key] for key in ("status", "headers", "body")}
    elif output == "body-only" and found["body_encoding"] != "json":
        return f"{found['body']}\n"
    else:
        shown = found[output.partition("-")[0]]
    return f"{orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode()}\n"


class Rest:
    """The three sets of paths of one gateway."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    async def post(self, path: str, body: object) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {self._deployment.token}"}
        url = f"{self._deployment.admin}{path}"
        async with self._deployment.session.post(url, json=body, headers=headers) as response:
            return response.status, await response.read()

    async def compare(self, case: Case, out: str, error: str) -> None:
        """Each set of paths gives what the command has printed."""
        if case.output == "-":
            status, data = await self.post(f"/api/gateway/execute{case.query(raw='true')}", case.body())
            assert (status, data) == (200, out.encode("utf-8", "surrogateescape"))
            return
        status, data = await self.post(f"/api/gateway/execute{case.query()}", case.body())
        task_status, task = await self.post(f"/api/v1/execute{case.query()}", case.body())
        stated = case if case.version else case._replace(version="latest")
        plain_status, plain = await self.post(f"/execute{stated.query()}", case.body())
        found = orjson.loads(data)
        if status != 200:
            assert error.startswith(f"Error: {found['details']}\n")
            assert orjson.loads(task)["message"] == found["details"]
            assert not orjson.loads(plain)["success"]
            assert {task_status, plain_status} == {status}
            return
        assert (task_status, plain_status) == (200, 200)
        assert printed(found, case.output) == out
        data_of_plain = orjson.loads(plain)["data"]
        assert orjson.loads(task) == expected(found) == data_of_plain
        if (stopped := found.get("stopped")) is not None:
            assert f"page {stopped['page']}: {stopped['message']}" in error


def expected(found: Any) -> Any:
    """The result of ``POST /execute`` in the form of the other paths."""
    if found.get("dry_run"):
        return {"dry_run": True, "request": found["request"]}
    if "items" in found:
        return {key: found[key] for key in ("items", "pages", "complete", "stopped")}
    return {"status": found["status"], "headers": mapped(found["headers"]), "body": found["body"]}


@pytest.mark.covers("ACT-31", "ACT-32", "ACT-37", "ACT-38")
async def test_each_case_is_the_same_by_the_command_through_a_gateway_and_over_rest(
    tmp_path: Path, upstream: Upstream
) -> None:
    assert len(CASES) >= 40
    upstream.behaviour = each_request(reply)
    more = textwrap.dedent(FILE).format(url=upstream.url, refused=refused_url())
    deployment = Deployment(tmp_path, more=more)
    deployment.env |= {"SHOP_KEY": KEY}
    async with deployment:
        made, rest = Spoken(deployment), Rest(deployment)
        for case in CASES:
            there, here = [await made.here(*case.arguments(), remote=remote) for remote in (True, False)]
            assert there == here, case
            assert here[0] == case.exit, (case, here)
            await rest.compare(case, here[1], here[2])
    assert KEY not in "\n".join(made.texts)


@pytest.mark.covers("ACT-46")
async def test_a_body_goes_into_a_file_as_it_came(tmp_path: Path, upstream: Upstream) -> None:
    upstream.behaviour = each_request(reply)
    deployment = Deployment(tmp_path, more=textwrap.dedent(FILE).format(url=upstream.url, refused=refused_url()))
    deployment.env |= {"SHOP_KEY": KEY}
    async with deployment:
        made = Spoken(deployment)
        for remote in (True, False):
            file = tmp_path / f"body-{remote}"
            code, out, error = await made.cli("action", "call", "binary", "--output", str(file), remote=remote)
            assert (code, out, error) == (0, f"{file}: {len(BINARY)} bytes, image/png\n", "")
            assert file.read_bytes() == BINARY
            for action in ("page", "large", "nothing"):
                code, out, error = await made.here("action", "call", action, "--output", str(file), remote=remote)
                assert (code, out, bool(error)) == (1, "", True)
            assert file.read_bytes() == BINARY, "a call that fails leaves the file as it was"


LONG = 48 * 1024 * 1024
LONG_FILE = """\
    workers: 1
    connections: {{shop: {{base_url: "{url}", retry: once, max_response_bytes: 67108864, max_concurrent: 1}}}}
    actions: {{long: {{connection: shop, path: /long}}, breaks: {{connection: shop, path: /breaks}}}}
    """


async def long_reply(link: Link) -> None:
    while True:
        message = await link.request()
        await link.send(head(f"Content-Length: {LONG}", "Content-Type: image/png"))
        for _ in range(LONG >> 20 if message.target == b"/long" else 2):
            await link.send(bytes(1 << 20))
        if message.target != b"/long":
            link.close()  # behind what was sent: a reset could take that away
            return


def most_memory(pid: int) -> int:
    """Bytes that the process ever had."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


@pytest.mark.covers("ACT-46")
async def test_no_process_of_the_gateway_holds_a_long_body_and_it_never_looks_whole(
    tmp_path: Path, upstream: Upstream
) -> None:
    upstream.behaviour = long_reply
    deployment = Deployment(tmp_path, more=textwrap.dedent(LONG_FILE).format(url=upstream.url))
    async with deployment:
        made = Spoken(deployment)
        await deployment.call("GET", "/actions")
        pids = [deployment.pid(role) for role in ("control", "worker")]
        before = [most_memory(pid) for pid in pids]
        file = tmp_path / "body"
        for remote in (True, False):
            file.unlink(missing_ok=True)
            code, out, error = await made.cli("action", "call", "long", "--output", str(file), remote=remote)
            assert (code, out, error) == (0, f"{file}: {LONG} bytes, image/png\n", "")
            assert file.stat().st_size == LONG
            code, out, error = await made.cli("action", "call", "breaks", "--output", str(file), remote=remote)
            assert (code, out, bool(error)) == (1, "", True)
            assert file.stat().st_size == LONG, "a body that breaks off leaves the file as it was"
            assert sorted(tmp_path.glob(".body*")) == []
        grown = [most_memory(pid) - was for pid, was in zip(pids, before, strict=True)]
        assert max(grown) < LONG // 2, grown
        url = f"{deployment.admin}/api/gateway/execute?raw=true"
        headers = {"Authorization": f"Bearer {deployment.token}"}
        async with deployment.session.post(url, json={"action_trn": "breaks"}, headers=headers) as response:
            assert (response.status, response.headers["X-Upstream-Status"]) == (200, "200")
            with pytest.raises((aiohttp.ClientPayloadError, ConnectionError)):
                await response.read()
        async with deployment.session.post(url, json={"action_trn": "long"}, headers=headers) as response:
            assert await response.content.read(10) == bytes(10)
            response.close()  # the caller leaves, and the only permit is free again

        async def free() -> bool:
            explained = await deployment.call("GET", "/upstreams/connection%2Fshop/explain")
            return explained["limiter"]["in_flight"] == 0

        await when(free, 30, "the permit is free")
