"""A connector in the place of `send`: real calls through the chain of a gateway, and what becomes of its errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import harness.calling
import pytest
from harness import strangers
from harness.memcached import Memcached
from harness.patience import eventually

from gateway.app import Gateway
from gateway.config import load
from gateway.ipc.calls import AdHoc, Asked, Called

FILE = """
listen: 127.0.0.1:0
access_log: {{path: {log}}}
connections:
  cache: {{kind: memcached, host: 127.0.0.1, port: {port}, max_concurrent: 5, timeout_ms: {milliseconds},
    retry: {retry}, circuit_breaker: {{enabled: true, failure_threshold: 3, recovery_timeout: 60}}}}
actions:
  put: {{connection: cache, operation: set}}
  value: {{connection: cache}}
  small: {{connection: cache, limits: {{max_bytes: 12}}}}
"""


@pytest.fixture(autouse=True)
def _stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    source = strangers.connector_of_the_docs()
    folder = strangers.installed(tmp_path / "site", "memcached", "perform_memcached:Memcached", source)
    monkeypatch.syspath_prepend(folder)
    strangers.forget()
    yield
    strangers.forget()


@pytest.fixture
async def server() -> AsyncIterator[Memcached]:
    async with Memcached() as server:
        yield server


class Calling:
    def __init__(self, port: int, *, milliseconds: int = 10_000, retry: str = "once", log: object = "-") -> None:
        text = FILE.format(port=port, milliseconds=milliseconds, retry=retry, log=log)
        self.gateway = Gateway(load.parse(text, "yaml", "f", {}))

    async def __call__(self, action: str, **given: object) -> Called:
        return await self.gateway.actions.call(self.gateway.server, Asked("default", action, given))

    async def code(self, action: str, **given: object) -> str:
        failure = (await self(action, **given))["failure"]
        return "" if failure is None else failure["code"]

    @property
    def upstream(self) -> Any:
        (upstream,) = self.gateway.upstreams.values()
        return upstream


async def test_a_call_of_a_connector(server: Memcached, tmp_path: Path) -> None:
    make = Calling(server.port, log=tmp_path / "access.log")
    async with make.gateway:
        assert json.loads((await make("put", key="a", value=7))["body"]) == "STORED"
        called = await make("value", key="a")
        assert (called["status"], called["headers"]) == (200, [("Content-Type", "application/json")])
        assert json.loads(called["body"]) == {"value": "7"}
        line = make.gateway.find(called["request_id"])
        assert line is not None
        assert (line["proxy_name"], line["method"], line["status_code"]) == ("action/value", "MEMCACHED", 200)
        assert line["upstream"] == f"memcached://127.0.0.1:{server.port}"
    assert make.gateway.exchanges == 0


async def test_five_slow_calls_take_the_limit_and_the_rest_is_rejected(server: Memcached) -> None:
    make = Calling(server.port)
    async with make.gateway:
        server.pause.clear()
        calls = [asyncio.ensure_future(make.code("value", key="a")) for _ in range(12)]
        await eventually(lambda: sum(call.done() for call in calls) == 7, "seven rejections")
        await eventually(lambda: server.asked == 5, "five calls at the server")
        server.pause.set()
        codes = await asyncio.gather(*calls)
        assert sorted(codes) == [""] * 5 + ["concurrency_limit"] * 7
        assert make.upstream.limiter.in_flight == 0


async def test_a_server_that_is_away_opens_the_breaker() -> None:
    async with Memcached() as server:
        make = Calling(server.port)
    async with make.gateway:
        codes = [await make.code("value", key="a") for _ in range(4)]
        assert codes == ["upstream_reset"] * 3 + ["breaker_open"]
        explained = make.gateway.explain("connection/cache")
        assert explained is not None
        assert "action/value" in json.dumps(explained)
        make.gateway.reset_breaker("connection/cache")
        async with server:
            assert await make.code("value", key="a") == ""


async def test_a_server_that_speaks_no_tls_is_one_whose_handshake_fails() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-ERR no\r\n")
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        more = "tls: {mode: verify}, retry: once, circuit_breaker: {enabled: true}"
        connection = f"{{kind: redis, url: 'redis://127.0.0.1:{port}', {more}}}"
        text = f"connections: {{c: {connection}}}\nactions: {{ask: {{connection: c, command: [PING]}}}}"
        async with harness.calling.Calling(text) as make:
            failure = (await make("ask"))["failure"]
            assert failure is not None
            assert failure["code"] == "tls_failed"
            assert failure["message"] == f"The TLS handshake with the redis back end at redis://127.0.0.1:{port} failed"
            assert len(make.upstream.gate.outcomes) == 1


async def test_what_the_back_end_rejects_is_a_response_that_teaches_nothing_bad(server: Memcached) -> None:
    make = Calling(server.port)
    async with make.gateway:
        for _ in range(4):
            called = await make("value", key="a b")
            assert (called["status"], json.loads(called["body"])["error"]) == (
                400,
                "a key has letters and digits alone",
            )
        assert make.upstream.gate.state.word == "closed"


async def test_a_result_that_is_too_large_teaches_no_breaker(server: Memcached) -> None:
    make = Calling(server.port)
    async with make.gateway:
        server.values[b"a"] = b"1"
        assert await make.code("small", key="a") == "answer_too_large"
        for _ in range(4):
            assert await make.code("small", key="a") == "answer_too_large"
        breaker = make.upstream.gate
        assert (breaker.state.word, len(breaker.outcomes)) == ("closed", 0)


async def test_a_call_whose_time_is_over_is_cancelled(server: Memcached) -> None:
    make = Calling(server.port, milliseconds=50)
    async with make.gateway:
        server.pause.clear()
        assert await make.code("value", key="a") == "total_timeout"
        await eventually(lambda: make.upstream.limiter.in_flight == 0, "the permit is back")
        assert len(make.upstream.gate.outcomes) == 1
        server.pause.set()


async def test_only_what_may_be_made_twice_is_made_again() -> None:
    async with Memcached() as server:
        pass
    make = Calling(server.port, retry="{max_retries: 2, base_delay_ms: 1}")
    async with make.gateway:
        assert (await make("value", key="a"))["attempts"] == 3
        make.gateway.reset_breaker("connection/cache")
        assert (await make("put", key="a", value="b"))["attempts"] == 1


async def test_whether_the_connection_works(server: Memcached) -> None:
    make = Calling(server.port)
    async with make.gateway:
        asked = Asked("default", adhoc=AdHoc("cache", test=True))
        assert (await make.gateway.actions.call(make.gateway.server, asked))["status"] == 200
        asked = Asked("default", adhoc=AdHoc("cache"))
        failure = (await make.gateway.actions.call(make.gateway.server, asked))["failure"]
        assert failure is not None
        assert "is called by its actions alone" in failure["message"]


async def test_a_fault_of_the_connector_is_ours(server: Memcached, caplog: pytest.LogCaptureFixture) -> None:
    make = Calling(server.port)
    async with make.gateway:
        server.values[b"a"] = b"\xff"  # which its connector does not expect
        assert await make.code("value", key="a") == "internal"
        assert make.upstream.gate.state.word == "closed"
    assert "UnicodeDecodeError" in caplog.text
