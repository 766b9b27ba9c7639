"""Draws docs/images again: `make pictures`. It is no test, so pytest does not find it by itself."""

from __future__ import annotations

import asyncio
import math
import os
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from admin.conftest import Api, snapshot_of
from page.conftest import BOUNDS, breaker, explanation, move, open_page, outcome, proxies, refusal, remembered

from gateway.admin.live_feed import LiveFeed

if TYPE_CHECKING:
    from playwright.async_api import Browser

FOLDER = Path(os.environ.get("PICTURES", "docs/images"))
pytestmark = pytest.mark.timeout(180)

WATCHED = {"max_concurrent": 100, "limiter": {"mode": "shadow"}}
SHOWN: list[tuple[str, str, dict[str, Any], float, float]] = [
    ("sidecar", "/-/ai", {"max_concurrent": 40, "queue": {"max_waiting": 20, "timeout": 10}}, 34, 1.2),
    ("openai", "/-/openai", {"upstream": "https://api.openai.com/v1", **WATCHED}, 112, 0.7),
    ("embeddings", "/-/embed", {"max_concurrent": 8}, 61, 0.06),
    ("transcribe", "/-/transcribe", {"max_concurrent": 4, "queue": {"max_waiting": 16, "timeout": 30}}, 2, 3.4),
    ("payments", "/webhooks/pay", {"upstream": "https://payments.example.com"}, 9, 0.18),
    ("reports", "/reports", {}, 3, 0.4),
]
LOADS = {
    "sidecar": {"in_flight": 27, "limit": 40, "queue_limit": 20, "streams": 27, "pool_open": 31, "pool_idle": 4},
    "openai": {"in_flight": 104, "limit": 100, "streams": 104, "pool_open": 112, "pool_idle": 8},
    "embeddings": {"in_flight": 8, "limit": 8, "streams": 8, "pool_open": 8},
    "transcribe": {"in_flight": 4, "limit": 4, "waiting": 7, "queue_limit": 16, "streams": 11, "pool_open": 4},
    "payments": {"breaker": "open", "pool_open": 0},
    "reports": {"breaker": "off", "in_flight": 1, "streams": 1, "pool_open": 2, "pool_idle": 1},
}


REFUSED = [
    ("payments", "breaker_open", 503),
    ("payments", "dial_failed", 502),
    ("embeddings", "concurrency_limit", 429),
    ("sidecar", "header_timeout", 504),
    ("transcribe", "queue_timeout", 429),
    ("openai", "unauthenticated", 401),
]


