"""A whole session, and then a search: no password, token or secret stands in anything that the gateway put out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import urllib.parse
from pathlib import Path

import aiohttp
import pytest
from harness.answers import OK, each_request
from harness.deployment import EMAIL, PASSWORD, Deployment
from harness.message import Message
from harness.patience import eventually
from harness.upstream import Upstream

pytestmark = pytest.mark.timeout(180)

SECRET, SECOND_SECRET = "sk-live-0f1e2d3c4b5a-secret-value", "sk-live-99887766-second-value"
WRONG_PASSWORD, NEW_PASSWORD = "a wrong guess 4711", "a newer password 0815"
QUERY_KEY = "query-key-5150-of-a-caller"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.AAAAc2lnbmF0dXJl"


class Session:
    """Sends requests of every kind and keeps each response, but for the two that hand a token out."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.texts: list[str] = []

    async def api(
        self, method: str, path: str, body: object = None, *, token: str | None = None, keep: bool = True
    ) -> tuple[int, str]:
        shown = self.deployment.token if token is None else token
        headers = {"Authorization": f"Bearer {shown}"} if shown else {}
        url = f"{self.deployment.admin}/api/gateway{path}"
        async with self.deployment.session.request(method, url, json=body, headers=headers) as answer:
            text = await answer.text()
            if keep:
                self.texts.append(f"{answer.headers} {text}")
            return answer.status, text

    async def call(self, path: str, authorization: str) -> int:
        headers = {"Authorization": authorization, "Cookie": f"session={QUERY_KEY}"}
        async with self.deployment.session.get(self.deployment.url + path, headers=headers) as answer:
            self.texts.append(f"{answer.headers} {await answer.text()}")
            return answer.status

    async def raw(self, base: str, head: bytes) -> None:
        """Bytes that are no good request, and whatever comes back."""
        parts = urllib.parse.urlsplit(base)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(head)
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(2):
                self.texts.append((await reader.read(65536)).decode(errors="replace"))
        writer.close()


