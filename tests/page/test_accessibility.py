"""axe-core looks at every view, in light and in dark: no violation, contrast included."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any

import pytest
from admin.conftest import GET_USER, Api, responding, snapshot_of
from page.conftest import (
    INPUT,
    PLANNED,
    Visit,
    breaker,
    explanation,
    failing,
    move,
    outcome,
    proxies,
    refusal,
    remembered,
)

pytestmark = pytest.mark.timeout(120)


async def look(visit: Visit, what: str) -> None:
    found: dict[str, Any] = await visit.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    told = [
        f"{what}: {violation['id']} at {node['target']}: {node['failureSummary']}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
    assert not told, "\n".join(told)
    assert len(found["passes"]) > 10


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_violation(api: Api, visit: Visit, monkeypatch: pytest.MonkeyPatch, scheme: Any) -> None:
    page = visit.page
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    # Put in by the browser itself: the policy of the page lets no foreign script in.
    script = (resources.files("axe_playwright_python") / "axe.min.js").read_text()
    await page.evaluate(script)
    monkeypatch.setitem(GET_USER, "input_schema", INPUT)
    api.plane.ending = lambda asked: {**responding(asked), "planned": PLANNED if asked.dry_run else None}
    await proxies(api, "web", "busy", "broken", "half", "off")
    watched = {"max_concurrent": 5, "limiter": {"mode": "shadow"}}
    await proxies(api, "watched", **watched)
    step = {"at": time.time() - 9, "from": "closed", "to": "open", "reason": "failure_threshold"}
    api.plane.proxies |= {
        "busy": snapshot_of(in_flight=5, limit=5, waiting=2, queue_limit=4),
        "broken": snapshot_of(breaker="open", breaker_since=step["at"], breaker_history=[step]),
        "half": snapshot_of(breaker="half_open"),
        "off": snapshot_of(breaker="off"),
    }
    api.file.declared = ({"name": "filed", "path": "/filed", "upstream": "http://h", "access_rule": "true"},)
    api.plane.refused = [refusal("web", "no_route", 404), refusal("web", "dial_failed", 502, 1)]
    failed = [outcome(1, step["at"]), outcome(2, step["at"], "", "ignored")]
    api.plane.explanations["broken"] = explanation(
        "broken",
        verdict="refuse",
        breaker=breaker(move(step["at"], "closed", "open", "failure_threshold", *failed), outcomes=failed),
        active=[{"request_id": "slow", "phase": "transfer", "age": 3.0}],
        active_count=1,
    )
    api.plane.requests["r000001"] = remembered(api.plane.refused[1], attempts=1, dial_ms=3.0, proxy_latency_ms=0.2)
    await look(visit, "log in")
    await visit.board()
    await page.locator(".badge[data-kind=bad]").wait_for()
    await look(visit, "list")

    async def detail() -> None:
        await visit.row("broken").get_by_role("link").click()
        await page.locator("summary.move").click()

    async def request() -> None:
        await page.get_by_role("button", name="Request r000001").first.click()
        await page.locator(".way").wait_for()

    async def edit() -> None:
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="Edit").click()
        await page.locator("form.edit").wait_for()
        for summary in await page.locator(".group > summary").all():
            await summary.click()
        await page.get_by_label("Login at the upstream", exact=True).select_option("basic")
        await page.get_by_role("button", name="Add a header").click()
        await page.get_by_role("button", name="Explain all").click()

    async def wrong() -> None:
        await page.get_by_label("Path").fill("nowhere")
        await page.get_by_role("button", name="Save").click()
        await page.locator(".summary p").wait_for()

    async def good() -> None:
        await page.get_by_label("Path").fill("/elsewhere")
        await page.get_by_label("Login at the upstream", exact=True).select_option("none")
        await page.get_by_role("button", name="Check").click()
        await page.locator(".outcome ul").wait_for()

    async def conflict() -> None:
        await api.call("PATCH", "/proxies/broken", {"max_concurrent": 3, "version": 1})
        await page.get_by_role("button", name="Save").click()
        await page.locator(".summary table").wait_for()

    async def delete() -> None:
        await page.get_by_role("button", name="Cancel").click()
        await page.get_by_role("button", name="Leave").click()
        await visit.row("broken").get_by_role("link").click()
        await page.get_by_role("button", name="Delete").click()
        await page.get_by_label("Type broken").wait_for()

    async def refusals() -> None:
        await page.keyboard.press("Escape")
        await page.keyboard.press("Escape")
        await page.get_by_role("link", name="Refusals").click()
        await page.locator(".refusals summary").first.click()
        await page.locator(".refusals .way").wait_for()

    async def account() -> None:
        await page.get_by_role("link", name="Account").click()
        await page.locator(".sessions li").first.wait_for()

    async def calls() -> None:
        await page.get_by_role("link", name="Calls").click()
        await page.locator("li.call").wait_for()

    async def connection() -> None:
        await page.get_by_role("button", name="github").click()
        await page.get_by_role("button", name="Test").click()
        await page.locator(".outcome p").wait_for()

    async def new() -> None:
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="New connection").click()
        await page.get_by_label("Auth").select_option("api_key")
        for summary in await page.locator(".group > summary").all():
            await summary.click()
        await page.get_by_role("button", name="Create").click()
        await page.locator("[aria-invalid]").first.wait_for()

    async def planned() -> None:
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="Leave").click()
        await page.get_by_role("button", name="get-user").last.click()
        await page.get_by_role("button", name="Show the request").click()
        await page.get_by_role("row", name="Accept").wait_for()

    async def called() -> None:
        api.plane.ending = lambda asked: {**responding(asked), "status": 404}
        await page.get_by_role("button", name="Call", exact=True).click()
        await page.locator(".result .badge").wait_for()
        await page.locator(".result summary").click()

    async def rejected() -> None:
        limit = {"code": "concurrency_limit", "message": "full", "fields": [("login", "is missing")]}
        api.plane.ending = lambda asked: failing(asked, limit)
        await page.get_by_role("button", name="Call", exact=True).click()
        await page.locator("[aria-invalid]").wait_for()

    async def away() -> None:
        await page.keyboard.press("Escape")
        await page.keyboard.press("Escape")
        api.plane.reachable = False
        await page.locator(".link[data-state=away]").wait_for()

    steps: list[tuple[str, Callable[[], Awaitable[object]]]] = [
        ("detail", detail),
        ("request", request),
        ("edit", edit),
        ("wrong", wrong),
        ("good", good),
        ("conflict", conflict),
        ("delete", delete),
        ("refusals", refusals),
        ("account", account),
        ("calls", calls),
        ("connection", connection),
        ("new", new),
        ("planned", planned),
        ("called", called),
        ("rejected", rejected),
        ("away", away),
    ]
    for what, do in steps:
        await do()
        await look(visit, what)
