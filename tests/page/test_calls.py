"""Connections and actions on the page: what there is, a test, a dry run and a call, and what is wrong with an input."""

from __future__ import annotations

from pathlib import Path

import pytest
from admin.conftest import GET_USER, GITHUB, Api, responding
from harness.strangers import FAR, known
from page.conftest import INPUT, PLANNED, Visit, failing
from playwright.async_api import Page, expect

from gateway.ipc.calls import Failure

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(autouse=True)
def with_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GET_USER, "input_schema", INPUT)


async def open_calls(visit: Visit) -> None:
    await visit.board()
    await visit.page.get_by_role("link", name="Calls").click()
    await expect(visit.page.get_by_role("heading", name="Calls")).to_be_visible()


async def open_action(visit: Visit) -> None:
    await open_calls(visit)
    await visit.page.get_by_role("button", name="get-user").click()
    await expect(visit.page.get_by_role("heading", name="get-user")).to_be_visible()


async def press(page: Page, name: str) -> None:
    """Click the button that saves a dialog, and wait until the dialog is gone."""
    await page.get_by_role("button", name=name).click()
    await expect(page.locator("dialog")).to_have_count(0)


async def stored_password(api: Api) -> tuple[int, str]:
    """The version and the password of the only connection."""
    (stored,) = await api.store.connections.list()
    return stored.version, stored.value.definition.auth.password  # type: ignore[union-attr]


async def test_the_list_and_its_search(visit: Visit) -> None:
    page = visit.page
    await open_calls(visit)
    row = page.locator("li.call")
    await expect(page.locator(".sum")).to_have_text("1 connection · 1 action")
    await expect(row).to_contain_text("https://api.github.test")
    await expect(row).to_contain_text("auth: bearer")
    search = page.get_by_label("Search")
    await search.fill("users/")  # a path of its action
    await expect(row).to_have_count(1)
    await search.fill("nothing")
    await expect(row).to_have_count(0)
    await expect(page.get_by_text("No connection fits the search.")).to_be_visible()


async def test_another_tenant_has_its_own(visit: Visit) -> None:
    page = visit.page
    await open_calls(visit)
    await page.get_by_label("Tenant").fill("acme")
    await page.get_by_label("Tenant").press("Enter")
    await expect(page.get_by_text("This tenant has no connection yet.")).to_be_visible()


async def test_a_connection_is_tested(api: Api, visit: Visit) -> None:
    page = visit.page
    await open_calls(visit)
    await page.get_by_role("button", name="github").click()
    await expect(page.get_by_text(GITHUB["trn"])).to_be_visible()
    await page.get_by_role("button", name="Test").click()
    await expect(page.get_by_role("status")).to_have_text("It responds with status 200.")

    api.plane.ending = lambda asked: failing(asked, {"code": "dial_failed", "message": "it cannot be reached"})
    await page.get_by_role("button", name="Test").click()
    await expect(page.get_by_role("status")).to_have_text("It does not respond: it cannot be reached.")


async def test_a_dry_run_shows_the_request_and_where_its_fields_come_from(api: Api, visit: Visit) -> None:
    page = visit.page
    api.plane.ending = lambda asked: {**responding(asked), "planned": PLANNED}
    await open_action(visit)
    await page.get_by_label("Login").fill("octocat")
    await page.get_by_role("button", name="Show the request").click()
    await expect(page.locator("pre.code")).to_have_text("GET https://api.github.test/users/octocat")
    await expect(page.get_by_role("row", name="Authorization")).to_contain_text("auth")
    await expect(page.get_by_text("GET sends no body")).to_be_visible()
    assert api.plane.called[-1].dry_run