async def test_no_credential_stands_in_any_output(tmp_path: Path, upstream: Upstream) -> None:
    seen_by_upstream: list[bytes] = []

    def reply(request: Message) -> bytes:
        seen_by_upstream.extend(request.lines)
        return OK

    upstream.behaviour = each_request(reply)
    hidden: dict[str, str] = {
        "the password": PASSWORD,
        "a wrong password": WRONG_PASSWORD,
        "a new password": NEW_PASSWORD,
        "a secret": SECRET,
        "another secret": SECOND_SECRET,
        "a query": QUERY_KEY,
        "a JSON Web Token": JWT,
    }
    async with Deployment(tmp_path) as deployment:
        session = Session(deployment)
        hidden["a token"] = deployment.token
        # Logins: good, wrong, and a password typed as an email.
        for email, password in ((EMAIL, WRONG_PASSWORD), (WRONG_PASSWORD, PASSWORD), (f"{NEW_PASSWORD}@x.org", "x")):
            await session.api("POST", "/auth/login", {"email": email, "password": password}, token="")
        _, text = await session.api("POST", "/auth/login", {"email": EMAIL, "password": PASSWORD}, token="", keep=False)
        login = hidden["a login"] = json.loads(text)["token"]
        # Secrets: stored, changed, refused, named, exported.
        for value in (SECRET, SECOND_SECRET):
            assert (await session.api("PUT", "/secrets/KEY", {"value": value}, token=login))[0] == 200
        for body in (
            {"value": [SECRET]},
            {"value": SECRET, "x": SECRET},
            {"value": SECRET + "\n"},
            {"value": SECRET * 200},
        ):
            assert (await session.api("PUT", "/secrets/KEY", body, token=login))[0] == 400
        proxy = {"name": "web", "path": "/web", "upstream": upstream.url, "max_concurrent": 5}
        headers = {"X-Key": "{secret.KEY}", "X-Auth": "Bearer {secret.KEY}"}
        assert (await session.api("POST", "/proxies", {**proxy, "headers": headers, "access_rule": "true"}))[0] == 201
        bad = {**proxy, "name": "bad", "path": "/bad", "headers": {"X-Api-Key": SECRET}}
        assert (await session.api("POST", "/proxies", bad))[0] == 400
        assert (await session.api("POST", "/proxies", {**bad, "upstream": f"http://u:{SECRET}@h"}))[0] == 400
        closed = {**proxy, "name": "closed", "path": "/closed", "access_rule": "@request.auth.id != ''"}
        assert (await session.api("POST", "/proxies", closed))[0] == 201
        # Tokens and passwords: made, used, wrong, changed, ended.
        made = await session.api("POST", "/tokens", {"name": "ci", "superuser": True}, token=login, keep=False)
        hidden["a superuser token"] = ci = json.loads(made[1])["token"]
        made = await session.api("POST", "/tokens", {"name": "caller"}, token=ci, keep=False)
        hidden["a caller's token"] = caller = json.loads(made[1])["token"]
        change = {"current": WRONG_PASSWORD, "password": NEW_PASSWORD}
        assert (await session.api("POST", "/auth/password", change, token=login))[0] == 400
        assert (await session.api("POST", "/auth/password", {**change, "current": PASSWORD}, token=login))[0] == 200
        await session.api("POST", "/superusers", {"email": "two@x.org", "password": NEW_PASSWORD})
        await session.api("POST", "/superusers", {"email": NEW_PASSWORD, "password": NEW_PASSWORD})
        # Callers: with every kind of credential, good and bad, and broken heads.
        assert await session.call(f"/web/a?key={QUERY_KEY}", f"Bearer {caller}") == 200
        assert await session.call("/closed/a", f"Bearer {caller}") == 200
        for authorization in (f"Bearer {JWT}", f"Bearer {caller}x", f"Basic {SECRET}", f"bearer  {ci}"):
            await session.call(f"/closed/a?key={QUERY_KEY}", authorization)
            await session.call(f"/none/a?key={QUERY_KEY}", authorization)
        for base in (deployment.url, deployment.admin):
            for line in (
                f"Authorization: Bearer {ci}\x01",
                f"Authorization : Bearer {ci}",
                f"X: {SECRET}\r\n {SECRET}",
            ):
                await session.raw(base, f"GET /web HTTP/1.1\r\nHost: localhost\r\n{line}\r\n\r\n".encode())
            await session.raw(base, f"GET /x HTTP/9.9\r\nAuthorization: Bearer {ci}\r\n\r\n".encode())
        # Everything that can be read.
        for path in (
            *("/proxies", "/secrets", "/secrets/KEY", "/tokens", "/sessions", "/superusers", "/audit?per_page=1000"),
            *("/metrics", "/healthz", "/readyz", "/openapi.json", "/upstreams/web/explain"),
        ):
            assert (await session.api("GET", path, token=ci))[0] == 200, path
        session.texts.append(await _live(deployment, ci))
        access_log = tmp_path / "access.log"
        await eventually(lambda: "/closed" in access_log.read_text(), "the access log is written")
        for line in access_log.read_text().splitlines():
            await session.api("GET", f"/requests/{json.loads(line)['request_id']}", token=ci)
        # The configuration is told, exported, and reloaded with an error in it.
        for arguments in (
            ("export", str(tmp_path / "out.yaml")),
            ("token", "list"),
            ("session", "list"),
            ("secret", "list"),
        ):
            result = await deployment.here(*arguments)
            assert result.returncode == 0, result.stderr
            session.texts += [result.stdout, result.stderr]
        result = await deployment.here("token", "create", "file", "--to", str(tmp_path / "a.token"))
        session.texts += [result.stdout, result.stderr]
        hidden["a token in a file"] = (tmp_path / "a.token").read_text().strip()
        await session.api("POST", "/auth/logout", token=login)
        deployment.kill("control")
        await deployment.greeted(2)
        assert (await session.api("GET", "/audit?per_page=1000", token=ci))[0] == 200

        assert any(SECOND_SECRET.encode() in line for line in seen_by_upstream), "the secret does its work"
        outputs = {f"response {number}": text for number, text in enumerate(session.texts)}
        outputs |= {
            str(file.relative_to(tmp_path)): file.read_bytes().decode("latin-1")
            for file in tmp_path.rglob("*")
            if file.is_file() and file.suffix != ".token"
        }
        assert {"log", "access.log", "gateway.db"} <= outputs.keys()
        assert outputs["log"].count("it runs as root") == (os.geteuid() == 0), (
            "once, though the control process began twice"
        )
    found = [
        (what, where)
        for what, value in hidden.items()
        for where, text in outputs.items()
        for spelling in (value, urllib.parse.quote(value), json.dumps(value)[1:-1])
        if spelling in text
    ]
    assert found == []


async def _live(deployment: Deployment, token: str) -> str:
    """The first events of the live view."""
    headers = {"Authorization": f"Bearer {token}"}
    text = ""
    url = f"{deployment.admin}/api/gateway/live"
    async with deployment.session.get(url, headers=headers, timeout=aiohttp.ClientTimeout(None)) as answer:
        async with asyncio.timeout(20):
            while "event: state" not in text or "event: refusals" not in text:
                text += (await answer.content.readany()).decode()
    return text
