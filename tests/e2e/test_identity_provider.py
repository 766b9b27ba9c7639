"""The grants of connections against a real identity provider (npm's oidc-provider), which rotates refresh tokens."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness import oidc, postgres
from sqlalchemy import update

from gateway.config.actions import AuthKind, OAuth
from gateway.config.grants import Grant
from gateway.core.grant import IssuedTokens, StoredGrant
from gateway.grants import flows
from gateway.grants.authorizer import Authorizer
from gateway.grants.broker import Broker
from gateway.grants.endpoint import TokenEndpoint
from gateway.grants.errors import ProviderRefusedError
from gateway.grants.provider import Provider
from gateway.ipc.tokens import AccessToken
from gateway.store import schema
from gateway.store.audit import Author
from gateway.store.keys import KeyRing
from gateway.store.store import Store
from gateway.store.tables import GRANTS

pytestmark = pytest.mark.timeout(120 + 30 * int(os.environ.get("GRANT_ROUNDS", "2")))

TRN = "trn:openact:default:connection/http/person@v1"
ROUNDS = int(os.environ.get("GRANT_ROUNDS", "2"))
PROCESSES, CALLERS = 4, 50
TESTS = Path(__file__).resolve().parents[1]


def grant(idp: oidc.Oidc, kind: AuthKind, client: str, **more: Any) -> Grant:
    made = OAuth(f"{idp.url}/token", client, oidc.SECRET if client != "device" else "", **more)
    return Grant(TRN, "connection/person", kind, made, "https://h")


def person(idp: oidc.Oidc) -> Grant:
    return grant(
        idp,
        "oauth2_authorization_code",
        "person",
        client_auth="body",
        scopes=("openid", "offline_access"),
        authorize_url=f"{idp.url}/auth",
        authorize_params={"prompt": "consent"},
        redirect_uri=oidc.CALLBACK,
        revoke_url=f"{idp.url}/token/revocation",
    )


async def push(tokens: Mapping[str, AccessToken]) -> None:
    pass


@asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    made = Provider(TokenEndpoint())
    yield made
    await made.aclose()


async def agreed(idp: oidc.Oidc, asked: Grant, use: Provider) -> IssuedTokens:
    """What a person who logs in and agrees gives."""
    verifier = flows.new_verifier()
    back = await idp.agree(flows.authorize_url(asked.oauth, "state-1", verifier))
    assert back["state"] == "state-1"
    return await use.redeem(asked.oauth, back["code"], verifier, time.time())


@pytest.mark.covers("ACT-14")
async def test_client_credentials() -> None:
    async with oidc.provider() as idp, provider() as use:
        asked = grant(idp, "oauth2_client_credentials", "robot", scopes=("read",))
        found = await use.next_tokens(asked, StoredGrant(TRN, "b"), 100.0)
        assert (bool(found.access), found.refresh, found.expires) == (True, "", 3700.0)
        wrong = replace(asked, oauth=replace(asked.oauth, client_secret="wrong"))
        with pytest.raises(ProviderRefusedError, match="invalid_client"):
            await use.next_tokens(wrong, StoredGrant(TRN, "b"), 100.0)


@pytest.mark.covers("ACT-15")
async def test_a_code_a_renewal_and_a_replay_that_ends_the_grant() -> None:
    async with oidc.provider() as idp, provider() as use:
        asked, verifier = person(idp), flows.new_verifier()
        back = await idp.agree(flows.authorize_url(asked.oauth, "s", verifier))
        first = await use.redeem(asked.oauth, back["code"], verifier, 100.0)
        stored = StoredGrant(TRN, "b", first.access, first.refresh)
        second = await use.next_tokens(asked, stored, 200.0)
        assert second.refresh
        assert second.refresh != first.refresh
        assert second.access != first.access
        assert (await idp.stats())["revoked"] == 0
        with pytest.raises(ProviderRefusedError, match="invalid_grant"):
            await use.redeem(asked.oauth, back["code"], verifier, 300.0)
        assert (await idp.stats())["revoked"] == 1, "why a state is used once"
        with pytest.raises(ProviderRefusedError) as caught:
            await use.next_tokens(asked, replace(stored, refresh=second.refresh), 400.0)
        assert caught.value.ends_grant


async def test_a_grant_is_revoked_at_the_provider() -> None:
    async with oidc.provider() as idp, provider() as use:
        asked = person(idp)
        tokens = await agreed(idp, asked, use)
        stored = StoredGrant(TRN, "b", tokens.access, tokens.refresh)
        await use.revoke(asked.oauth, stored)
        with pytest.raises(ProviderRefusedError, match="invalid_grant"):
            await use.next_tokens(asked, stored, 200.0)


@pytest.mark.covers("ACT-16")
async def test_a_device(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/gateway.db"
    await schema.upgrade(url)
    store = await Store.open(url, KeyRing.of("11" * 32))
    async with oidc.provider() as idp, provider() as use:
        asked = grant(
            idp,
            "oauth2_device",
            "device",
            client_auth="none",
            scopes=("openid", "offline_access"),
            device_url=f"{idp.url}/device/auth",
        )
        broker = Broker(store.grants, use.next_tokens, push)
        broker.configure({TRN: asked})
        now = time.time()
        authorizer = Authorizer(broker, use, store.grants, store.authorizations, store.tokens, clock=lambda: now)
        begun = await authorizer.begin(asked, Author("ann"))
        assert begun.user_code
        now += begun.poll_seconds
        looked = await authorizer.look(asked, begun.id)
        assert looked is not None
        assert (looked.status, (await idp.stats())["errors"]) == ("pending", ["authorization_pending"])
        await idp.type_code(begun.complete_url)
        now += begun.poll_seconds
        looked = await authorizer.look(asked, begun.id)
        assert looked is not None
        assert looked.status == "authorized"
        assert (await broker.get(TRN)).live(time.time())
        await broker.aclose()
    await store.aclose()


class Member:
    """A process of the fleet."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, database: str, asked: Grant) -> Member:
        command = [sys.executable, "-m", "harness.broker_process", database, msgspec.json.encode(asked).decode()]
        env = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=env)
        made = cls(process)
        assert (await made.said())["pid"] == process.pid
        return made

    def ask(self, callers: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{callers}\n".encode())

    async def said(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), 40)
        return dict(json.loads(line)) if line else {}

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