async def test_a_call_sends_what_is_filled_in(api: Api, visit: Visit) -> None:
    page = visit.page
    api.plane.ending = lambda asked: {**responding(asked), "body": b'{"login":"octocat"}'}
    await open_action(visit)
    await page.get_by_label("Login").fill("octocat")
    await page.get_by_label("Page").fill("2")
    await page.get_by_label("Sort").select_option("oldest")
    await page.get_by_label("Filter").fill('{"a": [1]}')
    await page.get_by_role("button", name="Call").click()
    await expect(page.locator(".badge", has_text="Status 200")).to_be_visible()
    await expect(page.locator("pre.code")).to_have_text('{\n  "login": "octocat"\n}')
    await expect(page.get_by_text("250 ms, 1 attempt")).to_be_visible()
    (asked,) = api.plane.called
    assert asked.input == {"login": "octocat", "page": 2, "sort": "oldest", "filter": {"a": [1]}}
    assert not asked.dry_run


async def test_wrong_input_is_shown_at_its_field(api: Api, visit: Visit) -> None:
    page = visit.page
    fields = [("login", "is missing"), ("", "is not what the action takes")]
    wrong: Failure = {"status": 400, "code": "validation.invalid_input", "title": "No", "message": "the input is wrong"}
    api.plane.ending = lambda asked: {**responding(asked), "failure": {**wrong, "fields": fields}}
    await open_action(visit)
    await page.get_by_role("button", name="Call").click()
    login = page.get_by_label("Login")
    await expect(login).to_be_focused()
    await expect(login).to_have_attribute("aria-invalid", "true")
    await expect(page.locator("[id='f-login-error']")).to_have_text("is missing")
    await expect(page.get_by_role("alert").first).to_contain_text("is not what the action takes")


async def test_a_rejected_call_says_why_and_when_to_try_again(api: Api, visit: Visit) -> None:
    page = visit.page
    limit = {"status": 429, "code": "concurrency_limit", "message": "5 of 5 permits are in use", "retry_after": 3}
    api.plane.ending = lambda asked: failing(asked, limit)
    await open_action(visit)
    await page.get_by_role("button", name="Call").click()
    await expect(page.get_by_text("5 of 5 permits are in use. Try again in 3 s.")).to_be_visible()
    await expect(page.get_by_role("button", name="Call")).to_be_enabled()


async def test_a_body_that_is_no_text_is_saved(api: Api, visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    content = bytes(range(256))
    api.plane.ending = lambda asked: {**responding(asked), "headers": [], "body": content}
    await open_action(visit)
    await page.get_by_role("button", name="Call").click()
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Save the body").click()
    await (await download.value).save_as(tmp_path / "body")
    assert (tmp_path / "body").read_bytes() == content


async def test_markup_in_a_response_stays_text(api: Api, visit: Visit) -> None:
    page = visit.page
    markup = "<img src=x onerror=document.title='owned'>"
    api.plane.ending = lambda asked: {**responding(asked), "headers": [("X-Note", markup)], "body": markup.encode()}
    await open_action(visit)
    await page.get_by_role("button", name="Call").click()
    await expect(page.locator("pre.code")).to_have_text(markup)
    assert await page.locator("img[src=x]").count() == 0


async def test_a_connection_is_made_changed_and_deleted_with_its_action(api: Api, visit: Visit) -> None:
    page = visit.page
    await open_calls(visit)
    await page.get_by_role("button", name="New connection").click()
    await page.get_by_label("Name", exact=True).fill("shop")
    await page.get_by_label("Base url").fill("shop.test")
    await page.get_by_label("Auth").select_option("bearer")
    token = page.get_by_label("Token")
    await expect(token).to_have_attribute("type", "password")
    await page.get_by_role("button", name="Create").click()
    await expect(page.locator("[id='f-base_url-error']")).to_contain_text("http://")
    await expect(page.locator("[id='f-auth.token-error']")).not_to_be_empty()
    await page.get_by_label("Base url").fill("https://shop.test/v1")
    await token.fill("the-token")
    await page.get_by_role("button", name="Check").click()
    await expect(page.locator(".outcome")).to_contain_text("It is valid")
    assert (await api.call("GET", "/connections/shop")).status == 404
    await press(page, "Create")
    row = page.locator("li.call", has_text="shop.test")
    await expect(row).to_contain_text("auth: bearer")

    await row.get_by_role("button", name="shop").click()
    await page.get_by_role("button", name="New action").click()
    await expect(page.get_by_label("Connection")).to_have_value("shop")
    await page.get_by_label("Name", exact=True).fill("find")
    await page.get_by_label("Path").fill("/orders/{id}")
    await press(page, "Create")
    await row.get_by_role("button", name="find").click()
    await expect(page.get_by_text("GET /orders/{id}")).to_be_visible()
    await page.keyboard.press("Escape")

    await row.get_by_role("button", name="shop").click()
    await page.get_by_role("button", name="Edit").click()
    await expect(page.get_by_label("Token")).to_have_value("[REDACTED]")
    await page.get_by_label("Description").fill("Orders")
    await page.locator("summary", has_text="Rate limits").click()
    limits = page.get_by_label("Rate limits")
    await limits.fill('[{"rate": 100, "per": 60, "key": "client"}]')
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("[id='f-rate_limits-error']")).to_contain_text("must be all: a call of an action has no")
    await limits.fill('[{"rate": 100, "per": 60}]')
    await press(page, "Save")
    saved = (await api.call("GET", "/connections/shop")).body
    assert (saved["description"], saved["record"]["version"]) == ("Orders", 2)
    assert saved["record"]["settings"]["rate_limits"] == [{"rate": 100, "per": 60}]
    (stored,) = await api.store.connections.list()
    assert stored.value.definition.auth.token == "the-token"  # type: ignore[union-attr]

    await row.get_by_role("button", name="shop").click()
    await page.get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("Its actions go with it: trn:openact:default:action/http/find@v1.")).to_be_visible()
    await page.get_by_label("Type shop to confirm").fill("shop")
    await page.get_by_role("button", name="Delete").last.click()
    await expect(row).to_have_count(0)
    assert (await api.call("GET", "/actions/find")).status == 404


