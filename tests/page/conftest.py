"""The live page in a real browser, over the real API and database, with a stand-in for the data plane."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from admin.conftest import EMAIL, PASSWORD, Api, api, responding, snapshot_of  # noqa: F401 # `api` is a fixture
from harness import chromium

from gateway.admin.live_feed import LiveFeed
from gateway.ipc.calls import Asked, Called, Planned
from gateway.ipc.explanation import BreakerView, Explanation, GroupView, MoveView, OutcomeView

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page

INPUT = {
    "type": "object",
    "required": ["login"],
    "properties": {
        "login": {"type": "string", "description": "Whose account.", "examples": ["octocat"]},
        "page": {"type": "integer", "minimum": 1},
        "sort": {"enum": ["newest", "oldest"]},
        "deep": {"type": "boolean"},
        "filter": {"type": "object"},
    },
}
"""The input schema of an action, with a property of each kind."""
PLANNED: Planned = {
    "method": "GET",
    "url": "https://api.github.test/users/octocat",
    "headers": [
        {"name": "Accept", "value": "application/json", "layer": "connection"},
        {"name": "Authorization", "value": "[REDACTED]", "layer": "auth"},
    ],
    "body": "",
    "warnings": ["GET sends no body"],
}
"""A dry run of an action with `INPUT`."""
BOUNDS = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]


class Visit:
    """One tab, and everything that it complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.expected: tuple[str, ...] = ()
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _heard(self, kind: str, text: str) -> None:
        # The browser itself notes each answer above 399; those are refusals that a test asks for.
        if kind in ("error", "warning") and not text.startswith("Failed to load resource: the server responded"):
            self.complaints.append(text)

    async def log_in(self, password: str = PASSWORD) -> None:
        await self.page.get_by_label("Email").fill(EMAIL)
        await self.page.get_by_label("Password").fill(password)
        await self.page.get_by_role("button", name="Log in").click()

    async def board(self) -> None:
        """Log in and wait until the live view is there."""
        await self.log_in()
        await self.page.locator(".link[data-state=live]").wait_for()

    def row(self, name: str) -> Any:
        return self.page.locator("li.proxy").filter(has=self.page.get_by_role("link", name=name, exact=True))


def pytest_collection_finish(session: pytest.Session) -> None:
    here = Path(__file__).parent
    if not session.config.option.collectonly and any(item.path.parent == here for item in session.items):
        chromium.prepare()


@pytest.fixture(scope="session")
def chromium_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chromium.running(tmp_path_factory.mktemp("chromium")) as url:
        yield url


@pytest.fixture
async def browser(chromium_url: str) -> AsyncIterator[Browser]:
    async with chromium.connected(chromium_url) as browser:
        yield browser


async def open_page(context: BrowserContext, base: str) -> Visit:
    context.set_default_timeout(8000)
    visit = Visit(await context.new_page())
    await visit.page.goto(f"{base}/")
    return visit


@pytest.fixture
async def visit(api: Api, browser: Browser) -> AsyncIterator[Visit]:  # noqa: F811
    """At the door. At the end nothing was complained of: no error, and nothing that the policy forbids."""
    api.administration.live_feed = LiveFeed(api.plane, period=0.1)
    context = await browser.new_context(viewport={"width": 1360, "height": 900})
    made = await open_page(context, api.base)
    yield made
    assert not made.complaints
    await context.close()


async def proxies(api: Api, *names: str, **settings: object) -> None:  # noqa: F811
    for name in names:
        body = {"name": name, "path": f"/{name}", "upstream": "http://127.0.0.1:9000", **settings}
        assert (await api.call("POST", "/proxies", body)).status == 201
        api.plane.proxies[name] = snapshot_of(limit=5, breaker="closed")


