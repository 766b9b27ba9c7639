"""The access token of a connection on the page: its status, an authorization by a person, and its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import resources
from urllib.parse import parse_qs, urlsplit

import pytest
from admin.conftest import Api
from aiohttp import web
from page.conftest import Visit
from page.test_accessibility import look
from page.test_calls import open_calls
from playwright.async_api import expect

from gateway.config.grants import grants_of

pytestmark = pytest.mark.timeout(90)

Respond = Callable[[str], dict[str, object]]


@asynccontextmanager
async def provider(respond: Respond) -> AsyncIterator[str]:
    """An identity provider that responds to each path with what ``respond`` makes of it."""

    async def handle(request: web.Request) -> web.Response:
        made = respond(request.path)
        return web.json_response(made, status=400 if "error" in made else 200)

    app = web.Application()
    app.router.add_route("POST", "/{path}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def stored(api: Api, auth: dict[str, object]) -> None:
    """A connection of the database, whose grant is served as the control process would."""
    connection = {"name": "calendar", "base_url": "https://calendar.test", "auth": auth}
    answer = await api.call("POST", "/connections", connection)
    assert answer.status == 201, answer.body
    (record,) = await api.store.connections.list()
    broker = api.administration.grants._broker
    assert broker is not None
    await broker.serve(grants_of([record.value.definition.record("calendar")]))  # type: ignore[union-attr]


async def open_connection(visit: Visit) -> None:
    await open_calls(visit)
    await visit.page.get_by_role("button", name="calendar").click()
    await expect(visit.page.get_by_role("heading", name="Access token")).to_be_visible()


async def test_a_person_agrees_in_a_browser_and_the_tokens_are_forgotten_again(api: Api, visit: Visit) -> None:
    page = visit.page
    async with provider(lambda path: {"access_token": "the-token", "token_type": "Bearer", "expires_in": 3600}) as url:
        await stored(
            api,
            {
                "type": "oauth2_authorization_code",
                "authorize_url": f"{url}/authorize",
                "token_url": f"{url}/token",
                "redirect_uri": f"{api.base}/api/gateway/oauth/callback",
                "client_id": "gateway",
                "client_secret": "the-secret",
            },
        )
        await open_connection(visit)
        await expect(page.locator("dialog .badge")).to_have_text("Unbound")
        await expect(page.get_by_role("button", name="Forget its tokens")).to_be_hidden()
        await page.get_by_role("button", name="Authorize").click()
        link = page.get_by_role("link", name="Open the page of the provider")
        await expect(link).to_be_focused()
        await page.evaluate((resources.files("axe_playwright_python") / "axe.min.js").read_text())
        await look(visit, "an authorization")
        target = await link.get_attribute("href")
        assert target is not None
        assert target.startswith(f"{url}/authorize?")
        (state,) = parse_qs(urlsplit(target).query)["state"]
        tab = await page.context.new_page()  # where the provider sends the browser back to
        await tab.goto(f"{api.base}/api/gateway/oauth/callback?state={state}&code=c")
        await expect(tab.get_by_text("Connection calendar is authorized.")).to_be_visible()
        await tab.close()
        await expect(page.get_by_text("calendar is authorized.")).to_be_visible()
        await expect(page.locator("dialog .badge")).to_have_text("Ready")
        await page.get_by_role("button", name="Forget its tokens").click()
        await page.get_by_role("button", name="Forget them").click()
        await expect(page.locator("dialog .badge")).to_have_text("Unbound")
    assert "the-token" not in "".join(api.texts)


async def test_a_device_code_is_shown_and_a_denial_says_why(api: Api, visit: Visit) -> None:
    page = visit.page
    begun: dict[str, object] = {
        "device_code": "d",
        "user_code": "WDJB-MJHT",
        "verification_uri": "https://login.test/device",
        "expires_in": 600,
        "interval": 1,
    }
    denied: dict[str, object] = {"error": "access_denied"}
    async with provider(lambda path: begun if path == "/device" else denied) as url:
        auth = {"type": "oauth2_device", "device_url": f"{url}/device", "token_url": f"{url}/token", "client_id": "g"}
        await stored(api, {**auth, "client_auth": "none"})
        await open_connection(visit)
        await page.get_by_role("button", name="Authorize").click()
        await expect(page.get_by_text("WDJB-MJHT")).to_be_visible()
        await expect(page.get_by_text("It failed: the identity provider refuses: access_denied.")).to_be_visible()


async def test_tokens_that_no_person_agrees_to_have_a_status_alone(api: Api, visit: Visit) -> None:
    page = visit.page
    auth = {"type": "oauth2_client_credentials", "token_url": "http://127.0.0.1:1/t", "client_id": "g"}
    await stored(api, {**auth, "client_secret": "s"})
    await open_connection(visit)
    await expect(page.locator("dialog .badge")).to_have_text("Not issued")
    await expect(page.get_by_role("button", name="Authorize")).to_have_count(0)