@pytest.fixture(scope="session")
def server() -> Any:
    yield from postgres.start()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/gateway.db"
    return str(request.getfixturevalue("server").database())


async def make_due(store: Store) -> None:
    """The token ends in a moment."""
    async with store._database.writing() as connection:
        now = time.time()
        await connection.execute(update(GRANTS).values(issued=now - 3590.0, expires=now + 10.0))


@pytest.mark.covers("ACT-17")
async def test_one_refresh_a_version_although_its_process_is_killed(database: str) -> None:
    """4 processes with 50 callers each: the one that asks the provider is killed, in each round."""
    await schema.upgrade(database)
    store = await Store.open(database, KeyRing.of("11" * 32))
    async with oidc.provider() as idp, provider() as use:
        asked = person(idp)
        await store.grants.put(TRN, asked.binding, await agreed(idp, asked, use), "ann")
        members = list(await asyncio.gather(*(Member.start(database, asked) for _ in range(PROCESSES))))
        try:
            for number in range(ROUNDS):
                await make_due(store)
                await idp.hold()
                for member in members:
                    member.ask(CALLERS)

                async def held(wanted: int = number + 1) -> bool:
                    return bool((await idp.stats())["held"] == wanted)

                async with asyncio.timeout(20):
                    while not await held():
                        pass
                leased = await store.grants.read(TRN)
                assert leased is not None
                holder = int(leased.holder.partition("-")[0])
                os.kill(holder, signal.SIGKILL)
                alive = [member for member in members if member.process.pid != holder]
                said = await asyncio.gather(*(member.said() for member in alive))
                assert len(alive) == PROCESSES - 1
                assert {tuple(each["versions"]) for each in said} == {(number + 2,)}
                assert len({token for each in said for token in each["tokens"]}) == 1
                assert not any(each["failures"] for each in said)
                stats = await idp.stats()
                assert (stats["refreshed"], stats["revoked"], stats["errors"]) == (number + 1, 0, [])
                assert stats["dropped"] == number + 1
                killed = next(member for member in members if member.process.pid == holder)
                await killed.end()
                members[members.index(killed)] = await Member.start(database, asked)
        finally:
            await asyncio.gather(*(member.end() for member in members))
    await store.aclose()