@pytest.mark.covers("ACT-33")
async def test_each_connector_has_its_form(api: Api, visit: Visit) -> None:
    page = visit.page
    await open_calls(visit)
    await page.get_by_label("Kind").select_option("sql")
    await page.get_by_role("button", name="New connection").click()
    await page.get_by_label("Name", exact=True).fill("orders")
    await page.get_by_label("Url").fill("sqlite:///shop.db")
    await page.get_by_label("Auth").select_option("basic")
    await page.get_by_label("Username").fill("reader")
    password = page.get_by_label("Password")
    await expect(password).to_have_attribute("type", "password")
    await password.fill("the-password")
    await page.get_by_role("button", name="Create").click()
    await expect(page.locator("[id='f-url-error']")).to_contain_text("names files of the gateway's machine")
    await page.get_by_label("Url").fill("postgresql://db.test/shop")
    await press(page, "Create")
    assert await stored_password(api) == (1, "the-password")
    row = page.locator("li.call", has_text="postgresql://db.test:5432")
    await row.get_by_role("button", name="orders").click()
    await page.get_by_role("button", name="New action").click()
    await page.get_by_label("Name", exact=True).fill("find")
    await page.get_by_label("Statement").fill("SELECT name FROM products WHERE id = :id")
    await press(page, "Create")
    assert (await api.call("GET", "/actions/find")).body["trn"] == "trn:openact:default:action/sql/find@v1"
    await row.get_by_role("button", name="orders").click()
    await page.get_by_role("button", name="Edit").click()
    await expect(page.get_by_label("Password")).to_have_value("[REDACTED]")
    await page.get_by_label("Description").fill("Orders")
    await press(page, "Save")
    assert await stored_password(api) == (2, "the-password")