class Traffic:
    """Invents what proxies do, beat by beat."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.random = random.Random(7)
        self.due = dict.fromkeys(LOADS, 0.0)
        self.counts = {name: [0] * (len(BOUNDS) + 1) for name, *_ in SHOWN}
        now = time.time()
        steps = [
            (-410, "closed", "open"),
            (-380, "open", "half_open"),
            (-378, "half_open", "closed"),
            (-48, "closed", "open"),
            (-18, "open", "half_open"),
            (-16, "half_open", "open"),
        ]
        words = {"open": "failure_threshold", "half_open": "recovery_timeout", "closed": "probe_succeeded"}
        words["half_openopen"] = "probe_failed"
        causes = [words.get(was + to, words[to]) for _, was, to in steps]
        self.steps = [
            {"at": now + at, "from": was, "to": to, "reason": cause}
            for (at, was, to), cause in zip(steps, causes, strict=True)
        ]
        failed = {
            "failure_threshold": [outcome(number, 0.0, "dial_failed") for number in (3, 11, 14)],
            "probe_failed": [outcome(20, 0.0, "dial_timeout")],
        }
        self.moves = [
            move(
                now + at,
                was,
                to,
                cause,
                *({**told, "at": now + at - 1.7 * place} for place, told in enumerate(reversed(failed.get(cause, [])))),
            )
            for (at, was, to), cause in zip(steps, causes, strict=True)
        ]

    def beat(self, number: int, seconds: float) -> None:
        for name, _, _, rate, latency in SHOWN:
            counts = self.counts[name]
            self.due[name] += rate * seconds * (0.8 + 0.4 * self.random.random())
            asked, self.due[name] = divmod(self.due[name], 1)
            for _ in range(int(asked)):
                middle = latency * (1 + 0.35 * math.sin(number / 9)) * self.random.lognormvariate(0, 0.5)
                counts[next((i for i, bound in enumerate(BOUNDS) if middle <= bound), len(BOUNDS))] += 1
            total, broken = sum(counts), name == "payments"
            known: dict[str, Any] = {"requests": total, "bytes_out": total * 4200, "bytes_in": total * 900}
            known |= {"errors": total * broken, "refused": total * broken + total // 20 * (name == "embeddings")}
            known |= {"shadowed": total // 9 * (name == "openai")}
            if broken:
                known |= {"breaker_history": self.steps, "breaker_since": self.steps[-1]["at"]}
            latency_ = {"bounds": BOUNDS, "counts": list(counts)}
            self.api.plane.proxies[name] = snapshot_of(**{**known, **LOADS[name], "latency": latency_})
        told = breaker(*self.moves)
        left = told["next_probe"] - time.time()
        self.api.plane.explanations["payments"] = explanation(
            "payments",
            verdict="refuse",
            sentence=f"a request would be refused (503 breaker_open) for {left:.1f} s more",
            breaker=told,
            limiter=None,
            queue=None,
            pool=explanation("payments")["pool"] | {"open": 0, "idle": 0, "dials": 24, "reuses": 1630},
        )


async def stage(api: Api) -> None:
    file = {"name": "legacy", "path": "/legacy", "upstream": "http://10.0.0.7:8000", "access_rule": "true"}
    api.file.declared = (file,)
    api.plane.proxies["legacy"] = snapshot_of(breaker="off")
    await api.call("PUT", "/secrets/SIDECAR_KEY", {"value": "sk-1234567890"})
    for name, path, settings, _, _ in SHOWN:
        more = {"headers": {"Authorization": "Bearer {secret.SIDECAR_KEY}"}, "circuit_breaker": {"enabled": True}}
        await proxies(api, name, **{"path": path, "access_rule": "@request.auth.id != ''", **more, **settings})
    for number in range(46):
        name, reason, status = random.Random(number).choice(REFUSED)
        line = refusal(name, reason, status, number)
        times = {"attempts": 1, "dial_ms": 1.2, "upload_ms": 0.3} if status > 503 else {}
        api.plane.requests[str(line["request_id"])] = remembered(line, **times, proxy_latency_ms=0.4)
        api.plane.refused.append(line)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_pictures(api: Api, browser: Browser, scheme: Any) -> None:
    traffic = Traffic(api)
    await stage(api)
    period = 0.12
    api.administration.live_feed = LiveFeed(api.plane, period=period)

    async def flow() -> None:
        for number in range(100000):
            traffic.beat(number, period)
            await asyncio.sleep(period)

    flowing = asyncio.create_task(flow())
    context = await browser.new_context(viewport={"width": 1360, "height": 860}, color_scheme=scheme)
    visit = await open_page(context, api.base)
    page = visit.page
    await visit.board()
    await page.mouse.move(5, 5)
    await asyncio.sleep(61 * period)
    await page.screenshot(path=FOLDER / f"proxies-{scheme}.png")
    await page.get_by_role("link", name="Refusals").click()
    await page.get_by_text("header_timeout").nth(1).click()
    await page.locator(".refusals .way").wait_for()
    await page.screenshot(path=FOLDER / f"refusals-{scheme}.png")
    await page.get_by_role("link", name="Proxies").click()
    await page.get_by_role("link", name="payments").click()
    await page.locator("summary.move").first.click()
    await page.wait_for_timeout(400)
    await page.screenshot(path=FOLDER / f"detail-{scheme}.png")
    await page.get_by_role("button", name="Edit").click()
    await page.wait_for_timeout(400)
    await page.get_by_text("Circuit breaker", exact=True).click()
    await page.get_by_label("Failures in a row").fill("3")
    await page.get_by_role("button", name="Check").click()
    await page.wait_for_timeout(400)
    await page.screenshot(path=FOLDER / f"edit-{scheme}.png")
    await page.get_by_role("button", name="Close").click()
    if "PICTURES" in os.environ:  # only to look at
        for width in (360, 2560):
            await page.set_viewport_size({"width": width, "height": 900})
            await page.screenshot(path=FOLDER / f"{width}-{scheme}.png")
    await context.close()
    flowing.cancel()
    assert not visit.complaints
