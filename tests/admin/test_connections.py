"""The listener against slow, broken and hostile peers: bytes on a real socket, no waiting without an end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import select
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import pytest
from admin.conftest import Api, responding
from aiohttp import web

from gateway.admin.live import Applied
from gateway.api.app import application
from gateway.api.route import BASE
from gateway.api.server import AdminListener
from gateway.api.table import ROUTES
from gateway.api.times import Times
from gateway.core.address import Address

HEALTHZ = b"GET /api/gateway/healthz HTTP/1.1\r\nHost: localhost\r\n"
PATIENCE = 5.0


@dataclass
class Told:
    status: int
    headers: Mapping[str, str]
    body: Any


class Peer:
    """One connection, bytes at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> Told:
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name: value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await self.reader.readexactly(int(headers.get("Content-Length", "0")))
        return Told(int(head[0].split()[1]), headers, orjson.loads(body) if body else None)

    async def is_over(self) -> bool:
        """Whether the other side ends the connection, without another answer."""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                return await self.reader.read(1) == b""
            return True


@asynccontextmanager
async def peer(base: str) -> AsyncIterator[Peer]:
    host, port = base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def listening(api: Api, **times: float) -> AsyncIterator[AdminListener]:
    listener = AdminListener(api.administration, api.plane, Address("127.0.0.1", 0), (), Times(**times))
    await listener.start()
    try:
        yield listener
    finally:
        async with asyncio.timeout(PATIENCE):
            await listener.aclose()


def post(api: Api, path: str, rest: bytes) -> bytes:
    head = f"POST {BASE}{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api.token}\r\n"
    return head.encode() + b"Content-Type: application/json\r\n" + rest