def refusal(name: str, reason: str, status: int, number: int = 0) -> dict[str, object]:
    """A line of the access log."""
    return {
        "ts": time.time() - 60 + number,
        "request_id": f"r{number:06d}",
        "proxy_name": name,
        "method": "GET",
        "path": f"/{name}/v1/chat",
        "status_code": status,
        "reason": reason,
        "duration_ms": 30002.5 if status == 504 else 10001.0 if reason == "queue_timeout" else 0.4,
        "queue_ms": 10000.2 if reason == "queue_timeout" else 0.0,
        "circuit_state": "open" if reason == "breaker_open" else "closed",
        "client": "192.0.2.7",
        "protocol": "2",
        "upstream_protocol": "",
        "upstream": "",
    }


def outcome(number: int, at: float, reason: str = "dial_failed", word: str = "failure") -> OutcomeView:
    """Of request ``number``, as `refusal` numbers them."""
    return {"at": at, "outcome": word, "reason": reason, "status": 502, "request_id": f"r{number:06d}"}


def move(at: float, old: str, new: str, cause: str, *outcomes: OutcomeView, by: str = "") -> MoveView:
    return {"at": at, "old": old, "new": new, "cause": cause, "by": by, "outcomes": list(outcomes)}


def breaker(*moves: MoveView, **known: Any) -> BreakerView:
    """One that opened after three failures, but for what is ``known`` of it."""
    last = moves[-1]
    made: BreakerView = {
        "mode": "enforce",
        "state": last["new"],
        "since": last["at"],
        "failures": 3,
        "failure_threshold": 3,
        "recovery_timeout": 30.0,
        "half_open_requests": 1,
        "probes": 0,
        "next_probe": last["at"] + 30 if last["new"] == "open" else 0.0,
        "outcomes": [],
        "moves": list(moves),
    }
    return cast(BreakerView, made | known)


def explanation(name: str, **known: Any) -> Explanation:
    """Of a proxy with a limit of five that does nothing, but for what is ``known`` of it."""
    sentence = "a request would be forwarded at once: 5 of 5 permits are free"
    made: Explanation = {
        "proxy": name,
        "at": time.time(),
        "verdict": "admit",
        "reason": "",
        "sentence": sentence,
        "active": [],
        "active_count": 0,
        "limiter": {
            "mode": "enforce",
            "max_concurrent": 5,
            "in_flight": 0,
            "available": 5,
            "hold": 0.4,
            "retry_after": 1,
        },
        "queue": {"mode": "enforce", "max_waiting": 4, "waiting": 0, "timeout": 10.0},
        "breaker": None,
        "pool": {
            "endpoint": "http://127.0.0.1:9000",
            "open": 3,
            "idle": 3,
            "in_use": 0,
            "sessions": 2,
            "streams": 9,
            "dials": 7,
            "reuses": 412,
            "idle_timeout": 90.0,
        },
    }
    return cast(Explanation, made | known)


def group_of(*endpoints: tuple[str, str]) -> GroupView:
    """Of endpoints by URL and standing, which have done nothing yet."""
    return {
        "balance": "least_request",
        "panic": False,
        "ejection_mode": "off",
        "endpoints": [
            {
                "url": url,
                "standing": standing,
                "weight": 1,
                "in_flight": 0,
                "attempts": 0,
                "failures": 0,
                "breaker": "off",
                "health": "",
                "checked_at": 0.0,
                "check_failure": "",
                "ejections": 0,
                "ejected_until": 0.0,
                "ejected_because": "",
                "probation": False,
            }
            for url, standing in endpoints
        ],
    }


def remembered(line: Mapping[str, object], **times: float) -> Mapping[str, object]:
    """A line of the access log with all that explanations read of it."""
    return {"shadow": "", "attempts": 0, **line, **times}


def failing(asked: Asked, failure: dict[str, object]) -> Called:
    """A call that ended with ``failure``, of which some members have a default."""
    made = {"status": 502, "title": "It failed", **failure}
    return {**responding(asked), "failure": made, "status": 0}  # type: ignore[typeddict-item]
