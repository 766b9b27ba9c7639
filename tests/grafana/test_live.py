"""A real Prometheus scrapes a gateway, and every panel of every dashboard gets data from it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from harness import dashboards, metrics
from harness.prometheus import Prometheus

pytestmark = pytest.mark.timeout(180)  # the first time, Prometheus may have to be fetched

TOKEN = "token-of-prometheus"
PATIENCE = 40.0
"""Seconds for a few scrapes and evaluations of the rules, on a busy machine."""


@pytest.fixture
async def gateway() -> AsyncIterator[str]:
    """The admin listener of a gateway that has seen everything, as far as Prometheus can tell; its URL."""
    began = time.monotonic()

    async def answer(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.Response(status=401)
        return web.Response(text=metrics.text(time.monotonic() - began), content_type="text/plain")

    application = web.Application()
    application.router.add_get("/api/gateway/metrics", answer)
    async with TestServer(application, host="127.0.0.1") as server:
        yield str(server.make_url(""))


async def test_every_panel_returns_data_and_every_rule_works(gateway: str, tmp_path: Path) -> None:
    async with Prometheus(tmp_path, gateway, TOKEN) as prometheus:
        left = await dashboards.unanswered(prometheus, metrics.PROXIES[0], PATIENCE)
        assert not left, "\n".join(map(str, left))
        assert not [rule for rule in await prometheus.rules() if rule["health"] != "ok"]


async def test_a_bad_token_shows(gateway: str, tmp_path: Path) -> None:
    """The alert on a gateway without metrics has something to see."""
    async with Prometheus(tmp_path, gateway, "another") as prometheus:
        end = time.monotonic() + PATIENCE
        while not (found := await prometheus.query('up{job="gateway"}')):
            assert time.monotonic() < end, "never scraped"
            await asyncio.sleep(0.1)
        assert found[0]["value"][1] == "0"
