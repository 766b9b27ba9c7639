"""Trusted issuers, from real servers, over restarts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from harness.patience import GLANCE, eventually
from joserfc.jwk import KeySet, RSAKey

from gateway.config.schema.auth import Jwt
from gateway.control import issuers as issuers_module
from gateway.control.issuers import Issuers
from gateway.control.jwks import JwksCache
from gateway.control.key_file import KeyFile

FIRST, SECOND = (RSAKey.generate_key(2048, {"kid": kid}) for kid in ("first", "second"))
SHARED = Jwt(issuer="h", audience=("g",), algorithms=("HS256",), secret="s" * 32)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Issuer:
    """Publishes ``keys``; with an ``answer`` that is not set it hangs."""

    def __init__(self) -> None:
        self.keys = [FIRST]
        self.asked = 0
        self.answer = asyncio.Event()
        self.answer.set()

    async def publish(self, _: web.Request) -> web.Response:
        self.asked += 1
        await self.answer.wait()
        return web.Response(text=json.dumps(KeySet([*self.keys]).as_dict(private=False)))


@asynccontextmanager
async def serving(issuer: Issuer) -> AsyncIterator[Jwt]:
    app = web.Application()
    app.router.add_get("/keys", issuer.publish)
    async with TestServer(app) as server:
        url = str(server.make_url("/keys"))
        yield Jwt(issuer=url, audience=("g",), algorithms=("RS256",), jwks_url=url)
        issuer.answer.set()


@asynccontextmanager
async def following(
    issuers: Issuers, *trusted: Jwt, wanted: Callable[[], list[str]] = list
) -> AsyncIterator[list[tuple[str, ...]]]:
    """What was known at each change, by key ids."""
    changes: list[tuple[str, ...]] = []

    async def changed() -> None:
        changes.append(kids(issuers, *trusted))

    task = asyncio.create_task(issuers.follow(lambda: trusted, wanted, changed))
    yield changes
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await issuers.aclose()


def kids(issuers: Issuers, *trusted: Jwt) -> tuple[str, ...]:
    sets = [json.loads(issuer.keys)["keys"] if issuer.keys else [] for issuer in issuers.of(trusted)]
    return tuple(str(key["kid"]) for keys in sets for key in keys)


def test_a_shared_secret_needs_no_address() -> None:
    (made,) = Issuers().of([SHARED])
    assert (made.issuer, made.keys_url, json.loads(made.keys)["keys"][0]["kty"]) == ("h", "", "oct")


async def test_keys_are_fetched_and_a_missing_one_again() -> None:
    issuer, clock = Issuer(), Clock()
    wanted: list[str] = []

    def take() -> list[str]:
        taken, wanted[:] = [*wanted], []
        return taken

    async with serving(issuer) as jwt:
        issuers = Issuers(cache=JwksCache(clock))
        assert issuers.of([jwt])[0].keys == ""
        async with following(issuers, jwt, wanted=take) as changes:
            await eventually(lambda: changes == [("first",)], "the keys")
            issuer.keys = [FIRST, SECOND]
            wanted += ["https://not.trusted/keys", jwt.jwks_url or ""]
            await eventually(lambda: not wanted, "it was heard")
            assert issuer.asked == 1
            clock.now = 15.0
            await eventually(lambda: len(changes) == 2, "the keys again")
            assert changes[1] == ("first", "second")
            assert issuer.asked == 2


async def test_an_issuer_that_hangs_delays_no_other() -> None:
    slow, quick = Issuer(), Issuer()
    slow.answer.clear()
    async with serving(slow) as hanging, serving(quick) as jwt:
        issuers = Issuers()
        async with following(issuers, hanging, jwt) as changes:
            await eventually(lambda: changes == [("first",)], "the keys of the quick one")


@pytest.mark.parametrize("away", [False, True])
async def test_keys_outlive_a_restart(tmp_path: Path, away: bool) -> None:
    issuer = Issuer()
    file = KeyFile(tmp_path / "keys")
    async with serving(issuer) as jwt:
        async with following(Issuers(file), jwt):
            await eventually(file.path.exists, "the kept keys")
        if not away:
            again = Issuers(file)
            await again.restore()
            assert kids(again, jwt) == ("first",)
            issuer.keys = [SECOND]
            async with following(again, jwt) as changes:
                await eventually(lambda: changes == [("second",)], "the newer keys")
                await eventually(lambda: "second" in file.path.read_text(), "the newer keys, kept")
    if away:  # the server is gone
        again = Issuers(file)
        await again.restore()
        async with following(again, jwt) as changes:
            assert kids(again, jwt) == ("first",)
            await eventually(lambda: not again._cache.is_due(jwt.jwks_url or ""), "a fetch that failed")
            assert (kids(again, jwt), changes) == (("first",), [])


class Shelving:
    """A shelf that notes what is known to all when it is asked; it hangs while it ``lets`` nothing."""

    def __init__(self) -> None:
        self.saved: list[str] = []
        self.lets = asyncio.Event()

    async def load(self) -> dict[str, str]:
        return {}

    async def save(self, sets: Mapping[str, str]) -> bool:
        await self.lets.wait()
        self.saved += sets
        return True


async def test_new_keys_are_on_the_shelf_before_they_are_used() -> None:
    shelf = Shelving()
    async with serving(Issuer()) as jwt, following(Issuers(shelf), jwt) as changes:
        await asyncio.sleep(GLANCE)
        assert changes == []
        shelf.lets.set()
        await eventually(lambda: changes == [("first",)], "they are used")
        assert shelf.saved == [jwt.jwks_url]


async def test_a_shelf_that_hangs_does_not_keep_them_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuers_module, "PATIENCE", 0.01)
    shelf = Shelving()
    async with serving(Issuer()) as jwt, following(Issuers(shelf), jwt) as changes:
        await eventually(lambda: changes == [("first",)], "they are used")
        assert shelf.saved == []
        shelf.lets.set()
        await eventually(lambda: shelf.saved == [jwt.jwks_url], "they are saved all the same")
