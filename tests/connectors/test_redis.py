"""The connector `redis` on a real Valkey: what it returns and rejects, and how it behaves under the protections."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from harness import valkey
from harness.calling import Calling
from harness.patience import eventually

ACTIONS = """
actions:
  put: {connection: cache, read_only: false, command: [SET, "user:{id}", "{value}"]}
  value: {connection: cache, command: [GET, "user:{id}"]}
  raw: {connection: cache, command: [GET, "user:{id}"], decode: base64}
  parsed: {connection: cache, command: [GET, "user:{id}"], decode: json}
  several: {connection: cache, command: [MGET, "{keys...}"]}
  fields: {connection: cache, command: [HGETALL, "{key}"]}
  set-fields: {connection: cache, read_only: false, command: [HSET, "{key}", "{pairs...}"]}
  push: {connection: cache, read_only: false, command: [RPUSH, "{key}", "{values...}"]}
  range: {connection: cache, command: [LRANGE, "{key}", "0", "{last}"]}
  remove: {connection: cache, read_only: false, command: [DEL, "{key}"]}
  hurried: {connection: cache, timeout_ms: 200, command: [GET, "user:{id}"]}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[valkey.Valkey]:
    yield from valkey.start()


def calling(server: valkey.Valkey, *, password: str = valkey.PASSWORD, **keys: object) -> Calling:
    auth = '{type: basic, username: "", password: "${PASSWORD}"}'
    more = "".join(f", {key}: {value}" for key, value in keys.items())
    connection = f"{{kind: redis, url: '{server.url}/1', auth: {auth}, retry: once{more}}}"
    return Calling(f"connections: {{cache: {connection}}}\n{ACTIONS}", {"PASSWORD": password})


@pytest.mark.covers("ACT-36")
async def test_commands_with_values_in_their_arguments(server: valkey.Valkey) -> None:
    async with calling(server) as make:
        assert await make.test("cache") == ""
        assert await make.body("value", id=1) is None
        hostile = "x\r\nFLUSHALL\r\n*1\r\n"
        assert await make.body("put", id=hostile, value="tea é") == "OK"
        assert await make.body("value", id=hostile) == "tea é"
        await make.body("put", id=2, value='{"a": [1, null]}')
        assert await make.body("parsed", id=2) == {"a": [1, None]}
        assert await make.body("raw", id=2) == "eyJhIjogWzEsIG51bGxdfQ=="
        assert await make.body("several", keys=[f"user:{hostile}", "user:3"]) == ["tea é", None]
        await make.body("remove", key="h")
        assert await make.body("set-fields", key="h", pairs=["a", 1, "b", "two"]) == 2
        assert await make.body("fields", key="h") == {"a": "1", "b": "two"}
        assert make.upstream.limiter.in_flight == 0


async def test_what_the_server_rejects_is_a_response(server: valkey.Valkey) -> None:
    async with calling(server, circuit_breaker="{enabled: true, failure_threshold: 1}") as make:
        await make.body("put", id="w", value="not JSON")
        wrong = await make("fields", key="user:w")
        assert (wrong["status"], b'"code":"WRONGTYPE"' in wrong["body"]) == (400, True)
        assert (await make("parsed", id="w"))["status"] == 422
        assert (await make("several", keys="user:w"))["status"] == 400
        assert await make.body("value", id="w") == "not JSON"
        assert make.upstream.gate.state.word == "closed"


@pytest.mark.covers("ACT-36")
async def test_a_long_list_does_not_come_into_memory(server: valkey.Valkey) -> None:
    async with calling(server, max_response_bytes=100_000) as make:
        await make.body("remove", key="long")
        for _ in range(20):
            await make.body("push", key="long", values=["abcdefghij"] * 1000)
        assert await make.code("range", key="long", last=-1) == "answer_too_large"
        assert len(await make.body("range", key="long", last=99)) == 100
        await make.body("remove", key="long")


@pytest.mark.covers("ACT-36")
async def test_five_slow_calls_take_the_limit_and_the_rest_is_rejected(server: valkey.Valkey) -> None:
    async with calling(server, max_concurrent=5) as make:
        await make.fill_limit_of_five(server, "value", id=1)


async def test_a_call_whose_time_is_over_takes_its_connection_with_it(server: valkey.Valkey) -> None:
    async with calling(server, max_concurrent=1) as make:
        await make.body("put", id=1, value="one")
        await make.body("put", id=2, value="two")
        server.freeze()
        assert await make.code("hurried", id=1) == "total_timeout"
        server.thaw()
        await eventually(lambda: make.upstream.limiter.in_flight == 0, "the permit is back")
        assert await make.body("value", id=2) == "two"  # and not the reply that came too late


@pytest.mark.covers("ACT-36")
async def test_a_server_that_dies_opens_the_breaker_and_heals(server: valkey.Valkey) -> None:
    breaker = "{enabled: true, failure_threshold: 3, recovery_timeout: 1}"
    async with calling(server, circuit_breaker=breaker) as make:
        assert await make.code("value", id=1) == ""
        server.kill()
        codes = [await make.code("value", id=1) for _ in range(4)]
        assert codes == ["upstream_reset"] * 3 + ["breaker_open"]
        server.again()
        async with asyncio.timeout(20):
            while await make.code("value", id=1):
                pass


async def test_a_wrong_password_is_a_failure_that_shows_none(server: valkey.Valkey) -> None:
    async with calling(server, password="wr0ng-pass") as make:
        place = f"redis://127.0.0.1:{server.port}"
        assert await make.test("cache") == f"The redis back end at {place} failed (RedisAwayError)"


async def test_idle_connections_are_closed(server: valkey.Valkey) -> None:
    async with calling(server, idle=0.05) as make:
        await make.body("value", id=1)
        performers = make.gateway.actions._performers
        assert performers is not None
        async with performers.borrowed("trn:openact:default:connection/redis/cache@v1") as connector:
            kept = connector._idle
            await eventually(lambda: not kept, "no idle connection")
        await asyncio.gather(*(make.body("value", id=1) for _ in range(3)))
