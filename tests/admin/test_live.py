"""The live view: what its events hold, who may read them, and when they end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from admin.conftest import BOUNDS, Api, snapshot_of
from harness.patience import PROMPT, eventually

from gateway.admin.actor import Actor
from gateway.admin.live import NotRunning
from gateway.admin.live_feed import LiveFeed
from gateway.admin.rates import Rates, quantile
from gateway.admin.snapshot import LiveSnapshot
from gateway.api.server import AdminListener
from gateway.api.sse import watch
from gateway.api.times import Times
from gateway.core.address import Address

Event = tuple[str, Any]


@pytest.fixture(autouse=True)
def quick(api: Api) -> None:
    """A beat takes a twentieth of a second."""
    api.administration.live_feed = LiveFeed(api.plane, period=0.05, most=3)


class View:
    """One reader of the live view."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self.comments = 0
        self._text = ""

    async def event(self, name: str) -> Any:
        """The data of the next event of this name."""
        async with asyncio.timeout(5):
            while True:
                found, data = await self._next()
                assert found, "the view has ended"
                if found == name:
                    return data

    async def ended(self) -> bool:
        async with asyncio.timeout(5):
            while (await self._next())[0]:
                pass
        return True

    async def _next(self) -> Event:
        """The next event; ("", None) at the end of the stream."""
        while True:
            block, gap, rest = self._text.partition("\n\n")
            if not gap:
                chunk = await self.answer.content.readany()
                if not chunk:
                    return "", None
                self._text += chunk.decode()
                continue
            self._text = rest
            fields = dict(line.partition(": ")[::2] for line in block.split("\n"))
            self.comments += "" in fields
            if "event" in fields:
                return fields["event"], json.loads(fields["data"])


@asynccontextmanager
async def viewing(api: Api, token: str = "", base: str = "") -> AsyncIterator[View]:
    headers = {"Authorization": f"Bearer {token or api.token}"}
    url = f"{base or api.base}/api/gateway/live"
    async with api.session.get(url, headers=headers, timeout=aiohttp.ClientTimeout(None)) as answer:
        assert answer.status == 200, await answer.text()
        yield View(answer)


async def test_a_view_begins_with_its_headers_and_a_comment(api: Api) -> None:
    async with viewing(api) as view:
        assert view.answer.headers["Content-Type"] == "text/event-stream"
        assert view.answer.headers["Cache-Control"] == "no-store"
        assert view.answer.headers["X-Content-Type-Options"] == "nosniff"
        await view.event("state")
        assert view.comments == 1


async def test_counters_become_rates(api: Api) -> None:
    api.plane.proxies["web"] = snapshot_of(requests=100, limit=5, in_flight=3)
    async with viewing(api) as view:
        first = await view.event("state")
        assert first["reachable"] is True
        assert first["proxies"]["web"]["requests"] is None
        assert first["proxies"]["web"] | {"limit": 5, "in_flight": 3, "total": 100} == first["proxies"]["web"]
        api.plane.proxies["web"] = snapshot_of(requests=140, latency={"bounds": BOUNDS, "counts": [0, 40, 0, 0]})
        async with asyncio.timeout(5):
            while not (state := await view.event("state"))["proxies"]["web"]["requests"]:
                pass
        assert 100 < state["proxies"]["web"]["requests"] < 1000
        assert state["proxies"]["web"]["p50"] == pytest.approx(0.055)


async def test_refusals_are_told_once_the_newest_at_once(api: Api) -> None:
    api.plane.refused = [{"reason": "breaker_open", "n": n} for n in range(60)]
    async with viewing(api) as view:
        assert [item["n"] for item in (await view.event("refusals"))["items"]] == list(range(10, 60))
        api.plane.refused.append({"reason": "no_route", "n": 60})
        assert (await view.event("refusals"))["items"] == [{"reason": "no_route", "n": 60}]
        async with viewing(api) as late:
            assert len((await late.event("refusals"))["items"]) == 51


