"""Authorizations on a real database, with the scripted provider and a clock that the test turns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from harness.answers import answer
from harness.identity_provider import CLIENT, SECRET, IdentityProvider, refused

from gateway.config.actions import OAuth
from gateway.config.grants import Grant
from gateway.core.grant import IssuedTokens
from gateway.grants.authorizer import Authorizer, Begun
from gateway.grants.broker import Broker
from gateway.grants.endpoint import TokenEndpoint
from gateway.grants.errors import GrantError, ProviderAwayError
from gateway.grants.provider import Provider
from gateway.ipc.tokens import AccessToken
from gateway.store import schema
from gateway.store.audit import Author
from gateway.store.authorizations import AuthorizationRepository
from gateway.store.keys import KeyRing
from gateway.store.store import Store

CODE, DEVICE = "trn:openact:t:connection/http/code@v1", "trn:openact:t:connection/http/device@v1"
ANN = Author("ann", "192.0.2.7", "")


class Credentials:
    """All are good, or none."""

    def __init__(self) -> None:
        self.all_good = True

    async def good(self, id: str, now: float) -> bool:  # noqa: A002
        return self.all_good


class Scene:
    def __init__(self, store: Store, idp: IdentityProvider) -> None:
        self.now = 1000.0
        self.store = store
        self.idp = idp
        base = OAuth(f"{idp.url}/token", CLIENT, SECRET, revoke_url=f"{idp.url}/revoke")
        code = replace(base, authorize_url=f"{idp.url}/a", redirect_uri="https://g")
        device = replace(base, device_url=f"{idp.url}/device")
        self.grants = {
            CODE: Grant(CODE, "connection/code", "oauth2_authorization_code", code, "https://h"),
            DEVICE: Grant(DEVICE, "connection/device", "oauth2_device", device, "https://h"),
        }
        self.provider = Provider(TokenEndpoint())
        self.broker = Broker(store.grants, self.provider.next_tokens, self.push, clock=self.clock)
        self.broker.configure(self.grants)
        self.pushed: Mapping[str, AccessToken] = {}
        self.credentials = Credentials()
        parts = self.broker, self.provider, store.grants, store.authorizations, self.credentials
        self.authorizer = Authorizer(*parts, clock=self.clock)

    def clock(self) -> float:
        return self.now

    async def push(self, tokens: Mapping[str, AccessToken]) -> None:
        self.pushed = tokens

    async def begin(self, trn: str = CODE, author: Author = ANN) -> Begun:
        return await self.authorizer.begin(self.grants[trn], author)

    async def look(self, begun: Begun, trn: str = DEVICE) -> tuple[str, str]:
        found = await self.authorizer.look(self.grants[trn], begun.id)
        assert found is not None
        return found.status, found.message


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    url = f"sqlite:///{tmp_path}/gateway.db"
    await schema.upgrade(url)
    store = await Store.open(url, KeyRing.of("11" * 32))
    async with IdentityProvider() as idp:
        made = Scene(store, idp)
        yield made
        await made.broker.aclose()
        await made.provider.aclose()
    await store.aclose()


async def test_a_code_becomes_a_grant_of_who_began_it(scene: Scene) -> None:
    begun = await scene.begin()
    assert (begun.kind, begun.user_code, begun.expires) == ("code", "", 1600.0)
    assert "state=" not in repr(begun)
    back = scene.idp.browse(begun.url)
    found, failure = await scene.authorizer.redeem(back["state"], back["code"], "")
    assert (found.connection, failure) == (CODE, "")
    kept = await scene.store.grants.read(CODE)
    assert kept is not None
    assert (kept.author, kept.version, kept.access in scene.idp.access) == ("ann", 1, True)
    assert scene.pushed[CODE].value == kept.access
    assert await scene.look(begun, CODE) == ("authorized", "")
    with pytest.raises(GrantError, match="used before"):
        await scene.authorizer.redeem(back["state"], back["code"], "")
    assert scene.idp.issued == 1


@pytest.mark.parametrize("state", ["", "x", "x" * 10_000])
async def test_an_unknown_state_is_refused(scene: Scene, state: str) -> None:
    await scene.begin()
    with pytest.raises(GrantError, match="unknown"):
        await scene.authorizer.redeem(state, "code", "")
    assert scene.idp.asked == []


async def test_an_old_state_is_refused(scene: Scene) -> None:
    begun = await scene.begin()
    back = scene.idp.browse(begun.url)
    scene.now = 1600.0
    with pytest.raises(GrantError, match="too old"):
        await scene.authorizer.redeem(back["state"], back["code"], "")
    assert await scene.look(begun, CODE) == ("failed", "no one agreed in time; begin it again")


@pytest.mark.parametrize(
    ("code", "error", "why"),
    [
        ("", "access_denied", "the identity provider refuses: access_denied"),
        ("", "", "the provider has sent no code; begin it again"),
        ("x" * 5000, "", "the provider has sent no code; begin it again"),
        ("forged", "", "the identity provider refuses: invalid_grant"),
    ],
)
async def test_what_the_browser_brings_back_may_be_a_failure(scene: Scene, code: str, error: str, why: str) -> None:
    begun = await scene.begin()
    state = scene.idp.browse(begun.url)["state"]
    assert (await scene.authorizer.redeem(state, code, error))[1] == why
    assert await scene.look(begun, CODE) == ("failed", why)
    assert await scene.store.grants.read(CODE) is None


async def test_the_login_that_began_it_must_still_be_good(scene: Scene) -> None:
    begun = await scene.begin(author=Author("ann", "", "login-1"))
    back = scene.idp.browse(begun.url)
    scene.credentials.all_good = False
    assert "has ended" in (await scene.authorizer.redeem(back["state"], back["code"], ""))[1]
    assert scene.idp.asked == []


async def test_a_connection_that_was_changed_meanwhile_gets_nothing(scene: Scene) -> None:
    begun = await scene.begin()
    waits = await scene.begin(DEVICE)
    back = scene.idp.browse(begun.url)
    scene.broker.configure({trn: replace(each, audience="https://evil") for trn, each in scene.grants.items()})
    assert "was changed meanwhile" in (await scene.authorizer.redeem(back["state"], back["code"], ""))[1]
    scene.now += 1.0
    assert await scene.look(waits) == ("failed", "the connection was changed meanwhile; begin it again")
    assert scene.idp.asked == []


async def test_a_device_is_asked_about_as_often_as_the_provider_permits(scene: Scene) -> None:
    begun = await scene.begin(DEVICE)
    assert (begun.kind, begun.user_code, begun.poll_seconds) == ("device", "AB-CD", 1.0)
    for now, asked in ((1000.9, 0), (1001.0, 1), (1001.9, 1), (1002.0, 2)):
        scene.now = now
        assert await scene.look(begun) == ("pending", "")
        assert len(scene.idp.asked) == asked
    scene.idp.plays = [refused("slow_down"), answer(status=500)]
    scene.now = 1003.0
    assert await scene.look(begun) == ("pending", "")
    scene.now = 1008.9
    assert await scene.look(begun) == ("pending", "")
    assert len(scene.idp.asked) == 3
    scene.now = 1009.0
    assert await scene.look(begun) == ("pending", ""), "the provider was away"
    scene.idp.user_agrees = True
    scene.now = 1015.0
    assert await scene.look(begun) == ("authorized", "")
    assert scene.pushed[DEVICE].value in scene.idp.access
    asked_ = len(scene.idp.asked)
    scene.now = 1030.0
    await scene.look(begun)
    assert len(scene.idp.asked) == asked_


async def test_a_device_that_is_refused_or_forgotten_ends(scene: Scene) -> None:
    begun = await scene.begin(DEVICE)
    scene.idp.plays = [refused("access_denied")]
    scene.now = 1001.0
    assert await scene.look(begun) == ("failed", "the identity provider refuses: access_denied")
    begun = await scene.begin(DEVICE)
    scene.now += 600.0
    assert (await scene.look(begun))[0] == "failed"
    assert await scene.authorizer.look(scene.grants[CODE], begun.id) is None, "of another connection"
    assert await scene.authorizer.look(scene.grants[CODE], "none") is None
    async with IdentityProvider() as gone:
        away = replace(scene.grants[DEVICE], oauth=replace(scene.grants[DEVICE].oauth, device_url=f"{gone.url}/device"))
    with pytest.raises(ProviderAwayError):
        await scene.authorizer.begin(away, ANN)


async def test_an_access_token_that_is_not_revoked_is_said(scene: Scene) -> None:
    back = scene.idp.browse((await scene.begin()).url)
    assert (await scene.authorizer.redeem(back["state"], back["code"], ""))[1] == ""
    scene.idp.not_revoked = {"access_token"}
    assert "but for its access token, which ends by itself" in await scene.authorizer.revoke(scene.grants[CODE], ANN)


@pytest.mark.parametrize("connection", [CODE, DEVICE])
async def test_what_a_person_agrees_to_for_a_deleted_connection_is_not_kept(scene: Scene, connection: str) -> None:
    """The provider is asked already when the connection is deleted, perhaps by another process."""
    begun = await scene.begin(connection)

    async def deleted(*_: object) -> IssuedTokens:
        async with scene.store._database.writing() as transaction:
            await AuthorizationRepository.remove_in(transaction, connection)
        return IssuedTokens("access", "refresh", 1.0, 2.0)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(scene.provider, "redeem", deleted)
        patched.setattr(scene.provider, "poll_device", deleted)
        if connection == CODE:
            back = scene.idp.browse(begun.url)
            assert "was deleted meanwhile" in (await scene.authorizer.redeem(back["state"], back["code"], ""))[1]
        else:
            scene.now += begun.poll_seconds
            assert await scene.authorizer.look(scene.grants[connection], begun.id) is None
    assert await scene.store.grants.read(connection) is None


async def test_a_grant_is_forgotten_and_revoked(scene: Scene) -> None:
    grant = scene.grants[CODE]
    with pytest.raises(GrantError, match="no grant to revoke"):
        await scene.authorizer.revoke(grant, ANN)
    elsewhere = "http://127.0.0.1:1/revoke"  # must not get a refresh token
    for changed, why, revoked in (
        (grant, "revoked at the provider", 2),
        (replace(grant, oauth=replace(grant.oauth, revoke_url="")), "there is no revoke_url", 2),
        (replace(grant, oauth=replace(grant.oauth, client_secret="old")), "could not be revoked", 2),
        (replace(grant, oauth=replace(grant.oauth, revoke_url=elsewhere)), "was changed since", 2),
    ):
        back = scene.idp.browse((await scene.begin()).url)
        assert (await scene.authorizer.redeem(back["state"], back["code"], ""))[1] == ""
        assert why in await scene.authorizer.revoke(changed, ANN)
        assert len(scene.idp.revoked) == revoked
        assert await scene.store.grants.read(CODE) is None
        assert scene.pushed[CODE].value == ""