async def test_a_connector_of_another_package_has_a_form_too(api: Api, visit: Visit) -> None:
    page = visit.page
    with known(FAR):
        await open_calls(visit)
        await page.get_by_label("Kind").select_option("far")
        await page.get_by_role("button", name="New connection").click()
        await page.get_by_label("Name", exact=True).fill("moon")
        await page.get_by_role("button", name="Create").click()
        await expect(page.locator("[id='f-password-error']")).not_to_be_empty()
        await page.get_by_label("Host").fill("moon.test")
        password = page.get_by_label("Password")
        await expect(password).to_have_attribute("type", "password")
        await password.fill("the-password")
        await press(page, "Create")
        (stored,) = await api.store.connections.list()
        assert stored.value.definition.password == "the-password"  # type: ignore[union-attr]
        row = page.locator("li.call", has_text="moon")
        await row.get_by_role("button", name="moon").click()
        await page.get_by_role("button", name="New action").click()
        await page.get_by_label("Name", exact=True).fill("greet")
        await page.get_by_label("Word").fill("good evening")
        await press(page, "Create")
        shown = (await api.call("GET", "/actions/greet")).body
        assert (shown["trn"], shown["record"]["settings"]["word"]) == (
            "trn:openact:default:action/far/greet@v1",
            "good evening",
        )
        await row.get_by_role("button", name="greet").click()
        await page.get_by_role("button", name="Edit").click()
        await expect(page.get_by_label("Word")).to_have_value("good evening")


async def test_another_login_keeps_nothing_of_the_one_before(api: Api, visit: Visit) -> None:
    page = visit.page
    await open_calls(visit)
    await page.get_by_role("button", name="New connection").click()
    await page.get_by_label("Name", exact=True).fill("shop")
    await page.get_by_label("Base url").fill("https://shop.test")
    await page.get_by_label("Auth").select_option("bearer")
    await page.get_by_label("Token").fill("the-token")
    await page.get_by_label("Auth").select_option("api_key")
    await page.get_by_label("Name", exact=True).last.fill("X-Api-Key")
    await page.get_by_label("Value", exact=True).fill("the-key")
    await press(page, "Create")
    stored = (await api.call("GET", "/connections/shop")).body["record"]["settings"]["auth"]
    assert stored == {"type": "api_key", "name": "X-Api-Key", "value": "[REDACTED]", "in": "auto"}


async def test_another_user_has_changed_it_meanwhile(api: Api, visit: Visit) -> None:
    page = visit.page
    assert (await api.call("POST", "/connections", {"name": "shop", "base_url": "https://shop.test"})).status == 201
    await open_calls(visit)
    await page.get_by_role("button", name="shop").click()
    await page.get_by_role("button", name="Edit").click()
    await page.get_by_label("Description").fill("mine")
    theirs = {"description": "theirs", "max_concurrent": 5, "version": 1}
    assert (await api.call("PATCH", "/connections/shop", theirs)).status == 200
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("heading", name="Another user changed this connection meanwhile")).to_be_visible()
    await expect(page.get_by_role("row", name="max_concurrent")).to_be_visible()
    await page.get_by_role("button", name="Keep mine").click()
    await press(page, "Save")
    saved = (await api.call("GET", "/connections/shop")).body["record"]
    settings = saved["settings"]
    assert (saved["version"], settings["description"], settings.get("max_concurrent", 0)) == (3, "mine", 0)


async def test_what_stands_in_the_file_is_read_only(visit: Visit) -> None:
    page = visit.page
    await open_calls(visit)
    await expect(page.locator("li.call")).to_contain_text("read-only")
    await page.get_by_role("button", name="github").click()
    await expect(page.get_by_text("It stands in the configuration file")).to_be_visible()
    await expect(page.get_by_role("button", name="Edit")).to_have_count(0)


async def test_what_is_not_served_says_why(api: Api, visit: Visit) -> None:
    page = visit.page
    assert (await api.call("POST", "/connections", {"name": "shop", "base_url": "https://shop.test"})).status == 201
    off = {"name": "find", "connection": "shop", "enabled": False}
    assert (await api.call("POST", "/actions", off)).status == 201
    await open_calls(visit)
    await page.get_by_role("button", name="find, not served").click()
    await expect(page.get_by_text("It is switched off, and is not there for a caller.")).to_be_visible()
    await expect(page.get_by_role("button", name="Call")).to_have_count(0)
    await page.get_by_role("button", name="Edit").click()
    await page.get_by_label("Enabled").check()
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("button", name="find", exact=True)).to_be_visible()