async def test_refusals_with_long_paths_are_bounded_by_bytes(api: Api) -> None:
    """Clients choose how long a line is: 200 lines of 60 KB would be 12 MB in each reader's event."""
    api.plane.refused = [{"path": "/" + "x" * 60_000, "n": n} for n in range(50)]
    async with viewing(api) as view:
        items = (await view.event("refusals"))["items"]
        size = len(json.dumps(items))
        assert (items[-1]["n"], 400_000 < size <= 512 << 10) == (49, True)
        feed = api.administration.live_feed
        api.plane.refused += [{"path": "/" + "y" * 60_000, "n": 50 + n} for n in range(20)]
        assert (await view.event("refusals"))["items"][-1]["n"] == 69
        assert feed._refusals_size == sum(len(text) for _, text in feed._refusals) <= 512 << 10


async def test_two_readers_are_one_look_a_beat_and_none_is_none(api: Api) -> None:
    async with viewing(api) as one, viewing(api) as two:
        await one.event("state")
        began, before = time.monotonic(), api.plane.snapshots
        for _ in range(5):
            await one.event("state")
            await two.event("state")
        beats = (time.monotonic() - began) / 0.05
        assert api.plane.snapshots - before <= beats + 2
    feed = api.administration.live_feed
    await eventually(lambda: feed._task is None, "the looking ends with the last reader")
    before = api.plane.snapshots
    await asyncio.sleep(0.15)
    assert api.plane.snapshots == before


async def test_a_revoked_token_ends_its_view_alone(api: Api) -> None:
    token = await api.make_token(superuser=True)
    async with viewing(api, token) as view, viewing(api) as other:
        await view.event("state")
        await api.store.tokens.delete((await api.store.tokens.list())[-1].id, "test")
        assert await view.ended()
        await other.event("state")


async def test_an_expired_token_ends_its_view(api: Api) -> None:
    async with viewing(api, await api.make_token(superuser=True, expires_at=api.clock.now + 10)) as view:
        await view.event("state")
        api.clock.now += 10
        assert await view.ended()


async def test_a_logout_ends_the_view(api: Api) -> None:
    token = await api.make_token(superuser=True)
    async with viewing(api, token) as view:
        await view.event("state")
        assert (await api.call("POST", "/auth/logout", token=token)).status == 204
        assert await view.ended()


async def test_who_is_one_too_many_is_told(api: Api) -> None:
    async with contextlib.AsyncExitStack() as stack:
        views = [await stack.enter_async_context(viewing(api)) for _ in range(3)]
        for view in views:
            await view.event("state")
        refused = await api.call("GET", "/live")
        assert (refused.status, refused.body["code"]) == (503, "too_many_streams")
        assert refused.headers["Retry-After"] == "5"
        views[0].answer.close()
        await eventually(lambda: len(api.administration.live_feed._subscribers) == 2, "a reader who left makes room")
        async with viewing(api) as again:
            await again.event("state")


async def test_a_head_request_opens_no_view(api: Api) -> None:
    answer = await api.call("HEAD", "/live")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
    assert not api.plane.snapshots


async def test_the_data_plane_is_away(api: Api) -> None:
    api.plane.reachable = False
    async with viewing(api) as view:
        assert (await view.event("state"))["reachable"] is False
        api.plane.reachable = True
        async with asyncio.timeout(5):
            while not (await view.event("state"))["reachable"]:
                pass


