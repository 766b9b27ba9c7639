"""The page of a whole gateway: what is clicked there is what traffic meets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from harness.answers import status_on_demand
from harness.deployment import EMAIL, Deployment
from harness.upstream import Upstream
from page.conftest import open_page
from playwright.async_api import expect

pytestmark = pytest.mark.timeout(120)

if TYPE_CHECKING:
    from playwright.async_api import Browser


@pytest.mark.covers("FR-022", "FR-028")
async def test_a_proxy_is_made_breaks_and_is_fixed(tmp_path: Path, upstream: Upstream, browser: Browser) -> None:
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
        await page.get_by_label("The breaker watches the upstream").check()
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
        await expect(page.locator("dialog .lead .badge")).to_have_text("Normal")
        assert (await gateway.get("/web/status/200"))[0] == 200
        assert not visit.complaints
        await context.close()


async def test_what_is_refused_is_explained_and_what_runs_in_shadow_refuses_nothing(
    tmp_path: Path, upstream: Upstream, browser: Browser
) -> None:
    upstream.behaviour = status_on_demand()
    filed = f'{{name: filed, path: /filed, upstream: "{upstream.url}", access_rule: "false"}}'
    async with Deployment(tmp_path, proxies=f"[{filed}]") as gateway:
        await gateway.call(
            "POST",
            "/proxies",
            {
                "name": "web",
                "path": "/web",
                "upstream": upstream.url,
                "access_rule": "true",
                "circuit_breaker": {"enabled": True, "failure_threshold": 2, "recovery_timeout": 600},
            },
        )
        context = await browser.new_context()
        visit = await open_page(context, gateway.admin)
        page = visit.page
        await visit.board()
        for request_id in ("failing-1", "failing-2"):
            assert (await gateway.get("/web/status/500", **{"X-Request-Id": request_id}))[0] == 500
        assert await gateway.get("/web/status/200", **{"X-Request-Id": "fenced-1"}) == (503, "breaker_open")
        assert await gateway.get("/filed/x") == (403, "forbidden")

        await page.get_by_role("link", name="Refusals").click()
        lines = page.locator(".refusals > li")
        await expect(lines).to_have_count(2)
        await page.get_by_label("Proxy").select_option("web")
        await lines.locator("summary").click()
        await expect(lines).to_contain_text("Refused with 503 breaker_open before any upstream was asked")
        await expect(lines).to_contain_text("fenced-1")

        await page.get_by_role("link", name="Proxies").click()
        await visit.row("web").get_by_role("link").click()
        drawer = page.get_by_role("dialog", name="web", exact=True)
        await expect(drawer.locator(".verdict")).to_contain_text("would be refused (503 breaker_open)")
        await drawer.locator(".moves summary").first.click()
        for request_id in ("failing-1", "failing-2"):
            await expect(drawer.get_by_role("button", name=f"Request {request_id}")).to_be_visible()
        await drawer.get_by_role("button", name="Request failing-2").click()
        box = page.get_by_role("dialog", name="One request")
        await expect(box).to_contain_text("Answered 500 by")
        await expect(box.locator(".way")).to_contain_text("waiting for the upstream's first byte")
        await box.get_by_role("button", name="Close").click()

        await drawer.get_by_role("button", name="Edit").click()
        await page.get_by_text("Circuit breaker", exact=True).click()
        await page.get_by_label("Mode of the breaker").select_option("Shadow")
        await page.get_by_role("button", name="Save").click()
        row = visit.row("web")
        await expect(row.locator(".tag")).to_have_text("shadow: breaker")
        await expect(row.locator(".badge")).to_have_text("Would be open")
        assert await gateway.get("/web/status/200", **{"X-Request-Id": "watched-1"}) == (200, "")
        await expect(row.locator(".refused")).to_contain_text(re.compile(r"\+ \d\.\d shadow"))
        assert (await gateway.call("GET", "/requests/watched-1"))["request"]["shadow"] == "breaker_open"

        await row.get_by_role("link").click()
        await page.get_by_role("button", name="Reset breaker").click()
        await page.get_by_role("button", name="Reset", exact=True).click()
        await expect(page.locator("dialog .moves")).to_contain_text(f"reset by {EMAIL}")
        assert not visit.complaints
        await context.close()
