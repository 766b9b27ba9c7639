"""Connections and actions on the page: what there is, a test, a dry run and a call, and what is wrong with an input."""

from __future__ import annotations

from pathlib import Path

import pytest
from admin.conftest import GET_USER, GITHUB, Api, responding
from page.conftest import INPUT, PLANNED, Visit, failing
from playwright.async_api import expect

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