async def test_a_data_plane_that_fails_or_hangs_is_away(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> LiveSnapshot:
        raise ConnectionError("the worker is gone")

    monkeypatch.setattr(api.plane, "snapshot", fail)
    async with viewing(api) as view:
        assert (await view.event("state"))["reachable"] is False
        monkeypatch.setattr(api.plane, "snapshot", asyncio.Event().wait)
        await view.event("state")
        assert (await view.event("state"))["reachable"] is False


@asynccontextmanager
async def listening(api: Api, times: Times) -> AsyncIterator[AdminListener]:
    listener = AdminListener(api.administration, api.plane, Address("127.0.0.1", 0), (), times)
    await listener.start()
    try:
        yield listener
    finally:
        await listener.aclose()


def read_to_end(sock: socket.socket) -> int:
    """How many bytes still come: the connection has ended behind them."""
    sock.settimeout(5)
    total = 0
    while part := sock.recv(1 << 16):
        total += len(part)
    return total


async def test_a_slow_reader_is_cut_and_the_others_are_not(api: Api) -> None:
    api.plane.proxies = {f"p{n}": snapshot_of(breaker="x" * 2000) for n in range(200)}
    async with listening(api, Times(answer=1.0)) as listener, viewing(api, base=listener.url) as view:
        host, port = listener.url.removeprefix("http://").split(":")
        with socket.socket() as stalled:
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.connect((host, int(port)))
            request = f"GET /api/gateway/live HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api.token}\r\n\r\n"
            stalled.sendall(request.encode())
            await view.event("state")
            readers = api.administration.live_feed._subscribers
            await eventually(lambda: len(readers) == 2, "both watch")
            async with asyncio.timeout(10):
                while len(readers) == 2:
                    await view.event("state")
            await view.event("state")
            assert await asyncio.to_thread(read_to_end, stalled) < 10_000_000


async def test_a_closing_listener_ends_its_views(api: Api) -> None:
    async with listening(api, Times()) as listener, viewing(api, base=listener.url) as view:
        await view.event("state")
        began = time.monotonic()
        await listener.aclose()
        assert time.monotonic() - began < PROMPT
        assert await view.ended()


async def test_silence_is_filled_with_comments(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.plane, "snapshot", asyncio.Event().wait)
    actor = await api.administration.authentication.authenticate(api.token)
    assert actor is not None
    async with aclosing(watch(api.administration, actor, quiet=0.05)) as parts:
        for _ in range(3):
            assert await anext(parts) == b": here\n\n"


async def test_a_stranger_to_the_store_sees_nothing(api: Api) -> None:
    async with aclosing(watch(api.administration, Actor("ghost", True, "no digest"))) as parts:
        assert [part async for part in parts] == [b": here\n\n"]


async def test_without_a_gateway_nothing_is_reachable() -> None:
    snapshot = await NotRunning().snapshot()
    assert (snapshot["reachable"], snapshot["proxies"]) == (False, {})
    assert await NotRunning().refusals(3) == {"next": 3, "items": []}


@pytest.mark.parametrize(
    ("counts", "part", "value"),
    [
        ([0, 0, 0, 0], 0.5, None),
        ([10, 0, 0, 0], 0.5, 0.005),
        ([0, 10, 0, 0], 0.5, 0.055),
        ([5, 5, 0, 0], 0.95, 0.091),
        ([0, 0, 0, 3], 0.95, 1.0),
        ([9, 0, 0, 1], 0.5, 0.005556),
    ],
)
def test_quantiles_lie_within_their_bucket(counts: list[int], part: float, value: float | None) -> None:
    assert quantile(BOUNDS, counts, part) == (None if value is None else pytest.approx(value, abs=1e-6))


def test_a_worker_that_began_anew_has_no_rate() -> None:
    rates = Rates()

    def snapshot(at: float, requests: int, *, reachable: bool = True) -> LiveSnapshot:
        return {
            "at": at,
            "reachable": reachable,
            "generation": 1,
            "proxies": {"web": snapshot_of(requests=requests)} if reachable else {},
        }

    assert rates.of(snapshot(1, 100))["proxies"]["web"]["requests"] is None
    assert rates.of(snapshot(2, 110))["proxies"]["web"]["requests"] == 10
    assert rates.of(snapshot(3, 5))["proxies"]["web"]["requests"] is None
    assert rates.of(snapshot(4, 0, reachable=False))["proxies"] == {}
    assert rates.of(snapshot(5, 500))["proxies"]["web"]["requests"] is None
    assert rates.of(snapshot(6, 507))["proxies"]["web"]["requests"] == 7
