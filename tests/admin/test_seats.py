"""Connections to the admin listener: whoever holds them, health checks and superusers get through."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from admin.conftest import EMAIL, PASSWORD, Api
from harness.patience import eventually

from gateway.admin.seats import Seat, Seats, is_loopback
from gateway.api.route import BASE
from gateway.api.server import AdminListener
from gateway.api.times import Times
from gateway.core.address import Address

HEALTHZ = f"GET {BASE}/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
LOGIN = f"POST {BASE}/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
SOON = 1.0
"""Seconds in which a caller who is kept waiting by nobody has his response, on a busy machine too."""


class Crowd:
    """Strangers that hold connections. ``drip``: bytes that each sends one at a time, again and again."""

    def __init__(self, base: str, first: bytes = b"", drip: bytes = b"") -> None:
        host, port = base.removeprefix("http://").split(":")
        self._address = host, int(port)
        self._first = first
        self._drip = drip
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.readers: list[asyncio.StreamReader] = []

    async def come(self, number: int) -> None:
        for _ in range(number):
            reader, writer = await asyncio.open_connection(*self._address)
            self._writers.append(writer)
            self.readers.append(reader)
            writer.write(self._first)
            if self._drip:
                self._tasks.append(asyncio.create_task(self._drips(writer)))

    async def _drips(self, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                for byte in self._drip:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(0.2)

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)


@asynccontextmanager
async def crowd(base: str, first: bytes = b"", drip: bytes = b"") -> AsyncIterator[Crowd]:
    made = Crowd(base, first, drip)
    try:
        yield made
    finally:
        await made.aclose()


@asynccontextmanager
async def listening(api: Api, seats: Seats | None = None, **times: float) -> AsyncIterator[AdminListener]:
    listener = AdminListener(api.administration, api.plane, Address("127.0.0.1", 0), (), Times(**times), seats)
    await listener.start()
    try:
        yield listener
    finally:
        await listener.aclose()


async def fresh(base: str, method: str, path: str, body: object = None, token: str = "") -> tuple[int, float]:
    """The status of a request on a connection of its own, and the seconds that it took."""
    began = time.monotonic()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session,
        session.request(method, f"{base}{BASE}{path}", json=body, headers=headers) as answer,
    ):
        await answer.read()
        return answer.status, time.monotonic() - began


@pytest.mark.parametrize(
    ("first", "drip"),
    [
        (b"", b""),
        (b"G", b""),
        (b"GET /api/gateway/healthz HTTP/1.1\r\n", b"X-A: b\r\n"),
        (LOGIN + b"Content-Length: 9000\r\n\r\n", b"{"),
        (LOGIN + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n{\r\n"),
        (HEALTHZ, b""),
        (HEALTHZ, b"G"),
    ],
    ids=["silent", "one byte", "dripping head", "dripping body", "dripping chunks", "idle", "dripping second head"],
)
@pytest.mark.timeout(90)
async def test_health_and_superusers_get_through_to_a_crowded_listener(api: Api, first: bytes, drip: bytes) -> None:
    async with crowd(api.base, first, drip) as strangers:
        await strangers.come(330)
        for method, path, body, status in (
            ("GET", "/healthz", None, 200),
            ("GET", "/readyz", None, 200),
            ("POST", "/auth/login", {"email": EMAIL, "password": PASSWORD}, 200),
            ("GET", "/proxies", None, 200),
        ):
            token = api.token if path == "/proxies" else ""
            assert (await fresh(api.base, method, path, body, token))[0] == status
            async with asyncio.timeout(10):
                found, took = await fresh(api.base, "GET", "/healthz")
            assert (found, took < SOON) == (200, True), took


async def test_a_superuser_keeps_his_connection_while_strangers_come_and_go(api: Api) -> None:
    async with aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {api.token}"}

        async def look() -> object:
            async with session.get(f"{api.base}{BASE}/superusers", headers=headers) as answer:
                await answer.read()
                assert answer.status == 200
                assert answer.connection is None or answer.connection.transport is not None
            connections = [pooled for entry in session.connector._conns.values() for pooled in entry]  # type: ignore[union-attr]
            assert len(connections) == 1
            return connections[0][0].transport.get_extra_info("sockname")  # type: ignore[union-attr]

        before = await look()
        async with crowd(api.base) as strangers:
            await strangers.come(400)
            assert await look() == before


async def test_a_silent_connection_and_a_slow_head_end(api: Api) -> None:
    async with listening(api, head=0.3, idle=30.0) as listener:
        for first, drip, answered in ((b"", b"", 0), (b"G", b"ET /", 0), (HEALTHZ, b"GET / HTTP/1.1\r\nA: b\r\n", 1)):
            began = time.monotonic()
            async with crowd(listener.url, first, drip) as strangers:
                await strangers.come(1)
                async with asyncio.timeout(10):
                    with contextlib.suppress(ConnectionError):
                        text = await strangers.readers[0].read()
                        assert text.count(b"HTTP/1.1 200") == answered
            assert time.monotonic() - began < 5


async def test_an_idle_connection_that_was_used_is_kept_longer_than_a_silent_one(api: Api) -> None:
    seats = Seats()
    async with listening(api, seats, head=0.2, idle=30.0) as listener:
        async with crowd(listener.url, HEALTHZ) as used, crowd(listener.url) as silent:
            await used.come(1)
            await silent.come(1)
            async with asyncio.timeout(5):
                with contextlib.suppress(ConnectionError):
                    assert await silent.readers[0].read() == b""
            assert b"200" in await used.readers[0].readline()
            assert not used.readers[0].at_eof()
        await eventually(lambda: len(seats) == 0, "no seat is taken for good")


async def test_seats_that_were_cut_are_free_again(api: Api) -> None:
    seats = Seats(most=5, reserved=0)
    async with listening(api, seats) as listener:
        async with crowd(listener.url) as strangers:
            await strangers.come(40)
            await eventually(lambda: len(seats) <= 5, "the bound holds")
            assert (await fresh(listener.url, "GET", "/healthz"))[0] == 200
        await eventually(lambda: len(seats) == 0, "no seat is taken for good")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


class Hall:
    """Seats without sockets."""

    def __init__(self, **bounds: int) -> None:
        self.seats = Seats(**({"most": 6, "reserved": 2, "most_of_client": 3} | bounds), clock=Clock())
        self.cut: list[Seat] = []

    def comes(self, client: str, *, known: bool = False, busy: bool = False) -> Seat | None:
        seat = Seat(client, lambda: None)
        seat.cut = self._cutter(seat)
        if not self.seats.take(seat):
            return None
        seat.known = known
        if busy:
            seat.waits_since = None
        return seat

    def _cutter(self, seat: Seat) -> Callable[[], object]:
        return lambda: self.cut.append(seat)


def test_the_client_with_most_connections_loses_its_oldest_idle_one() -> None:
    hall = Hall(most_of_client=9)
    lone = hall.comes("10.0.0.1")
    many = [hall.comes("10.0.0.2") for _ in range(3)]
    assert hall.comes("10.0.0.3") is not None
    assert hall.cut == [many[0]]
    assert lone not in hall.cut


def test_a_client_with_too_many_loses_its_own_and_nobody_else_does() -> None:
    hall = Hall(most=100)
    other = hall.comes("10.0.0.1")
    mine = [hall.comes("10.0.0.2") for _ in range(5)]
    assert hall.cut == mine[:2]
    assert other not in hall.cut
    busy = [hall.comes("10.0.0.9", busy=True) for _ in range(3)]
    assert None not in busy
    assert hall.comes("10.0.0.9") is None, "the gateway works for all that it has"


def test_known_ones_go_last_and_busy_ones_never() -> None:
    hall = Hall(most_of_client=9)
    known, busy = hall.comes("10.0.0.1", known=True), hall.comes("10.0.0.1", busy=True)
    idle = [hall.comes("10.0.0.1") for _ in range(2)]
    for victim in (*idle,):
        assert hall.comes("10.0.0.1", busy=True) is not None
        assert hall.cut[-1] is victim
    assert hall.comes("10.0.0.1") is not None
    assert hall.cut[-1] is known
    assert busy not in hall.cut


def test_this_machine_has_seats_of_its_own() -> None:
    hall = Hall(most_of_client=9)
    assert None not in [hall.comes(f"10.0.0.{n}", busy=True) for n in range(4)]
    assert hall.comes("10.0.0.9") is None
    for client in ("127.0.0.1", "::1"):
        assert hall.comes(client, busy=True) is not None
    assert hall.comes("127.0.0.1") is None, "all six are busy"


def test_who_has_left_twice_left_once() -> None:
    hall = Hall()
    seat = hall.comes("10.0.0.1")
    assert seat is not None
    for _ in range(2):
        hall.seats.leave(seat)
    assert len(hall.seats) == 0
    assert not hall.seats._of_client


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("", True),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("0.0.0.0", False),
        ("localhost.example", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
