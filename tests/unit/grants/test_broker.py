"""The broker with a provider and a clock that a test turns: who asks, how often, and what is known afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from gateway.config.actions import AuthKind, OAuth
from gateway.config.grants import Grant
from gateway.core.grant import IssuedTokens, StoredGrant
from gateway.grants.broker import Broker, Pace
from gateway.grants.errors import ProviderAwayError, ProviderRefusedError
from gateway.grants.memory import MemoryGrants
from gateway.ipc.tokens import AccessToken
from gateway.store.errors import StoreUnavailable

TRN = "trn:openact:default:connection/http/shop@v1"


def grant(kind: AuthKind = "oauth2_client_credentials", audience: str = "https://api") -> Grant:
    return Grant(TRN, "connection/shop", kind, OAuth("https://idp/token", "c"), audience)


class Scene:
    """``plays``: what the provider does next: an error, or seconds that its token lives. ``store``: of several."""

    def __init__(self, *plays: object, store: MemoryGrants | None = None, kind: AuthKind | None = None) -> None:
        self.now = 1000.0
        self.store = MemoryGrants() if store is None else store
        self.plays = list(plays)
        self.asked: list[StoredGrant] = []
        self.pushed: list[Mapping[str, AccessToken]] = []
        self.began = asyncio.Event()
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.broker = Broker(
            self.store, self.fetch, self.push, clock=lambda: self.now, sleep=self.sleep, later=self.later, pace=Pace()
        )
        self.broker.configure({TRN: grant() if kind is None else grant(kind)})

    async def fetch(self, wanted: Grant, stored: StoredGrant, now: float) -> IssuedTokens:
        self.asked.append(stored)
        self.began.set()
        play = self.plays.pop(0)
        await self.gate.wait()
        if isinstance(play, BaseException):
            raise play
        assert isinstance(play, float)
        number = len(self.asked)
        return IssuedTokens(f"token-{number}", f"refresh-{number}", now, now + play)

    async def push(self, tokens: Mapping[str, AccessToken]) -> None:
        self.pushed.append(tokens)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.now += seconds

    def later(self, seconds: float, ring: Callable[[], None]) -> asyncio.TimerHandle:
        self.due.append((seconds, ring))
        return asyncio.get_running_loop().call_later(3600.0, ring)

    async def agreed(self, life: float = 3600.0, refresh: str = "refresh-0") -> None:
        """A person has agreed."""
        bound = self.broker.grants[TRN].binding
        before = await self.store.read(TRN)
        version = 0 if before is None else before.version
        await self.store.lease(TRN, bound, "person", version, self.now, self.now)
        await self.store.settle(TRN, bound, version, IssuedTokens("token-0", refresh, self.now, self.now + life))
        await self.broker.reset(TRN)

    def status(self) -> str:
        return self.broker.token(TRN).status(self.now)

    def outcomes(self) -> dict[str, int]:
        return {outcome: count for (_, outcome), count in self.broker.outcomes.items()}


async def test_many_who_want_a_token_are_one_flight() -> None:
    scene = Scene(3600.0)
    scene.gate.clear()
    waiting = [asyncio.ensure_future(scene.broker.get(TRN)) for _ in range(50)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    scene.gate.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert {each.value for each in found[1:] if isinstance(each, AccessToken)} == {"token-1"}
    assert len(scene.asked) == 1
    assert scene.outcomes() == {"renewed": 1}
    assert scene.pushed[-1][TRN].value == "token-1"
    assert "refresh-1" not in repr(scene.pushed)


async def test_processes_of_one_store_ask_once() -> None:
    store = MemoryGrants()
    scenes = [Scene(3600.0, store=store) for _ in range(4)]
    found = await asyncio.gather(*(scene.broker.get(TRN) for scene in scenes for _ in range(50)))
    assert len({each.value for each in found}) == 1
    assert sum(len(scene.asked) for scene in scenes) == 1
    assert sum(scene.outcomes().get("renewed", 0) for scene in scenes) == 1
    assert sum(scene.outcomes().get("adopted", 0) for scene in scenes) == 3


async def test_the_lease_of_a_dead_process_ends() -> None:
    scene = Scene(3600.0)
    assert await scene.store.lease(TRN, grant().binding, "dead", 0, 1000.0, 1015.0)
    assert (await scene.broker.get(TRN)).value == "token-1"
    assert scene.now >= 1015.0


@pytest.mark.parametrize(("life", "renewed_at"), [(3600.0, 3540.0), (60.0, 30.0), (119.0, 59.5)])
async def test_a_token_is_renewed_before_its_end_and_not_for_each_call(life: float, renewed_at: float) -> None:
    scene = Scene(life, life)
    await scene.broker.get(TRN)
    scene.now = 1000.0 + renewed_at - 0.1
    await scene.broker.get(TRN)
    assert len(scene.asked) == 1
    scene.now = 1000.0 + renewed_at
    assert (await scene.broker.get(TRN)).version == 2
    assert len(scene.asked) == 2


async def test_a_version_that_is_refused_is_renewed_once() -> None:
    scene = Scene(3600.0, 3600.0, 3600.0)
    await scene.broker.get(TRN)
    assert (await scene.broker.get(TRN, refused=1)).version == 1, "it is young: the next one would be refused too"
    scene.now += 30.0
    found = await asyncio.gather(*(scene.broker.get(TRN, refused=1) for _ in range(20)))
    assert {each.version for each in found} == {2}
    assert (await scene.broker.get(TRN, refused=1)).version == 2
    assert len(scene.asked) == 2


async def test_a_late_refusal_of_a_used_refresh_token_is_not_believed() -> None:
    scene = Scene(ProviderRefusedError("invalid_grant"), kind="oauth2_authorization_code")
    await scene.agreed(life=10.0)
    scene.now += 9.0
    scene.gate.clear()
    flight = asyncio.ensure_future(scene.broker.get(TRN))
    await scene.began.wait()
    newer = IssuedTokens("token-other", "refresh-other", scene.now, scene.now + 3600.0)
    assert await scene.store.settle(TRN, grant("oauth2_authorization_code").binding, 1, newer), "by another process"
    scene.gate.set()
    assert (await flight).value == "token-other"
    assert (scene.status(), scene.outcomes()) == ("ready", {"adopted": 1})


async def test_a_result_is_kept_although_the_lease_went_to_another() -> None:
    """Its refresh token is the only one that the provider still takes."""
    scene = Scene(3600.0, kind="oauth2_authorization_code")
    await scene.agreed(life=10.0)
    scene.now += 9.0
    scene.gate.clear()
    flight = asyncio.ensure_future(scene.broker.get(TRN))
    await scene.began.wait()
    bound = grant("oauth2_authorization_code").binding
    assert await scene.store.lease(TRN, bound, "other", 1, scene.now + 20.0, scene.now + 40.0)
    scene.gate.set()
    assert (await flight).version == 2
    kept = await scene.store.read(TRN)
    assert kept is not None
    assert (kept.refresh, kept.version) == ("refresh-1", 2)


async def test_a_grant_that_was_revoked_needs_a_person_again() -> None:
    scene = Scene(ProviderRefusedError("invalid_grant"), 3600.0, kind="oauth2_authorization_code")
    await scene.agreed(life=100.0)
    assert scene.status() == "expiring_soon"
    scene.now += 60.0
    token = await scene.broker.get(TRN)
    assert (token.status(scene.now), token.live(scene.now), token.failure) == ("not_authorized", True, "not_authorized")
    assert "gateway connection authorize shop" in token.details
    scene.now += 100.0
    for _ in range(3):
        scene.now += 3.0
        await scene.broker.get(TRN)
    assert len(scene.asked) == 1, "the provider is not asked with a refresh token that it has refused"
    await scene.agreed()
    assert (scene.status(), scene.broker.token(TRN).failure) == ("ready", "")


async def test_without_a_person_there_is_no_token() -> None:
    scene = Scene(kind="oauth2_device")
    assert scene.status() == "unbound"
    token = await scene.broker.get(TRN)
    assert (token.failure, token.status(scene.now)) == ("not_authorized", "unbound")
    assert scene.asked == []
    assert len(scene.pushed) == 1
    await scene.broker.get(TRN)
    assert len(scene.pushed) == 1, "it is said at once, and looked at again after two seconds"
    scene.now += 2.0
    await scene.broker.get(TRN)
    assert len(scene.pushed) == 2


async def test_a_token_that_cannot_be_renewed_is_used_to_its_end() -> None:
    scene = Scene(kind="oauth2_authorization_code")
    await scene.agreed(life=100.0, refresh="")
    scene.now += 99.0
    assert (await scene.broker.get(TRN)).live(scene.now)
    scene.now += 1.0
    token = await scene.broker.get(TRN)
    assert (token.status(scene.now), token.failure) == ("not_authorized", "not_authorized")
    assert scene.asked == []


@pytest.mark.parametrize("error", ["invalid_client", "invalid_scope", "unsupported_grant_type"])
async def test_a_wrong_configuration_is_said_and_holds_no_grant_back(error: str) -> None:
    scene = Scene(ProviderRefusedError(error), 3600.0, kind="oauth2_authorization_code")
    await scene.agreed(life=10.0)
    scene.now += 20.0
    token = await scene.broker.get(TRN)
    assert (token.status(scene.now), token.failure) == ("misconfigured", "not_authorized")
    assert error in token.details
    scene.now += 29.0
    await scene.broker.get(TRN)
    assert len(scene.asked) == 1
    scene.now += 1.0
    assert (await scene.broker.get(TRN)).status(scene.now) == "ready"


async def test_a_changed_configuration_is_tried_at_once() -> None:
    scene = Scene(ProviderRefusedError("invalid_client"), 3600.0)
    await scene.broker.get(TRN)
    assert scene.status() == "misconfigured"
    changed = grant()
    scene.broker.configure({TRN: replace(changed, oauth=replace(changed.oauth, client_secret="right"))})
    assert (await scene.broker.get(TRN)).status(scene.now) == "ready"


async def test_live_tokens_go_on_while_the_provider_is_away_and_all_heals_alone() -> None:
    scene = Scene(100.0, ProviderAwayError("no connection"), 3600.0)
    await scene.broker.get(TRN)
    scene.now += 60.0
    token = await scene.broker.get(TRN)
    assert (token.value, token.status(scene.now), token.failure) == ("token-1", "expiring_soon", "token_unavailable")
    assert token.details == "no connection"
    assert token.until == scene.now + 1.0
    (seconds, ring), *_ = scene.due
    scene.now += seconds
    ring()
    await scene.broker._flights[TRN]
    assert (scene.status(), scene.pushed[-1][TRN].value) == ("ready", "token-3")
    assert scene.outcomes() == {"renewed": 2, "unavailable": 1}
    await scene.broker.aclose()


async def test_a_provider_that_says_when_is_not_asked_before() -> None:
    scene = Scene(ProviderAwayError("busy", 20.0), 3600.0)
    assert (await scene.broker.get(TRN)).until == 1020.0
    scene.now += 19.0
    await scene.broker.get(TRN)
    assert len(scene.asked) == 1
    await scene.broker.aclose()
    assert scene.broker._timers == {}


async def test_a_database_that_is_away_is_no_end() -> None:
    scene = Scene(3600.0)
    read = scene.store.read

    async def away(connection: str) -> StoredGrant | None:
        raise StoreUnavailable("away")

    scene.store.read = away  # type: ignore[method-assign]
    token = await scene.broker.get(TRN)
    assert (token.failure, token.details) == ("token_unavailable", "the database is away (StoreUnavailable)")
    scene.store.read = read  # type: ignore[method-assign]
    scene.now += 1.0
    assert (await scene.broker.get(TRN)).value == "token-1"
    await scene.broker.aclose()


async def test_a_fault_of_the_gateway_is_an_answer_too(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(ModuleNotFoundError("no module"), ModuleNotFoundError("no module"), 3600.0)
    token = await scene.broker.get(TRN)
    details = "no token because of a fault in the gateway (ModuleNotFoundError); see its log"
    assert (token.failure, token.details, token.until) == ("token_unavailable", details, scene.now + 1.0)
    assert scene.pushed[-1][TRN] == token
    scene.now += 1.0
    assert (await scene.broker.get(TRN)).details == details
    assert [record.exc_info is not None for record in caplog.records] == [True, False]  # each of them once
    scene.now += 1.0
    assert (await scene.broker.get(TRN)).value == "token-3"
    assert scene.outcomes() == {"unavailable": 2, "renewed": 1}
    await scene.broker.aclose()


async def test_what_other_processes_did_is_found_and_pushed() -> None:
    store = MemoryGrants()
    here, there = Scene(store=store), Scene(3600.0, store=store)
    await here.broker.refresh()
    await there.broker.get(TRN)
    await here.broker.refresh()
    assert here.pushed[-1][TRN].value == "token-1"
    pushes = len(here.pushed)
    await here.broker.refresh()
    assert len(here.pushed) == pushes, "nothing has changed"


async def test_tokens_of_another_destination_are_not_used() -> None:
    store = MemoryGrants()
    scene = Scene(3600.0, 3600.0, store=store)
    await scene.broker.get(TRN)
    scene.broker.configure({TRN: grant(audience="https://elsewhere")})
    assert scene.status() == "not_issued"
    await scene.broker.refresh()
    assert scene.broker.token(TRN).value == ""
    assert (await scene.broker.get(TRN)).value == "token-2"
    assert scene.asked[-1].access == scene.asked[-1].refresh == ""


async def test_a_flight_of_a_connection_that_is_gone_changes_nothing() -> None:
    scene = Scene(3600.0)
    scene.gate.clear()
    flight = asyncio.ensure_future(scene.broker.get(TRN))
    await scene.began.wait()
    scene.broker.configure({})
    scene.gate.set()
    with pytest.raises(KeyError):
        await flight
    assert scene.pushed[-1] == {}
    scene.broker.want([(TRN, 0)])
    assert scene.broker._flights == {}


async def test_a_token_that_comes_after_a_change_of_the_destination_does_not_go_there() -> None:
    scene = Scene(3600.0, 3600.0)
    scene.gate.clear()
    flight = asyncio.ensure_future(scene.broker.get(TRN))
    await scene.began.wait()
    await scene.broker.serve({TRN: grant(audience="https://elsewhere")})
    scene.gate.set()
    assert (await flight).value == ""
    assert all(each[TRN].value == "" for each in scene.pushed)
    assert scene.status() == "not_issued"
    assert (await scene.broker.get(TRN)).value == "token-2"


@pytest.mark.parametrize("failure", [ProviderRefusedError("invalid_client"), ProviderAwayError("away", 60.0)])
async def test_a_failure_that_comes_after_a_change_says_nothing_about_it(failure: Exception) -> None:
    scene = Scene(failure, 3600.0)
    scene.gate.clear()
    flight = asyncio.ensure_future(scene.broker.get(TRN))
    await scene.began.wait()
    changed = replace(grant(), oauth=replace(grant().oauth, client_secret="right"))
    await scene.broker.serve({TRN: changed})
    scene.gate.set()
    assert (await flight).status(scene.now) == "not_issued"
    assert scene.due == []
    assert (await scene.broker.get(TRN)).value == "token-2"


async def test_the_end_gives_the_lease_back() -> None:
    scene = Scene(3600.0)
    scene.gate.clear()
    flight = asyncio.ensure_future(scene.broker.get(TRN))
    await scene.began.wait()
    scene.broker._flights[TRN].cancel()
    await asyncio.wait({flight})
    kept = await scene.store.read(TRN)
    assert kept is not None
    assert (kept.holder, kept.error) == ("", "")
    await scene.broker.aclose()


async def test_it_follows_while_there_are_connections() -> None:
    scene = Scene()
    looks = 0

    async def versions() -> Mapping[str, tuple[int, str]]:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise asyncio.CancelledError
        return {}

    scene.store.versions = versions  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await scene.broker.follow()
    assert scene.now == 1004.0
