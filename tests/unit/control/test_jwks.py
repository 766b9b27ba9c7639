"""Key sets of issuers, from a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from harness.answers import answer, each_request
from harness.upstream import Upstream
from joserfc.jwk import KeySet, RSAKey

from gateway.config.networks import Destinations
from gateway.config.records import UpstreamNetworks
from gateway.control.jwks import JwksCache, shared_key_set

KEYS = KeySet([RSAKey.generate_key(2048, {"kid": "r1"})]).as_dict(private=False)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Issuer:
    """Answers with ``text``."""

    def __init__(self) -> None:
        self.text = json.dumps(KEYS)
        self.status = 200
        self.asked = 0

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        return web.Response(text=self.text, status=self.status)


@pytest.fixture
async def issuer() -> AsyncIterator[tuple[Issuer, str]]:
    made, app = Issuer(), web.Application()
    app.router.add_get("/keys", made.answer)
    async with TestServer(app) as server:
        yield made, str(server.make_url("/keys"))


@pytest.fixture
async def cache() -> AsyncIterator[JwksCache]:
    clock = Clock()
    made = JwksCache(clock)
    made.clock = clock  # type: ignore[attr-defined]
    yield made
    await made.aclose()


async def test_one_fetch_serves_all_who_ask(issuer: tuple[Issuer, str], cache: JwksCache) -> None:
    server, url = issuer
    answers = await asyncio.gather(*(cache.get(url) for _ in range(20)))
    assert server.asked == 1
    assert json.loads(answers[0])["keys"][0]["kid"] == "r1"


async def test_old_keys_are_fetched_again(issuer: tuple[Issuer, str], cache: JwksCache) -> None:
    server, url = issuer
    await cache.get(url)
    assert not cache.is_due(url)
    cache._clock.now = 300.0  # type: ignore[attr-defined]
    assert cache.is_due(url)
    await cache.get(url)
    assert server.asked == 2


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (500, ""),
        (302, ""),
        (200, "no json"),
        (200, "[]"),
        (200, '{"keys": 1}'),
        (200, '{"keys": [1, {"kty": "RSA"}]}'),
        (200, "[" * 100_000),
        (200, '{"a":"' + "x" * (1 << 20) + '"}'),
    ],
)
async def test_the_last_good_keys_stay(issuer: tuple[Issuer, str], cache: JwksCache, status: int, text: str) -> None:
    server, url = issuer
    good = await cache.get(url)
    server.status, server.text = status, text
    cache._clock.now = 300.0  # type: ignore[attr-defined]
    assert await cache.get(url) == good


async def test_an_issuer_that_is_away_has_no_keys(cache: JwksCache) -> None:
    assert await cache.get("http://127.0.0.1:1/keys") == ""


async def test_keys_at_a_denied_address_are_not_fetched(
    issuer: tuple[Issuer, str], caplog: pytest.LogCaptureFixture
) -> None:
    server, url = issuer
    now = [Destinations()]
    cache = JwksCache(Clock(), lambda: now[0])
    good = await cache.get(url)
    now[0] = Destinations(UpstreamNetworks(deny=("127.0.0.0/8",)))
    cache._clock.now = 300.0  # type: ignore[attr-defined]
    assert await cache.get(url) == good, "what is known stays"
    assert server.asked == 1
    assert "could not be fetched (the address is denied by upstream_networks)" in caplog.text
    await cache.aclose()


async def test_keys_are_asked_for_through_the_forward_proxy_of_the_environment(
    cache: JwksCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Upstream(each_request(lambda _: answer(status=503))) as proxy:
        monkeypatch.setenv("https_proxy", f"http://me:pass@127.0.0.1:{proxy.port}")
        assert await cache.get("https://idp.example/keys") == ""
        monkeypatch.setenv("no_proxy", "other.invalid")
        assert await cache.get("https://other.invalid/keys") == ""
    (seen,) = proxy.requests
    assert (seen.target, seen.get("proxy-authorization")) == (b"idp.example:443", b"Basic bWU6cGFzcw==")


async def test_a_shared_key_in_a_published_set_is_dropped(issuer: tuple[Issuer, str], cache: JwksCache) -> None:
    server, url = issuer
    server.text = json.dumps({"keys": [*KEYS["keys"], {"kty": "oct", "k": "AAAA"}]})
    assert [key["kty"] for key in json.loads(await cache.get(url))["keys"]] == ["RSA"]


GOOD = KEYS["keys"][0]


@pytest.mark.parametrize(
    "strange",
    [
        1,
        {},
        {"kty": ["RSA"]},
        {"kty": "new"},
        {"kty": "RSA"},
        {"kty": "RSA", "n": "AQ", "e": "AQAB"},
        {"kty": "EC", "crv": "P-999", "x": "a", "y": "b"},
        {**GOOD, "n": "!"},
        {**GOOD, "kid": 7},
    ],
    ids=range(9),  # the keys are new each time: as names they would differ between test processes
)
async def test_a_key_that_can_not_be_read_takes_no_other_along(
    issuer: tuple[Issuer, str], cache: JwksCache, strange: object, caplog: pytest.LogCaptureFixture
) -> None:
    """RFC 7517 5."""
    server, url = issuer
    server.text = json.dumps({"keys": [strange, GOOD]})
    assert [key["kid"] for key in json.loads(await cache.get(url))["keys"]] == ["r1"]
    assert f"1 of the keys of {url}" in caplog.text


async def test_the_private_half_of_a_published_key_goes_no_further(
    issuer: tuple[Issuer, str], cache: JwksCache
) -> None:
    server, url = issuer
    server.text = json.dumps({"keys": [RSAKey.generate_key(2048, {"kid": "r2", "use": "sig"}).as_dict(private=True)]})
    [key] = json.loads(await cache.get(url))["keys"]
    assert key.keys() == {"kty", "n", "e", "kid", "use"}


async def test_an_issuer_may_take_all_its_keys_back(issuer: tuple[Issuer, str], cache: JwksCache) -> None:
    server, url = issuer
    await cache.get(url)
    server.text = '{"keys": []}'
    cache._clock.now = 300.0  # type: ignore[attr-defined]
    assert json.loads(await cache.get(url)) == {"keys": []}


def test_a_shared_secret_is_a_key_set() -> None:
    assert json.loads(shared_key_set("s" * 32))["keys"][0]["kty"] == "oct"


async def test_a_missing_key_has_the_set_fetched_once_and_not_too_soon(
    issuer: tuple[Issuer, str], cache: JwksCache
) -> None:
    server, url = issuer
    clock = cache._clock
    await cache.get(url)
    for asked_at, due_at in ((1.0, 15.0), (20.0, 30.0), (50.0, 50.0)):
        clock.now = asked_at  # type: ignore[attr-defined]
        for _ in range(100):
            cache.want(url)
        clock.now = due_at - 0.1  # type: ignore[attr-defined]
        assert not cache.is_due(url) or asked_at == due_at
        clock.now = due_at  # type: ignore[attr-defined]
        before = server.asked
        await asyncio.gather(*(cache.get(url) for _ in range(10)))
        assert server.asked == before + 1
    cache.want("https://never.fetched/keys")
    assert cache.is_due("https://never.fetched/keys")


async def test_kept_keys_serve_until_the_issuer_answers(issuer: tuple[Issuer, str], cache: JwksCache) -> None:
    server, url = issuer
    old = json.dumps(KeySet([RSAKey.generate_key(2048, {"kid": "old"})]).as_dict(private=False))
    cache.restore({url: old, "https://b/keys": "no json", "https://c/keys": '{"keys": [{"kty": "oct", "k": "AAAA"}]}'})
    assert json.loads(cache.known(url))["keys"][0]["kid"] == "old"
    assert (cache.known("https://b/keys"), cache.known("https://c/keys")) == ("", "")
    server.status = 500
    assert json.loads(await cache.get(url))["keys"][0]["kid"] == "old"
    server.status = 200
    cache._clock.now = 300.0  # type: ignore[attr-defined]
    assert json.loads(await cache.get(url))["keys"][0]["kid"] == "r1"
    cache.restore({url: old})
    assert json.loads(cache.known(url))["keys"][0]["kid"] == "r1"
