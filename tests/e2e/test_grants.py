"""Access tokens of connections with whole processes: two workers, a scripted provider, the API, the command line."""

from __future__ import annotations

import asyncio
import os
import signal
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from harness import command
from harness.answers import answer, each_request
from harness.deployment import Deployment
from harness.identity_provider import CLIENT, SECRET, IdentityProvider, refused
from harness.message import Message
from harness.patience import eventually
from harness.upstream import Upstream

pytestmark = pytest.mark.timeout(180)

CONNECTIONS = """\
    workers: 2
    connections:
      cc:
        base_url: {url}
        retry: once
        circuit_breaker: {{enabled: true, failure_threshold: 2, failure_statuses: ["400-599"]}}
        auth:
          type: oauth2_client_credentials
          token_url: {idp}/token
          client_id: {client}
          client_secret: "${{CLIENT_SECRET}}"
          scopes: [read, write]
          token_params: {{audience: "https://api"}}
      ac:
        base_url: {url}
        retry: once
        auth: &ac
          type: oauth2_authorization_code
          authorize_url: {idp}/authorize
          token_url: {idp}/token
          revoke_url: {idp}/revoke
          redirect_uri: {admin}/api/gateway/oauth/callback
          client_id: {client}
          client_secret: "${{CLIENT_SECRET}}"
          client_auth: body
      device:
        base_url: {url}
        retry: once
        auth:
          type: oauth2_device
          device_url: {idp}/device
          token_url: {idp}/token
          client_id: {client}
          client_secret: "${{CLIENT_SECRET}}"
    actions:
      get: {{connection: cc, path: /x}}
      mine: {{connection: ac, path: /x, timeout_ms: 4000}}
      typed: {{connection: device, path: /x, timeout_ms: 4000}}
    """


class Scene:
    """``idp`` and ``api``: the provider, and the third party that takes its tokens alone."""

    def __init__(self, deployment: Deployment, idp: IdentityProvider, api: Upstream) -> None:
        self.deployment = deployment
        self.idp = idp
        self.api = api
        self.texts: list[str] = []

    async def ask(self, method: str, path: str, body: object = None, token: str | None = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token or self.deployment.token}"}
        url = f"{self.deployment.admin}/api/gateway{path}"
        async with self.deployment.session.request(method, url, json=body, headers=headers) as response:
            text = await response.text()
            self.texts.append(f"{response.headers} {text}")
            return response.status, await response.json() if response.content_type == "application/json" else text

    async def call(self, action: str) -> tuple[int, Any]:
        return await self.ask("POST", f"/actions/{action}/execute", {"input": {}})

    async def status(self, name: str) -> dict[str, Any]:
        status, found = await self.ask("GET", f"/connections/{name}/status")
        assert status == 200, found
        return dict(found)

    async def comes_to(self, name: str, status: str) -> dict[str, Any]:
        async with asyncio.timeout(45):
            while (found := await self.status(name))["status"] != status:
                pass
        return found

    async def until_replaced(self, before: int) -> None:
        """Wait until another worker than the process ``before`` has the configuration."""
        async with asyncio.timeout(45):
            while True:
                workers = (await self.ask("GET", "/workers"))[1]["items"]
                if len([each for each in workers if each["generation"] and each["pid"] != before]) == 2:
                    return

    async def cli(self, *arguments: str, remote: bool = True) -> tuple[int, str, str]:
        deployment = self.deployment
        where = ["--server", deployment.admin] if remote else ["--config", str(deployment.config)]
        env = {**deployment.env, "GATEWAY_TOKEN": deployment.token}
        code, out, error = await command.run([*arguments, *where], env)
        self.texts += [out.decode(), error.decode()]
        return code, out.decode(), error.decode()

    async def agree(self) -> None:
        """A person authorizes `ac` in a browser."""
        status, begun = await self.ask("POST", "/connections/ac/authorize", {})
        assert status == 201, begun
        status, page = await self.come_back(self.idp.browse(begun["url"]))
        assert (status, "Authorized" in page) == (200, True), page

    async def come_back(self, given: dict[str, str]) -> tuple[int, str]:
        """What the browser gets, which is logged in nowhere."""
        url = f"{self.deployment.admin}/api/gateway/oauth/callback"
        async with self.deployment.session.get(url, params=given) as response:
            text = await response.text()
            self.texts.append(text)
            return response.status, text


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    async with IdentityProvider() as idp, Upstream() as api:

        def reply(message: Message) -> bytes:
            sent = (message.get("authorization") or b"").decode().removeprefix("Bearer ")
            return answer(b"{}", "Content-Type: application/json", status=200 if sent in idp.access else 401)

        api.behaviour = each_request(reply)
        more = textwrap.dedent(CONNECTIONS)
        more = more.format(url=api.url, idp=idp.url, client=CLIENT, admin="http://127.0.0.1:1")
        deployment = Deployment(folder, more=more)
        deployment.env |= {"CLIENT_SECRET": SECRET}
        async with deployment:
            yield Scene(deployment, idp, api)


