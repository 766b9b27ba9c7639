"""The page of a whole gateway: what is clicked there is what traffic meets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from harness.answers import status_on_demand
from harness.deployment import Deployment
from harness.upstream import Upstream
from page.conftest import open_page

pytestmark = pytest.mark.timeout(120)
pytest.importorskip("playwright")
from playwright.async_api import expect  # noqa: E402

if TYPE_CHECKING:
    from playwright.async_api import Browser


async def test_a_proxy_is_made_breaks_and_is_mended(tmp_path: Path, upstream: Upstream, browser: Browser) -> None:
    upstream.behaviour = status_on_demand()
    async with Deployment(tmp_path) as gateway:
        context = await browser.new_context()
        visit = await open_page(context, gateway.admin)
        page = visit.page
        await visit.board()
        await page.get_by_role("button", name="New proxy").click()
        await page.get_by_label("Name", exact=True).fill("web")
        await page.get_by_label("Path").fill("/web")
        await page.get_by_label("Upstream", exact=True).fill(upstream.url)
        await page.get_by_label("Who may pass").select_option("Everybody")
        await page.get_by_text("Circuit breaker", exact=True).click()
        await page.get_by_label("The breaker watches this proxy").check()
        await page.get_by_label("Failures in a row").fill("2")
        await page.get_by_role("button", name="Create").click()
        await expect(visit.row("web").locator(".badge")).to_have_text("Normal")
        assert (await gateway.get("/web/status/200"))[0] == 200

        for _ in range(2):
            assert (await gateway.get("/web/status/500"))[0] == 500
        assert await gateway.get("/web/status/200") == (503, "breaker_open")
        await expect(visit.row("web").locator(".badge")).to_have_text("Circuit open")

        await visit.row("web").get_by_role("link").click()
        await page.get_by_role("button", name="Reset breaker").click()
        await page.get_by_role("button", name="Reset", exact=True).click()
        await expect(page.locator("dialog .badge")).to_have_text("Normal")
        assert (await gateway.get("/web/status/200"))[0] == 200
        assert not visit.complaints
        await context.close()
