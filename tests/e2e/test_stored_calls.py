"""Connections and actions of the database, on whole gateways with two workers: served, shared, changed, never shown."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from harness import valkey
from harness.answers import answer, each_request
from harness.deployment import Deployment
from harness.message import Message
from harness.patience import eventually
from harness.spoken import Spoken
from harness.upstream import Upstream, refused_url

pytestmark = pytest.mark.timeout(180)

NAMES = (
    *("token", "key", "password", "aws-key", "aws-session", "hmac", "field", "query", "member"),
    *("action-field", "action-query", "action-member"),
)
SECRETS = {name: f"s3cret-{name}-0f1e2d3c-planted" for name in NAMES}
FAIL = {"enabled": True, "failure_threshold": 3, "recovery_timeout": 60}
AWS = {"type": "sigv4", "access_key_id": "AKID", "region": "eu-central-1", "service": "execute-api"}


def connections(url: str) -> list[dict[str, Any]]:
    return [
        {
            "name": "github",
            "base_url": f"{url}/api",
            "auth": {"type": "bearer", "token": SECRETS["token"]},
            "headers": {"X-Vip": SECRETS["field"]},
            "query": {"v": SECRETS["query"]},
            "body": {"m": SECRETS["member"]},
            "max_concurrent": 5,
            "circuit_breaker": FAIL,
            "retry": "once",
        },
        {"name": "shop", "base_url": url, "auth": {"type": "api_key", "name": "apikey", "value": SECRETS["key"]}},
        {
            "name": "old",
            "base_url": refused_url(),
            "auth": {"type": "basic", "username": "reader", "password": SECRETS["password"]},
            "retry": "once",
        },
        {
            "name": "aws",
            "base_url": url,
            "auth": {**AWS, "secret_access_key": SECRETS["aws-key"], "session_token": SECRETS["aws-session"]},
        },
        {"name": "hook", "base_url": url, "auth": {"type": "hmac", "header": "X-Sig", "secret": SECRETS["hmac"]}},
    ]


ACTIONS: list[dict[str, Any]] = [
    {"name": "get-user", "connection": "github", "path": "/users/{login}"},
    {"name": "get-user@v2", "connection": "github", "path": "/people/{login}", "enabled": False},
    {"name": "fail", "connection": "github", "path": "/fail"},
    {
        "name": "order",
        "connection": "shop",
        "method": "POST",
        "path": "/orders",
        "headers": {"X-Api-Key": SECRETS["action-field"]},
        "query": {"access_token": SECRETS["action-query"]},
        "body": {"type": "json", "value": {"item": "{item}", "password": SECRETS["action-member"]}},
    },
    {"name": "nothing", "connection": "old"},
    {"name": "sign", "connection": "aws"},
    {"name": "push", "connection": "hook", "method": "POST", "body": {"type": "json", "value": {"a": 1}}},
]
PROXIES = "[{name: hub, path: /hub, upstream: connection/github, access_rule: 'true'}]"


def reply(message: Message) -> bytes:
    path = message.target.partition(b"?")[0]
    if path == b"/api/fail":
        return answer(b"no", status=500)
    return answer(json.dumps({"path": path.decode()}).encode(), "Content-Type: application/json")


class Stored(Spoken):
    """A deployment whose connections and actions stand in its database."""

    async def fill(self, url: str) -> None:
        for path, records in (("/connections", connections(url)), ("/actions", ACTIONS)):
            for record in records:
                status, body = await self.api("POST", path, record)
                assert status == 201, body
                assert body["applied"]["error"] == ""


@pytest.mark.covers("ACT-01", "ACT-02", "ACT-27", "ACT-42")
async def test_a_change_is_active_on_all_workers_when_the_response_comes(tmp_path: Path, upstream: Upstream) -> None:
    upstream.behaviour = each_request(reply)
    async with Deployment(tmp_path, proxies=PROXIES, more="workers: 2") as deployment:
        made = Stored(deployment)
        assert (await deployment.get("/hub/x"))[0] == 404, "the proxy waits for its connection"
        assert (await made.execute("get-user", login="x"))[0] == 404
        await made.fill(upstream.url)
        await deployment.comes_to("/hub/x", (200, ""))
        web = {"name": "web", "path": "/web", "upstream": "connection/github", "access_rule": "true"}
        assert (await made.api("POST", "/proxies", web))[0] == 201
        assert await deployment.get("/web/x") == (200, "")
        for _ in range(8):  # whichever worker makes the call
            status, body = await made.execute("get-user", login="x")
            assert (status, body["body"]) == (200, {"path": "/api/users/x"})
        assert (await made.execute("get-user@v2", login="x"))[0] == 404, "it is switched off"
        status, body = await made.api("PATCH", "/actions/get-user@v2", {"enabled": True, "version": 1})
        assert (status, body["applied"]["error"]) == (200, "")
        for _ in range(8):
            status, body = await made.execute("get-user", login="x")
            assert (body["body"], body["action_trn"][-2:]) == ({"path": "/api/people/x"}, "v2")
        assert (await made.execute("get-user@v1", login="x"))[1]["body"] == {"path": "/api/users/x"}
        status, body = await made.api("DELETE", "/connections/github")
        assert (status, body["code"]) == (409, "in_use")
        for _ in range(3):
            await made.execute("fail")
        await deployment.comes_to("/hub/x", (503, "breaker_open"))
        assert await deployment.get("/web/x") == (503, "breaker_open")
        assert (await made.api("DELETE", "/proxies/web"))[0] == 200
        deployment.write("[]", "workers: 2")
        await deployment.comes_to("/hub/x", (404, "no_route"))
        assert (await made.api("DELETE", "/connections/github"))[0] == 200
        for _ in range(8):
            assert (await made.execute("get-user", login="x"))[0] == 404


CASES = (
    ("connection", "list"),
    ("action", "list"),
    ("connection", "show", "github", "--json"),
    ("action", "show", "get-user@v2", "--json"),
    ("connection", "test", "shop"),
    ("action", "call", "get-user", "--input", "login=x"),
    ("action", "call", "order", "--input", "item=1", "--dry-run"),
    ("action", "call", "nothing", "--json"),
    ("connection", "update", "shop", "merge=strict", "--dry-run"),
    ("connection", "delete", "shop", "--dry-run"),
    ("connection", "delete", "github", "--json"),
    ("action", "create", "get-user", "connection=github", "--dry-run"),
    ("action", "update", "order", "path=/new", "--version", "7"),
)
"""Each is done by a gateway and without one."""


@pytest.mark.covers("ACT-32")
async def test_both_ways_give_the_same_bytes(tmp_path: Path, upstream: Upstream) -> None:
    upstream.behaviour = each_request(reply)
    async with Deployment(tmp_path, proxies=PROXIES) as deployment:
        made = Stored(deployment)
        await made.fill(upstream.url)
        for case in CASES:
            there, here = [await made.here(*case, remote=remote) for remote in (True, False)]
            assert there == here, case
            assert there[1] or there[2], case
        exported = [tmp_path / "there.yaml", tmp_path / "here.yaml"]
        for file, remote in zip(exported, (True, False), strict=True):
            code, _, error = await made.here("connection", "export", str(file), remote=remote)
            assert code == 0, error
        assert exported[0].read_bytes() == exported[1].read_bytes()
        for remote in (True, False):
            code, out, _ = await made.here("connection", "sync", str(exported[0]), remote=remote)
            assert (code, {line[0] for line in out.splitlines()}) == (0, {"="})


@pytest.mark.covers("ACT-25", "ACT-30")
async def test_twelve_planted_secrets_stand_nowhere(tmp_path: Path, upstream: Upstream) -> None:
    upstream.behaviour = each_request(reply)
    async with Deployment(tmp_path, proxies=PROXIES, more="workers: 2") as deployment:
        made = Stored(deployment)
        await made.fill(upstream.url)
        for action, given in (
            *(("get-user", {"login": "x"}), ("order", {"item": "a"}), ("nothing", {}), ("fail", {}), ("sign", {})),
            *(("push", {}), ("get-user", {"login": {"a": 1}})),
        ):
            await made.execute(action, **given)
            body = {"action_trn": action, "input": given, "options": {"dry_run": True}}
            await made.api("POST", "/execute", body)
        for kind, records in (("connections", connections(upstream.url)), ("actions", ACTIONS)):
            await made.api("GET", f"/{kind}")
            for record in records:
                name = record["name"] if "@" in record["name"] else f"{record['name']}@v1"
                path = f"/{kind}/{quote(name, safe='')}"
                assert (await made.api("GET", path))[0] == 200
                await made.api("PUT", f"{path}?dry_run=true", {**record, "version": 1})
                await made.api("PUT", path, {**record, "color": 1, "version": 1})
                await made.api("PUT", path, {**record, "description": "d", "version": 9})
                assert (await made.api("PUT", path, {**record, "description": "d", "version": 1}))[0] == 200
        for name in ("connection/github", "action/order", "hub"):
            await made.api("GET", f"/upstreams/{quote(name, safe='')}/explain")
        _, called = await made.execute("order", item="b")
        await made.api("GET", f"/requests/{called['request_id']}")
        for path in ("/metrics", "/audit?per_page=1000", "/proxies", "/openapi.json"):
            await made.api("GET", path)
        for remote in (True, False):
            await made.here("connection", "export", str(tmp_path / "export.yaml"), remote=remote)
            made.texts.append((tmp_path / "export.yaml").read_text())
            await made.here("action", "call", "order", "--input", "item=1", "--dry-run", remote=remote)
        code, out, _ = await made.here("db", "backup", "--to", str(tmp_path / "copy.db"), remote=False)
        assert code == 0, out
        with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
            made.texts += [*copy.iterdump()]
        files = [tmp_path / name for name in ("gateway.db", "gateway.db-wal", "copy.db")]
        await eventually(lambda: "action/order" in (tmp_path / "access.log").read_text(), "the log is written")
        everything = "\n".join([*made.texts, deployment.log.read_text(), (tmp_path / "access.log").read_text()])
        assert 'proxy="action/order"' in everything
        assert "[REDACTED]" in everything
        stored = b"".join(file.read_bytes() for file in files if file.exists())
        assert b"access_token" in stored
        for name, secret in SECRETS.items():
            assert secret not in everything, name
            assert secret.encode() not in stored, name
            assert secret.encode().hex() not in everything.lower(), name
    sent = b"".join(part for seen in upstream.requests for part in (seen.target, *seen.lines, seen.body))
    for name in ("token", "key", "field", "query", "action-field", "action-query", "action-member"):
        assert SECRETS[name].encode() in sent, f"{name} was used"


@pytest.fixture
def cache() -> Iterator[valkey.Valkey]:
    yield from valkey.start()


@pytest.mark.timeout(300)  # it starts twenty processes
@pytest.mark.covers("ACT-01", "ACT-25", "ACT-34")
async def test_connectors_of_the_database_are_served_and_their_passwords_stand_nowhere(
    tmp_path: Path, cache: valkey.Valkey
) -> None:
    away = "s3cret-of-the-database-planted"
    async with Deployment(tmp_path, more="workers: 2") as deployment:
        made = Stored(deployment)
        url = cache.url.replace("//", f"//:{valkey.PASSWORD}@")
        port = refused_url().rpartition(":")[2]
        for path, record in (
            ("/connections", {"name": "cache", "kind": "redis", "url": url}),
            (
                "/connections",
                {"name": "db", "kind": "sql", "url": f"postgresql://r:{away}@127.0.0.1:{port}/x", "retry": "once"},
            ),
            ("/actions", {"name": "put", "connection": "cache", "command": ["SET", "k", "{v}"], "read_only": False}),
            ("/actions", {"name": "value", "connection": "cache", "command": ["GET", "k"]}),
            ("/actions", {"name": "away", "connection": "db", "statement": "SELECT :a"}),
        ):
            status, body = await made.api("POST", path, record)
            assert (status, body.get("applied", {}).get("error")) == (201, ""), body
        assert (await made.execute("put", v="tea"))[0] == 200
        for _ in range(8):  # whichever worker makes the call
            status, body = await made.execute("value")
            assert (status, body["body"]) == (200, "tea")
        assert (await made.execute("away", a=1))[0] == 502
        auth = {"type": "basic", "username": "", "password": valkey.PASSWORD}
        moved = {"name": "cache", "kind": "redis", "url": cache.url, "auth": auth, "version": 1}
        status, body = await made.api("PUT", "/connections/cache", moved)
        assert (status, body["applied"]["error"]) == (200, ""), body
        assert (await made.execute("value"))[1]["body"] == "tea"
        for words in (
            ("connection", "test", "cache"),
            ("connection", "list"),
            ("connection", "show", "db"),
            ("action", "call", "value"),
            ("action", "call", "away", "--input", "a=1", "--dry-run"),
            ("connection", "update", "db", "url=postgresql://evil.example/x", "--dry-run"),
        ):
            there, here = [await made.here(*words, remote=remote) for remote in (True, False)]
            assert (there[0], there[2]) == (here[0], here[2]), words
        for remote in (True, False):
            code, _, error = await made.here("connection", "export", str(tmp_path / "export.yaml"), remote=remote)
            assert code == 0, error
            made.texts.append((tmp_path / "export.yaml").read_text())
        for path in (
            "/metrics",
            "/audit?per_page=1000",
            "/connections",
            "/actions",
            "/upstreams/connection%2Fdb/explain",
        ):
            await made.api("GET", path)
        await eventually(lambda: "action/away" in (tmp_path / "access.log").read_text(), "the log is written")
        assert (await made.api("DELETE", "/connections/cache"))[0] == 200
        assert (await made.execute("value"))[0] == 404
        everything = "\n".join([*made.texts, deployment.log.read_text(), (tmp_path / "access.log").read_text()])
        stored = b"".join(file.read_bytes() for file in tmp_path.glob("gateway.db*"))
        assert b"127.0.0.1" in stored
        for secret in (valkey.PASSWORD, away):
            assert secret not in everything
            assert secret.encode() not in stored