@pytest.mark.covers("ACT-14", "ACT-17", "ACT-18")
async def test_client_credentials_are_one_request_for_all_workers(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        assert (await made.status("cc"))["status"] == "not_issued"
        found = await asyncio.gather(*(made.call("get") for _ in range(40)))
        assert {(status, body["status"]) for status, body in found} == {(200, 200)}
        assert made.idp.issued == 1
        (asked,) = made.idp.asked
        assert asked == {"grant_type": "client_credentials", "scope": "read write", "audience": "https://api"}
        told = await made.status("cc")
        assert (told["status"], told["version"], told["has_grant"]) == ("ready", 1, True)
        assert 3500 < told["seconds_to_expiry"] <= 3600
        before = made.deployment.pids("worker")[0]
        os.kill(before, signal.SIGKILL)
        await made.until_replaced(before)
        found = await asyncio.gather(*(made.call("get") for _ in range(20)))
        assert {(status, body["status"]) for status, body in found} == {(200, 200)}
        assert made.idp.issued == 1, "a worker that is started again gets the token that there is"


@pytest.mark.covers("ACT-15", "ACT-18")
async def test_a_person_agrees_and_the_token_is_renewed(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        assert (await made.status("ac"))["status"] == "unbound"
        status, body = await made.call("mine")
        assert (status, body["code"]) == (502, "not_authorized")
        assert "gateway connection authorize ac" in body["message"]
        made.idp.lifetime = 2
        await made.agree()
        status, body = await made.call("mine")
        assert (status, body["status"]) == (200, 200)
        for version in (2, 3):
            await asyncio.sleep(1.1)  # the lifetime is the provider's: a real clock on both sides
            found = await asyncio.gather(*(made.call("mine") for _ in range(20)))
            assert {(status, body["status"]) for status, body in found} == {(200, 200)}
            await eventually(lambda version=version: made.idp.issued >= version, "a renewal", 10)
        assert not made.idp.grant_ended
        refreshes = [each for each in made.idp.asked if each["grant_type"] == "refresh_token"]
        assert len(refreshes) == len({each["refresh_token"] for each in refreshes}), "no refresh token is used twice"


async def test_a_state_is_used_once_and_only_by_the_login_that_began_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        _, begun = await made.ask("POST", "/connections/ac/authorize", {})
        back = made.idp.browse(begun["url"])
        for wrong in ({}, {**back, "state": "x" * 43}, {"state": back["state"][:-1], "code": "c"}):
            status, page = await made.come_back(wrong)
            assert (status, "unknown, was used before" in page) == (409, True)
        assert (await made.come_back(back))[0] == 200
        status, page = await made.come_back(back)
        assert (status, "unknown, was used before" in page) == (409, True), "a replay"
        assert len(made.idp.asked) == 1
        place = f"/connections/ac/authorize/{begun['id']}"
        assert (await made.ask("GET", place))[1]["status"] == "authorized"
        assert (await made.ask("GET", f"/connections/device/authorize/{begun['id']}"))[0] == 404
        _, other = await made.ask("POST", "/tokens", {"name": "other", "superuser": True})
        assert (await made.ask("GET", place, token=other["token"]))[0] == 404, "another credential"
        _, begun = await made.ask("POST", "/connections/ac/authorize", {}, token=other["token"])
        assert (await made.ask("DELETE", f"/tokens/{other['id']}"))[0] == 204
        status, page = await made.come_back(made.idp.browse(begun["url"]))
        assert (status, "has ended; log in" in page) == (400, True)
        _, begun = await made.ask("POST", "/connections/ac/authorize", {})
        state = made.idp.browse(begun["url"])["state"]
        status, page = await made.come_back({"state": state, "error": "<b>access_denied"})
        assert (status, "refuses" in page, "<b>access" in page) == (400, True, False)
        assert (await made.ask("GET", f"/connections/ac/authorize/{begun['id']}"))[1]["status"] == "failed"


@pytest.mark.covers("ACT-16")
async def test_a_person_types_a_code(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        waiting = asyncio.ensure_future(made.cli("connection", "authorize", "device"))
        await eventually(lambda: len(made.idp.asked) >= 2, "polls", 30)
        made.idp.user_agrees = True
        code, out, error = await waiting
        assert (code, error) == (0, "")
        assert f"Open in a browser: {made.idp.url}/activate\nand type there: AB-CD\n" in out
        assert out.endswith("trn:openact:default:connection/http/device@v1: authorized\n")
        assert (await made.call("typed"))[1]["status"] == 200
        code, out, _ = await made.cli("connection", "status", "device")
        assert (code, ": ready; calls can use it" in out) == (0, True)


async def test_a_command_on_the_same_database_authorizes_too(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        made.idp.user_agrees = True
        code, out, error = await made.cli("connection", "authorize", "device", remote=False)
        assert (code, error) == (0, ""), error
        assert (await made.comes_to("device", "ready"))["version"] == 1
        assert (await made.call("typed"))[1]["status"] == 200
        assert (await made.cli("action", "call", "typed", "--output", "status-only", remote=False))[1] == "200\n"
        assert made.idp.issued == 1, "the command used the token of the gateway"
        code, out, _ = await made.cli("connection", "status", "ac", remote=False)
        assert (code, "unbound; a person has to authorize it" in out) == (1, True)


async def test_a_401_renews_a_token_once_and_teaches_the_breaker_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        assert (await made.call("get"))[1]["status"] == 200
        made.idp.access.clear()
        for _ in range(4):
            status, body = await made.call("get")
            assert (status, body["status"]) == (200, 401), "the token is young: the next one would be refused too"
        assert len(made.idp.asked) == 1
        _, told = await made.ask("GET", f"/upstreams/{quote('connection/cc', safe='')}/explain")
        assert (told["verdict"], told["breaker"]["state"]) == ("admit", "closed")
        assert (told["token"]["status"], told["token"]["version"]) == ("ready", 1)


@pytest.mark.covers("ACT-18", "ACT-19")
async def test_a_revoked_grant_is_said_by_every_surface(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        made.idp.lifetime = 2
        await made.agree()
        made.idp.grant_ended = True
        found = await made.comes_to("ac", "expired")
        status, body = await made.call("mine")
        assert (status, body["code"]) == (502, "not_authorized")
        found = await made.comes_to("ac", "not_authorized")
        assert "invalid_grant" in found["message"]
        _, tested = await made.ask("POST", "/connections/ac/test", {})
        assert (tested["reached"], tested["code"], tested["token"]) == (False, "not_authorized", "not_authorized")
        code, out, _ = await made.cli("connection", "status", "ac")
        assert (code, "not_authorized; the authorization holds no longer" in out) == (1, True)
        code, out, _ = await made.cli("explain", "connection/ac")
        assert "access token: not_authorized, version 1" in out
        _, metrics = await made.ask("GET", "/metrics")
        assert 'gateway_connection_token_status{connection="connection/ac",status="not_authorized"} 1' in metrics
        assert 'gateway_token_refreshes_total{connection="connection/ac",outcome="refused"} 1' in metrics
        made.idp.lifetime = 3600
        await made.agree()
        assert (await made.call("mine"))[1]["status"] == 200
        code, out, _ = await made.cli("connection", "revoke", "ac")
        assert (code, "revoked at the provider" in out) == (0, True)
        assert made.idp.revoked == ["refresh_token", "access_token"]
        assert (await made.call("mine"))[1]["code"] == "not_authorized"


async def test_while_the_provider_is_away_live_tokens_go_on_and_it_heals_alone(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        made.idp.lifetime = 12
        assert (await made.call("get"))[1]["status"] == 200
        made.idp.away, made.idp.lifetime = answer(status=503), 3600
        found: dict[str, Any] = {"message": ""}
        async with asyncio.timeout(11):
            while "status 503" not in found["message"]:
                status, body = await made.call("get")
                assert (status, body["status"]) == (200, 200), "the live token goes on"
                found = await made.status("cc")
        assert (found["status"], found["version"]) == ("expiring_soon", 1)
        assert "calls still use the last token" in found["message"]
        assert found["asked_again_at"] is not None
        made.idp.away = b""
        assert (await made.comes_to("cc", "ready"))["version"] == 2, "without a call"


async def test_a_provider_that_is_away_does_not_cost_every_call_its_time(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        made.idp.plays = [answer(status=500)] * 3
        for _ in range(40):
            status, body = await made.call("get")
            assert (status, body["code"]) == (503, "token_unavailable")
            if body["retry_after"] > 5:
                break
            await asyncio.sleep(0.3)
        assert "left alone" in body["message"] or "status 500" in body["message"]
        asked = len(made.idp.asked)
        began = asyncio.get_running_loop().time()
        found = await asyncio.gather(*(made.call("get") for _ in range(50)))
        assert {body["code"] for _, body in found} == {"token_unavailable"}
        assert asyncio.get_running_loop().time() - began < 5
        assert len(made.idp.asked) == asked


async def test_no_planted_secret_stands_in_any_output(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        await made.agree()
        made.idp.user_agrees = True
        await made.cli("connection", "authorize", "device", "--json")
        made.idp.plays = [refused("invalid_client", 401)]
        for action in ("get", "get", "mine", "typed"):
            await made.call(action)
        for name in ("cc", "ac", "device"):
            await made.status(name)
            await made.ask("GET", f"/connections/{name}")
            await made.ask("GET", f"/upstreams/{quote(f'connection/{name}', safe='')}/explain")
            await made.ask("POST", f"/connections/{name}/test", {})
        for action in ("get", "mine"):
            await made.cli("action", "call", action, "--dry-run")
            await made.cli("action", "show", action)
        await made.ask("GET", "/metrics")
        await made.ask("GET", "/audit")
        await made.cli("export", "--json")
        made.texts += [made.deployment.log.read_text(), (tmp_path / "access.log").read_text()]
        database = b"".join(path.read_bytes() for path in tmp_path.glob("gateway.db*"))
        text = "\n".join(made.texts)
        verifiers = [each["code_verifier"] for each in made.idp.asked if "code_verifier" in each]
        assert verifiers
        for secret in (SECRET, "-planted", *verifiers):
            assert secret not in text, secret
            assert secret.encode() not in database, secret