def is_ours(told: Told, code: str) -> None:
    assert (told.body["code"], told.headers["X-Gateway-Reason"]) == (code, code)
    assert told.body.keys() == {"error", "details", "code", "request_id"}
    assert told.headers["X-Request-Id"] == told.body["request_id"] != ""
    assert told.headers["Content-Type"] == "application/json"
    assert told.headers["Cache-Control"] == "no-store"
    assert told.headers["Server"] == "breakwater"
    assert "aiohttp" not in str(told)


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/9.9\r\n\r\n", 400, "bad_request"),
        (HEALTHZ + b"Ho st: x\r\n\r\n", 400, "bad_request"),
        (HEALTHZ + b"Host: evil.example\r\n\r\n", 400, "bad_request"),
        (HEALTHZ + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "bad_request"),
        (HEALTHZ + b"X: " + b"x" * 9000 + b"\r\n\r\n", 431, "headers_too_large"),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 431, "headers_too_large"),
        (HEALTHZ + b"Expect: wonders\r\n\r\n", 417, "expectation_failed"),
        (b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nExpect: wonders\r\n\r\n", 417, "expectation_failed"),
        (b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, "not_found"),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, "not_found"),
        (b"OPTIONS /api/gateway/proxies HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, "method_not_allowed"),
        (b"TRACE /api/gateway/proxies HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, "method_not_allowed"),
        (b"GET /api/gateway/proxies/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 401, "unauthenticated"),
        (b"GET /api/gateway/healthz HTTP/1.0\r\n\r\n", 421, "misdirected"),
    ],
)
async def test_what_the_library_refuses_is_refused_in_our_shape(
    api: Api, request_: bytes, status: int, code: str
) -> None:
    async with peer(api.base) as client:
        await client.send(request_)
        told = await client.answer()
    assert told.status == status
    is_ours(told, code)


async def test_a_broken_head_shows_in_no_answer_and_no_log(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for broken in (f"Authorization: Bearer {api.token}\x01\r\n\r\n", f"Authorization : Bearer {api.token}\r\n\r\n"):
        async with peer(api.base) as client:
            await client.send(HEALTHZ + broken.encode())
            told = await client.answer()
            assert await client.is_over()
        assert told.status == 400
        assert api.token not in str(told) + caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


@pytest.mark.parametrize(
    ("rest", "then", "status", "code"),
    [
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\n", b"{", 408, "client_timeout"),
        (b"Content-Length: 50\r\n\r\n", b"{", 408, "client_timeout"),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"secret\r\n{}\r\n", 400, "bad_request"),
        (b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n", b"{}", 415, "unsupported_media_type"),
        (b"Content-Length: 99999999\r\n\r\n", b"{", 413, "content_too_large"),
    ],
)
async def test_bodies_that_do_not_come_as_told(
    api: Api, caplog: pytest.LogCaptureFixture, rest: bytes, then: bytes, status: int, code: str
) -> None:
    caplog.set_level(logging.DEBUG)
    async with listening(api, body=0.2) as listener, peer(listener.url) as client:
        await client.send(post(api, "/tokens", rest))
        await client.send(then)
        told = await client.answer()
    assert told.status == status
    is_ours(told, code)
    assert "secret" not in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


async def test_a_client_that_leaves_amid_its_body_is_no_failure(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    async with listening(api) as listener:
        async with peer(listener.url) as client:
            await client.send(post(api, "/tokens", b"Content-Length: 50\r\n\r\n{"))
        assert (await _get(listener, "/healthz")).status == 200
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


async def test_a_client_that_leaves_amid_a_long_response_is_no_failure(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    api.plane.ending = lambda asked: {**responding(asked), "body": b"x" * _LARGE}
    body = b'{"action_trn": "get-user"}'
    async with listening(api) as listener:
        async with peer(listener.url) as client:
            await client.send(post(api, "/execute", b"Content-Length: %d\r\n\r\n" % len(body)) + body)
            assert await client.reader.readexactly(1 << 16)
            client.writer.transport.abort()
        assert (await _get(listener, "/healthz")).status == 200
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


async def test_a_stranger_has_little_to_say(api: Api) -> None:
    for size, status in ((1 << 15, 413), (1 << 10, 401)):
        answer = await api.call("POST", "/auth/login", {"email": "a@b.org", "password": "x" * 999, "y": "x" * size})
        assert answer.status == (status if status == 413 else 400)


async def test_a_head_that_does_not_end_is_cut(api: Api) -> None:
    async with listening(api, idle=0.2) as listener:
        for part in (b"", HEALTHZ):
            async with peer(listener.url) as client:
                await client.send(part)
                assert await client.is_over()


async def test_who_takes_no_answer_is_cut(api: Api) -> None:
    async with listening(api, answer=0.2) as listener:
        host, port = listener.url.removeprefix("http://").split(":")
        with socket.socket() as stalled:
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.connect((host, int(port)))
            request = f"GET {BASE}/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            stalled.setblocking(False)
            sending = asyncio.ensure_future(_send_for_ever(stalled, request * 50))
            poll = select.poll()
            poll.register(stalled, 0)  # errors and hang-ups alone
            cut = await asyncio.to_thread(poll.poll, PATIENCE * 1000)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        assert cut


_LARGE = 16 << 20
_RATE = 12 << 20
"""Bytes per second that the slow client reads."""


@pytest.mark.covers("ACT-46")
@pytest.mark.parametrize(
    ("path", "version", "line"),
    [("?raw=true", "1.0", ""), ("?raw=true", "1.1", "Idempotency-Key: a\r\n"), ("", "1.1", ""), ("", "1.0", "")],
    ids=["whole", "kept", "json", "old-json"],
)
async def test_a_slow_client_has_the_time_for_each_slice_of_a_long_response(
    api: Api, path: str, version: str, line: str
) -> None:
    half = b"x" * (_LARGE // 2)
    if line or not path:
        api.plane.ending = lambda asked: {**responding(asked), "body": half * 2}
    else:
        api.plane.ending = lambda asked: {**responding(asked), "body": half, "rest": "the rest"}
        api.plane.following = [
            {"data": half, "done": False, "failure": None},
            {"data": b"", "done": True, "failure": None},
        ]
    body = b'{"action_trn": "get-user"}'
    head = post(api, f"/execute{path}", line.encode() + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
    loop = asyncio.get_running_loop()
    async with listening(api, answer=0.5) as listener:
        host, port = listener.url.removeprefix("http://").split(":")
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            sock.setblocking(False)
            await loop.sock_connect(sock, (host, int(port)))
            await loop.sock_sendall(sock, head.replace(b"HTTP/1.1", b"HTTP/" + version.encode(), 1) + body)
            received = bytearray()
            began = loop.time()
            while data := await loop.sock_recv(sock, 1 << 16):
                received += data
                await asyncio.sleep(began + len(received) / _RATE - loop.time())
    fields, _, read = bytes(received).partition(b"\r\n\r\n")
    assert b" 200 " in fields[:16]
    assert b"\r\nContent-Length: %d" % len(read) in fields
    assert (half * 2) in read


async def _send_for_ever(sock: socket.socket, data: bytes) -> None:
    while True:
        await asyncio.get_running_loop().sock_sendall(sock, data)


async def test_a_change_that_takes_too_long_says_that_it_may_be_done(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.plane, "apply", asyncio.Event().wait)
    async with listening(api, request=0.2) as listener, peer(listener.url) as client:
        await client.send(post(api, "/tokens", b'Content-Length: 13\r\n\r\n{"name": "t"}'))
        told = await client.answer()
    assert told.status == 503
    is_ours(told, "unavailable")
    assert "look whether it was done" in told.body["details"]


async def test_a_failure_shows_no_inside(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the inside")

    monkeypatch.setattr(api.administration.proxies, "find", fail)
    answer = await api.call("GET", "/proxies")
    assert (answer.status, answer.body["code"]) == (500, "internal")
    assert "inside" not in api.texts[-1]
    assert answer.body["request_id"] in caplog.text
    assert "the inside" in caplog.text


async def test_a_request_that_runs_is_ended_before_the_listener_closes(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    monkeypatch.setattr(api.plane, "apply", _held(begun, go_on))
    async with listening(api) as listener, peer(listener.url) as idle, peer(listener.url) as client:
        await idle.send(HEALTHZ + b"\r\n")
        await idle.answer()
        await client.send(post(api, "/tokens", b'Content-Length: 13\r\n\r\n{"name": "t"}'))
        await asyncio.wait_for(begun.wait(), PATIENCE)
        closing = asyncio.ensure_future(listener.aclose())
        assert await idle.is_over()
        with pytest.raises(ConnectionRefusedError):
            async with peer(listener.url):
                pass
        go_on.set()
        assert (await client.answer()).status == 201
        await asyncio.wait_for(closing, PATIENCE)


async def test_a_request_that_hangs_does_not_hold_the_listener(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()
    monkeypatch.setattr(api.plane, "apply", _held(begun, asyncio.Event()))
    async with listening(api, shutdown=0.1) as listener, peer(listener.url) as client:
        await client.send(post(api, "/tokens", b'Content-Length: 13\r\n\r\n{"name": "t"}'))
        await asyncio.wait_for(begun.wait(), PATIENCE)
        await asyncio.wait_for(listener.aclose(), PATIENCE)
        assert await client.is_over()


def _held(begun: asyncio.Event, go_on: asyncio.Event) -> Callable[[], Any]:
    async def apply() -> Applied:
        begun.set()
        await go_on.wait()
        return Applied(1)

    return apply


async def test_an_address_that_is_taken(api: Api) -> None:
    host, port = api.base.removeprefix("http://").split(":")
    second = AdminListener(api.administration, api.plane, Address(host, int(port)))
    with pytest.raises(OSError, match="in use"):
        await second.start()
    await second.aclose()
    assert (await api.call("GET", "/healthz")).status == 200


async def test_nothing_is_opened_before_its_start(api: Api) -> None:
    listener = AdminListener(api.administration, api.plane, Address("127.0.0.1", 0))
    assert listener.url == "http://127.0.0.1:0"
    await listener.aclose()


async def test_the_document_has_every_route_and_the_application_no_other(api: Api) -> None:
    document = (await api.call("GET", "/openapi.json", token="")).body
    shown = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    served = {
        (route.method, route.resource.canonical)
        for route in application(api.administration, api.plane).router.routes()
        if isinstance(route, web.ResourceRoute) and route.resource is not None
        if route.resource.canonical != "/" and not route.resource.canonical.startswith("/_")  # the live page
    }
    assert shown == {(route.method, route.full_path) for route in ROUTES}
    once = {route.full_path for route in ROUTES if route.from_elsewhere}
    assert once == {f"{BASE}/oauth/callback"}, "HEAD would use up what GET is to use"
    assert served == shown | {("HEAD", path) for method, path in shown if method == "GET" and path not in once}
    assert {op["operationId"] for methods in document["paths"].values() for op in methods.values()} == {
        route.operation for route in ROUTES
    }


async def test_head_is_get_without_a_body(api: Api) -> None:
    for path, token, status in (("/proxies", None, 200), ("/proxies", "", 401), ("/proxies/none", None, 404)):
        got = await api.call("GET", path, token=token, X_Request_Id="one")
        head = await api.call("HEAD", path, token=token, X_Request_Id="one")
        assert (head.status, head.body) == (got.status, None) == (status, None)
        assert head.headers["Content-Length"] == got.headers["Content-Length"]


async def test_if_match_is_taken_for_proxies_alone(api: Api) -> None:
    """A condition that is passed over in silence would lose what another wrote meanwhile."""
    answer = await api.call("PUT", "/secrets/K", {"value": "v"}, If_Match='"1"')
    assert (answer.status, answer.body["fields"][0]["path"]) == (400, "If-Match")
    await api.call("POST", "/proxies", {"name": "x", "path": "/x", "upstream": "http://h"})
    assert (await api.call("GET", "/proxies/x", If_Match='"7"')).status == 200
    assert (await api.call("DELETE", "/proxies/x", If_Match='"7"')).body["code"] == "version_conflict"
    assert (await api.call("DELETE", "/proxies/x", If_Match='"1"')).status == 200


async def _get(listener: AdminListener, path: str) -> aiohttp.ClientResponse:
    async with aiohttp.ClientSession() as session, session.get(listener.url + BASE + path) as answer:
        await answer.read()
        return answer
