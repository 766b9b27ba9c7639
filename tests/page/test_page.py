"""What a superuser does with the live page, in a real browser."""

from __future__ import annotations

import re
import time

import pytest
from admin.conftest import EMAIL, PASSWORD, Api, snapshot_of
from harness.patience import eventually
from page.conftest import Visit, breaker, explanation, group_of, move, outcome, proxies, refusal, remembered
from playwright.async_api import expect

from gateway.config import values

pytestmark = pytest.mark.timeout(90)


LIMIT = {
    "name": "client", "key": "client", "mode": "shadow", "rate": 10, "per": 60, "burst": 20, "max_keys": 100, "keys": 7,
}  # fmt: skip


async def token_of(visit: Visit) -> str:
    return str(await visit.page.evaluate("sessionStorage.getItem('breakwater-token') ?? ''"))


async def test_log_in_wrong_right_and_out(api: Api, visit: Visit) -> None:
    page = visit.page
    await expect(page.get_by_label("Email")).to_be_focused()
    await visit.log_in("wrong password")
    await expect(page.get_by_role("alert")).to_have_text("The email or the password is wrong.")
    assert await token_of(visit) == ""
    await visit.board()
    assert page.url == f"{api.base}/_/"
    await expect(page.get_by_role("heading", name="Proxies")).to_be_visible()
    token = await token_of(visit)
    assert (await api.call("GET", "/proxies", token=token)).status == 200
    await page.reload()  # the tab stays logged in
    await page.locator(".link[data-state=live]").wait_for()
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_role("button", name="Log in")).to_be_visible()
    assert await token_of(visit) == ""
    assert (await api.call("GET", "/proxies", token=token)).status == 401
    assert token not in "".join(
        [*map(str, await page.evaluate("performance.getEntries().map((e) => e.name)")), page.url]
    )


async def test_the_fields_suit_a_password_manager(visit: Visit) -> None:
    email, password = visit.page.get_by_label("Email"), visit.page.get_by_label("Password")
    await expect(email).to_have_attribute("autocomplete", "username")
    await expect(password).to_have_attribute("autocomplete", "current-password")


@pytest.mark.covers("FR-024", "FR-025")
async def test_create_with_an_error_at_its_field_then_check_then_save(api: Api, visit: Visit) -> None:
    page = visit.page
    await visit.board()
    await page.get_by_role("button", name="New proxy").click()
    await page.get_by_label("Name", exact=True).fill("chat bot")
    await expect(page.locator("[id='f-name-error']")).to_contain_text("Letters, digits")  # a hint, while typing
    await page.get_by_label("Path").fill("/chat")
    await page.get_by_label("Upstream", exact=True).fill("h2c:/")
    await expect(page.locator("[id='f-upstream-error']")).to_contain_text("h2c://")
    await page.get_by_label("Upstream", exact=True).fill("h2c://127.0.0.1:9000")
    await expect(page.locator("[id='f-upstream-error']")).to_be_empty()
    await page.get_by_text("Circuit breaker", exact=True).click()
    await page.get_by_label("Failures in a row").fill("1000")
    await page.get_by_text("Circuit breaker", exact=True).click()
    await page.get_by_role("button", name="Create").click()
    name = page.get_by_label("Name", exact=True)
    await expect(name).to_have_attribute("aria-invalid", "true")
    await expect(name).to_be_focused()
    await expect(page.locator("[id='f-name-error']")).to_contain_text("choose such a name")
    failures = page.locator("[id='f-circuit_breaker.failure_threshold-error']")
    await expect(failures).to_be_visible()  # its group was opened
    await expect(failures).to_contain_text("must be at most 100")
    await name.fill("chat")
    await page.get_by_label("Failures in a row").fill("3")
    await page.get_by_role("button", name="Check").click()
    await expect(page.locator(".outcome")).to_contain_text("Route */chat (chat): added")
    await expect(page.locator(".outcome")).to_contain_text("No live exchange is touched")
    assert api.plane.applies == 1  # the login: a check changes nothing
    await page.get_by_role("button", name="Create").click()
    await expect(visit.row("chat")).to_be_visible()
    made = (await api.call("GET", "/proxies/chat")).body
    assert (made["version"], made["circuit_breaker"]["failure_threshold"]) == (1, 3)
    assert (made["upstream"], made["http2"]) == ("http://127.0.0.1:9000", "always")


@pytest.mark.covers("FR-026")
async def test_a_credential_becomes_a_secret(api: Api, visit: Visit) -> None:
    page = visit.page
    await proxies(api, "ai")
    await visit.board()
    await page.get_by_role("link", name="ai", exact=True).click()
    await page.get_by_role("button", name="Edit").click()
    await page.get_by_text("Login at the upstream, headers").click()
    await page.get_by_label("Login at the upstream", exact=True).select_option("bearer")
    await page.get_by_label("Secret", exact=True).fill("AI_KEY")
    token = page.get_by_label("Token", exact=True)
    await token.fill("sk-very-secret-1234")
    await expect(token).to_have_attribute("type", "password")
    await page.get_by_role("button", name="Show").click()
    await expect(token).to_have_attribute("type", "text")
    await page.get_by_role("button", name="Hide").click()
    await expect(token).to_have_attribute("type", "password")
    await page.get_by_role("button", name="Add a header").click()
    await page.get_by_label("Name of header").fill("X-Password")
    await page.get_by_label("Value of header").fill("written out")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".header-row .error")).to_contain_text("secret")
    await page.get_by_label("Name of header").fill("X-Team")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("dialog")).to_have_count(0)
    saved = (await api.call("GET", "/proxies/ai")).body
    assert saved["headers"] == {"Authorization": "Bearer {secret.AI_KEY}", "X-Team": "written out"}
    assert (await api.store.secrets.reveal())["AI_KEY"] == "sk-very-secret-1234"
    assert "sk-very-secret" not in await page.content()


async def test_a_new_secret_is_for_its_upstream_alone_when_that_is_ticked(api: Api, visit: Visit) -> None:
    page = visit.page
    await proxies(api, "ai")
    await visit.board()
    await page.get_by_role("link", name="ai", exact=True).click()
    await page.get_by_role("button", name="Edit").click()
    await page.get_by_text("Login at the upstream, headers").click()
    await page.get_by_label("Login at the upstream", exact=True).select_option("bearer")
    await page.get_by_label("Secret", exact=True).fill("AI_KEY")
    await page.get_by_label("Token", exact=True).fill("sk-very-secret-1234")
    await page.get_by_label("A new value may be sent to this upstream alone").check()
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("dialog")).to_have_count(0)
    upstream = (await api.call("GET", "/proxies/ai")).body["upstream"]
    assert (await api.call("GET", "/secrets/AI_KEY")).body["origins"] == [values.origin(upstream)]
    await page.get_by_role("link", name="ai", exact=True).click()
    await page.get_by_role("button", name="Edit").click()
    await page.get_by_label("Upstream", exact=True).fill("http://elsewhere.example.org")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".error").filter(has_text="AI_KEY may be sent to")).to_be_visible()


@pytest.mark.covers("FR-026")
@pytest.mark.parametrize(
    ("kind", "fields", "headers", "secret"),
    [
        ("basic", {"User": "ann", "Password": "pa:ss"}, {"Authorization": "Basic {secret.KEY}"}, "YW5uOnBhOnNz"),
        ("header", {"Header": "X-Api-Key", "Value": "k-1"}, {"X-Api-Key": "{secret.KEY}"}, "k-1"),
        ("none", {}, {}, ""),
    ],
)
async def test_each_kind_of_login(
    api: Api, visit: Visit, kind: str, fields: dict[str, str], headers: dict[str, str], secret: str
) -> None:
    page = visit.page
    assert (await api.call("PUT", "/secrets/OLD", {"value": "sk-1"})).status < 300
    await proxies(api, "ai", headers={"Authorization": "Bearer {secret.OLD}"})
    await visit.board()
    await page.get_by_role("link", name="ai", exact=True).click()
    await page.get_by_role("button", name="Edit").click()
    await page.get_by_text("Login at the upstream, headers").click()
    await page.get_by_label("Login at the upstream", exact=True).select_option(kind)
    for label, text in fields.items():
        await page.get_by_label(label, exact=True).fill(text)
    if secret:
        await page.get_by_label("Secret", exact=True).fill("KEY")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("dialog")).to_have_count(0)
    assert (await api.call("GET", "/proxies/ai")).body["headers"] == headers
    assert (await api.store.secrets.reveal()).get("KEY", "") == secret


@pytest.mark.covers("FR-022")
async def test_a_proxy_that_is_switched_off_is_shown_as_such(api: Api, visit: Visit) -> None:
    await proxies(api, "web")
    await proxies(api, "resting", active=False)
    await visit.board()
    await expect(visit.row("resting").locator(".badge")).to_have_text("Switched off")
    await expect(visit.row("web").locator(".badge")).to_have_text("Normal")


@pytest.mark.covers("EC-006", "FR-030")
async def test_a_conflict_shows_what_changed(api: Api, visit: Visit) -> None:
    page = visit.page
    await proxies(api, "web")
    await visit.board()
    for keep in (False, True):
        await visit.row("web").get_by_role("link").click()
        await page.get_by_role("button", name="Edit").click()
        await page.get_by_text("Limit and queue").click()
        await page.get_by_label("Most requests at a time").fill("7")
        version = (await api.call("GET", "/proxies/web")).body["version"]
        await api.call("PATCH", "/proxies/web", {"max_concurrent": 20 + version, "version": version})
        await page.get_by_role("button", name="Save").click()
        row = page.get_by_role("row", name=re.compile("max_concurrent"))
        await expect(row).to_contain_text(f"7{20 + version}")
        if keep:
            await page.get_by_role("button", name="Keep mine").click()
            await page.get_by_role("button", name="Save").click()
            await expect(page.locator("dialog")).to_have_count(0)
        else:
            await page.get_by_role("button", name="Load what is there now").click()
            await page.get_by_text("Limit and queue").click()
            await expect(page.get_by_label("Most requests at a time")).to_have_value(str(20 + version))
            await page.get_by_role("button", name="Cancel").click()
    assert (await api.call("GET", "/proxies/web")).body["max_concurrent"] == 7


@pytest.mark.covers("FR-022", "FR-029", "T028")
async def test_a_breaker_opens_live_and_is_reset(api: Api, visit: Visit) -> None:
    page = visit.page
    await proxies(api, "web")
    api.plane.breakers = {"web"}
    await visit.board()
    await expect(visit.row("web").locator(".badge")).to_have_text("Normal")
    step = {"at": time.time(), "from": "closed", "to": "open", "reason": "failure_threshold"}
    api.plane.proxies["web"] = snapshot_of(breaker="open", breaker_since=step["at"], breaker_history=[step])
    await expect(visit.row("web").locator(".badge")).to_have_text("Circuit open")
    await expect(page.locator("#told")).to_have_text("web: the breaker is open")
    await visit.row("web").get_by_role("link").click()
    await expect(page.locator(".steps")).to_contain_text("Closed → Open: failure threshold")
    await page.get_by_role("button", name="Reset breaker").click()
    await page.get_by_role("button", name="Cancel").click()
    assert "breaker.reset" not in [row.action for row in (await api.store.audit.list())[0]]
    await page.get_by_role("button", name="Reset breaker").click()
    await page.get_by_role("button", name="Reset", exact=True).click()
    await expect(page.locator("#told")).to_have_text("The breaker of web is reset")
    assert "breaker.reset" in [row.action for row in (await api.store.audit.list())[0]]


@pytest.mark.covers("FR-022", "FR-029")
async def test_figures_are_alive(api: Api, visit: Visit) -> None:
    await proxies(api, "web", max_concurrent=5)
    await visit.board()
    meter = visit.row("web").get_by_role("meter")
    for used in (2, 5):
        api.plane.proxies["web"] = snapshot_of(in_flight=used, limit=5, waiting=1, queue_limit=4)
        await expect(meter).to_have_attribute("aria-valuetext", f"{used} of 5")
    await expect(visit.row("web").locator(".waiting")).to_contain_text("1 / 4")
    await expect(visit.row("web").locator(".badge")).to_have_text("At its limit")


async def test_refusals_are_shown_explained_filtered_and_paused(api: Api, visit: Visit) -> None:
    page = visit.page
    await proxies(api, "web", "ai")
    api.plane.refused = [refusal("web", "breaker_open", 503, 1), refusal("ai", "concurrency_limit", 429, 2)]
    await visit.board()
    await page.get_by_role("link", name="Refusals").click()
    lines = page.locator(".refusals > li")
    await expect(lines).to_have_count(2)
    await lines.first.locator("summary").click()
    await expect(lines.first).to_contain_text("AI Engine is at capacity, please retry later")
    await expect(lines.first).to_contain_text("docs/reasons/concurrency_limit.md")
    await expect(lines.first).to_contain_text("ProtocolsHTTP/2 from the client")
    await page.get_by_label("Proxy").select_option("web")
    await expect(lines).to_have_count(1)
    await page.get_by_label("Reason").select_option("concurrency_limit")
    await expect(page.get_by_text("Nothing was refused")).to_be_visible()
    await page.get_by_label("Proxy").select_option("")
    await page.get_by_label("Reason").select_option("")
    await page.get_by_role("button", name="Pause").click()
    evil = refusal("web", "no_route", 404, 3) | {"path": "/<img src=x onerror=alert(1)>"}
    api.plane.refused.append(evil)
    await expect(page.get_by_text("1 more since the pause")).to_be_visible()
    await expect(lines).to_have_count(2)
    await page.get_by_role("button", name="Go on").click()
    await expect(lines).to_have_count(3)
    await expect(lines.first).to_contain_text("/<img src=x onerror=alert(1)>")


async def test_protections_run_in_shadow(api: Api, visit: Visit) -> None:
    page = visit.page
    await proxies(api, "web", max_concurrent=5, queue={"max_waiting": 4, "timeout": 1})
    await visit.board()
    await expect(visit.row("web").locator(".tag")).to_have_count(0)
    await visit.row("web").get_by_role("link").click()
    await page.get_by_role("button", name="Edit").click()
    for group in ("Limit and queue", "Circuit breaker", "Timeouts and timing"):
        await page.get_by_text(group, exact=True).click()
    for part in ("limit", "queue", "breaker"):
        await expect(page.get_by_label(f"Mode of the {part}")).to_have_value("enforce")
    await expect(page.get_by_text("the limit and its queue count and log what they would refuse")).to_be_visible()
    await page.get_by_label("Mode of the limit").select_option("Shadow")
    await page.get_by_label("The breaker watches the upstream").check()
    await page.get_by_label("Mode of the breaker").select_option("Shadow")
    await page.get_by_label("Show callers where the time went").check()
    await page.get_by_role("button", name="Save").click()
    await expect(visit.row("web").locator(".tag")).to_have_text("shadow: limit, queue, breaker")
    saved = (await api.call("GET", "/proxies/web")).body
    modes = [saved[part]["mode"] for part in ("limiter", "queue", "circuit_breaker")]
    assert (modes, saved["server_timing"]) == (["shadow", "enforce", "shadow"], True)

    for number in range(3):
        api.plane.proxies["web"] = snapshot_of(shadowed=number * 100, limit=5, in_flight=9, breaker="open")
        await page.wait_for_timeout(150)
    await expect(visit.row("web").locator(".badge")).to_have_text("Would be open")
    await expect(visit.row("web").locator(".refused")).to_contain_text(re.compile(r"\+ \d.* shadow"))
    api.plane.proxies["web"] = snapshot_of(shadowed=300, limit=5, in_flight=9)
    await expect(visit.row("web").locator(".badge")).to_have_text("Would be full")
    await visit.row("web").get_by_role("link").click()
    await expect(page.locator("dialog .tag")).to_have_text("shadow: limit, queue, breaker")
    await expect(page.locator("dialog .facts")).to_contain_text(
        ["5 at a time, in shadow: refuses nothing"], use_inner_text=True
    )


async def test_why_a_proxy_refuses(api: Api, visit: Visit) -> None:
    page = visit.page
    await proxies(api, "web")
    now = time.time()
    failed = [outcome(number, now - 30 + number) for number in range(3)]
    moves = [
        move(now - 95, "closed", "open", "failure_rate") | {"figures": "6 of 9 attempts failed, rule failure_rate 0.5"},
        move(now - 90, "open", "closed", "reset", by="eve@example.org"),
        move(now - 20, "closed", "open", "failure_threshold", *failed),
    ]
    spoken = {"protocol": "2", "upstream_protocol": "1.1"}
    holder = {"request_id": "slow-1", "phase": "first_byte", "age": 12.5, **spoken}
    refusing = "a request would be refused (503 breaker_open) for 10.0 s more"
    window = {"seconds": 30.0, "total": 12, "failed": 3, "slow": 4, "minimum_requests": 20}
    window |= {"failure_rate": 0.5, "slow_rate": 0.125, "slow_call": 2.5}
    callers = {"distinct_callers": 3, "in_a_row": 1, "failed": 2, "slow": 2}
    api.plane.explanations["web"] = explanation(
        "web",
        verdict="refuse",
        sentence=refusing,
        breaker=breaker(*moves, window=window, callers=callers),
        active=[holder, holder],
        active_count=7,
        rates=[LIMIT, LIMIT | {"name": "total", "key": "all", "mode": "enforce", "left": 3}],
    )
    overloaded = {
        "order": "lifo",
        "by_priority": {"high": 0, "normal": 1, "low": 2},
        "expected_wait": 2.5,
        "comments": 5.0,
    }
    api.plane.explanations["web"]["queue"] = {
        "mode": "enforce", "max_waiting": 4, "waiting": 3, "timeout": 10.0, **overloaded
    }  # fmt: skip
    line = refusal("web", "dial_failed", 502, 1)
    api.plane.requests["r000001"] = remembered(line, attempts=1, dial_ms=0.3, proxy_latency_ms=0.1)
    await visit.board()
    await visit.row("web").get_by_role("link").click()
    why = page.locator("dialog section").filter(has=page.get_by_role("heading", name="Why", exact=True))
    await expect(why.locator(".badge")).to_have_text("Refuses")
    await expect(why.locator(".verdict")).to_have_text("A request would be refused (503 breaker_open) for 10.0 s more.")
    for fact in (
        "Open for 20 s, 3 of 3 failures in a row",
        "12 in 30 s (rules need 20), 3 failed (opens at 50 %), 4 above 2.5 s (opens at 12.5 %)",
        "1 failed in a row, 2 failed, 2 slow; 3 have to differ",
        "3 of 4 wait, 10 s at most, 2 of low priority, 2.5 s expected, the newest first, comments every 5.0 s",
        "3 open, 0 in use",
        "2 connections with 9 requests",
        "client: 10 in 60 s, 20 at once, in shadow; 7 of 100 keys known",
        "total: 10 in 60 s, 20 at once; 3 left",
    ):
        await expect(why).to_contain_text(fact)
    await expect(why).to_contain_text(re.compile("Next probein (10|9)"))
    rows = why.locator(".moves > li")
    figures = "Closed → Open: 6 of 9 attempts failed, rule failure_rate 0.5"
    await expect(rows).to_contain_text(
        ["Closed → Open: failure threshold", "Open → Closed: reset by eve@example.org", figures]
    )
    await expect(why).to_contain_text("7 requests running, the 2 oldest of them")
    await expect(why.locator(".holder").first).to_contain_text(
        "waits for the response, for 13 s; HTTP/2 from the client, HTTP/1.1 to the upstream"
    )

    await rows.first.locator("summary").click()
    await expect(rows.first.locator(".outcomes > li")).to_have_count(3)
    await expect(rows.first.locator(".outcomes > li").first).to_contain_text("failuredial_failedr000002")
    api.plane.explanations["web"] = explanation(
        "web",
        verdict="probe",
        sentence="a request would be forwarded as a probe: the recovery time is over",
        breaker=breaker(*moves, next_probe=now - 1, outcomes=[outcome(9, now, "", "ignored")]),
    )
    await expect(why.locator(".badge")).to_have_text("Probes")  # polled again by itself
    await expect(why).to_contain_text("0 of 4 wait, 10 s at most")  # from a gateway of another version
    await expect(why).to_contain_text("Next probewith the next request")
    await expect(why.get_by_text("requests running")).to_be_hidden()
    await expect(why.get_by_role("button", name="Request r000009")).to_be_visible()
    await expect(rows.first.locator(".outcomes")).to_be_visible()  # what was open stays open

    await rows.first.get_by_role("button", name="Request r000001").click()
    box = page.get_by_role("dialog", name="One request")
    await expect(box).to_contain_text(
        "Failed after 0.4 ms: dial_failed (No connection to the upstream could be opened)."
    )
    await expect(box).to_contain_text("The cause lies with the upstream.")
    await expect(box).to_contain_text("HTTP/2 from the client.")
    await expect(box.locator(".way")).to_have_text("opening a connection0.3 msin the gateway itself0.1 ms")
    await page.keyboard.press("Escape")
    await rows.first.get_by_role("button", name="Request r000000").click()
    await expect(box).to_contain_text("no longer remembers this request")
    await page.keyboard.press("Escape")

    api.plane.reachable = False
    await expect(why.locator(".verdict")).to_have_text("The gateway cannot explain it now: the worker does not answer.")
    await expect(rows).to_have_count(3)
    await expect(rows.first).to_be_hidden()
    api.plane.reachable = True
    del api.plane.explanations["web"]
    await expect(why.locator(".verdict")).to_have_text("No traffic can reach it now, so there is nothing to explain.")


async def test_an_endpoint_is_drained_and_undrained(api: Api, visit: Visit) -> None:
    page = visit.page
    one, two, filed = "http://127.0.0.1:9000", "http://b.test/base", "http://c.test"
    more = [{"url": two}, {"url": filed, "drain": True}]
    await proxies(api, "web", endpoints=more)

    def tell(*drained: str) -> None:
        api.plane.explanations["web"] = explanation(
            "web", group=group_of(*((url, "drained" if url in drained else "usable") for url in (one, two, filed)))
        )

    async def operator() -> list[str]:
        return [each.origin for each in await api.store.drains.list()]

    tell(filed)
    await visit.board()
    await visit.row("web").get_by_role("link").click()
    rows = page.locator(".holder").filter(has=page.get_by_role("button"))
    await expect(rows).to_contain_text(["usable", "usable", "drained"])
    drain = page.get_by_role("button", name=f"Drain {two}", exact=True)
    await drain.click()
    await page.get_by_role("button", name="Cancel").click()
    assert await operator() == []
    await drain.click()
    await expect(page.get_by_role("dialog", name=f"Drain {two}?")).to_contain_text("no new requests until")
    tell(two, filed)
    await page.get_by_role("button", name="Drain", exact=True).click()
    await expect(page.locator("#told")).to_have_text(f"{two} is drained")
    undrain = page.get_by_role("button", name=f"Undrain {two}", exact=True)
    await expect(undrain).to_be_visible()
    assert await operator() == ["http://b.test"]

    await page.get_by_role("button", name=f"Drain {one}", exact=True).click()
    await page.get_by_role("button", name="Drain", exact=True).click()
    box = page.get_by_role("dialog", name="Drain the last endpoint?")
    await expect(box).to_contain_text(f"{one} is the last endpoint of web that is not drained")
    await box.get_by_role("button", name="Cancel").click()
    assert await operator() == ["http://b.test"]
    await page.get_by_role("button", name=f"Drain {one}", exact=True).click()
    await page.get_by_role("button", name="Drain", exact=True).click()
    await box.get_by_role("button", name="Drain it").click()
    await expect(page.locator("#told")).to_have_text(f"{one} is drained")
    assert await operator() == ["http://127.0.0.1:9000", "http://b.test"]

    await undrain.click()
    await expect(page.locator("#told")).to_have_text(f"{two} is undrained")
    tell(one, filed)
    await expect(drain).to_be_visible()
    assert await operator() == ["http://127.0.0.1:9000"]
    await page.get_by_role("button", name=f"Undrain {filed}", exact=True).click()
    refused = page.get_by_role("dialog", name="It was refused")
    await expect(refused).to_contain_text("it has drain: true in its settings; change it there.")
    await refused.get_by_role("button", name="Good").click()


async def test_what_endpoints_report_and_which_address_they_are(api: Api, visit: Visit) -> None:
    page, url = visit.page, "http://ai.test:9000"
    await proxies(api, "web", max_concurrent=9, capacity={})
    group = group_of((url, "usable"), (url, "leaving"))
    first, second = group["endpoints"]
    first |= {"address": "10.0.0.1", "reported": {"at": 0.0, "in_use": 3, "total": 8}}
    second |= {"address": "10.0.0.2", "reported": {"at": 0.0, "in_use": 0, "total": 0}}
    group |= {"reports": "enforce", "places": 8}
    api.plane.explanations["web"] = explanation("web", group=group)
    await visit.board()
    await visit.row("web").get_by_role("link").click()
    rows = page.locator(".holder").filter(has=page.get_by_role("button"))
    await expect(rows).to_contain_text([f"{url} (10.0.0.1)", f"{url} (10.0.0.2)"])
    await expect(rows).to_contain_text(["usable", "draining (by its own report)"])
    await expect(rows).to_contain_text(["reported 3/8", "reported drain"])
    await expect(page.get_by_text("2, by least request; 8 places by their reports", exact=True)).to_be_visible()


async def test_a_limit_that_adapts_shows_how_it_got_here(api: Api, visit: Visit) -> None:
    page = visit.page
    await proxies(api, "web", limiter={"mode": "shadow", "adaptive": {"initial": 4, "max": 64}})
    decisions = [
        {"at": time.time() - 20 + number, "old": old, "new": new, "why": why}
        for number, (old, new, why) in enumerate(
            [(4, 5, "the limit was used up"), (5, 4, "4 of 5 responses had begun")]
        )
    ]
    adaptive = {"min": 1, "max": 64, "usual": 0.25, "decisions": decisions}
    api.plane.explanations["web"] = explanation("web", adaptive=adaptive)
    await visit.board()
    await expect(visit.row("web").locator(".tag")).to_have_text("shadow: limit")
    await visit.row("web").get_by_role("link").click()
    why = page.locator("dialog section").filter(has=page.get_by_role("heading", name="Why", exact=True))
    await expect(why).to_contain_text("between 1 and 64; a response begins after 250 ms")
    await expect(why.locator(".decisions > li")).to_contain_text(
        ["5 → 4: 4 of 5 responses had begun", "4 → 5: the limit was used up"]
    )
    facts = page.locator("dialog .facts").filter(has_text="Who may pass")
    await expect(facts).to_contain_text("found between 1 and 64 at a time, in shadow: refuses nothing")
    await page.get_by_role("button", name="Edit").click()
    await page.get_by_text("Limit and queue", exact=True).click()
    field = page.get_by_label("Find the limit")
    await field.fill('{"initial": 9, "max": 8}')
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("[id='f-limiter.adaptive-error']")).to_contain_text("must be in this order")
    await field.fill("")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("dialog")).to_have_count(0)
    assert (await api.call("GET", "/proxies/web")).body["limiter"] == {"mode": "shadow", "adaptive": None}


async def test_no_worker_is_asked_why_once_the_drawer_is_closed(api: Api, visit: Visit) -> None:
    await proxies(api, "web")
    await visit.board()
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/explain") else None)
    await visit.row("web").get_by_role("link").click()
    await eventually(lambda: len(asked) == 2, "a second question")
    await visit.page.keyboard.press("Escape")
    await visit.page.wait_for_timeout(2500)
    assert len(asked) == 2


async def test_a_refusal_is_opened_to_its_explanation(api: Api, visit: Visit) -> None:
    page = visit.page
    await proxies(api, "web")
    waited, repeated, forgotten = (refusal("web", "queue_timeout", 429, number) for number in range(3))
    api.plane.refused = [waited, repeated, forgotten]
    api.plane.requests["r000000"] = remembered(waited, proxy_latency_ms=1.0)
    api.plane.requests["r000001"] = remembered({**repeated, "ts": time.time()})
    await visit.board()
    await page.get_by_role("link", name="Refusals").click()
    lines = page.locator(".refusals > li")
    await expect(lines).to_have_count(3)
    for line, said in (
        (lines.nth(2), "Refused with 429 queue_timeout before any upstream was asked"),
        (lines.nth(1), "A newer request came with the same id"),
        (lines.nth(0), "no longer remembers this request"),
    ):
        await line.locator("summary").click()
        await expect(line).to_contain_text(said)
        await expect(line).to_contain_text("No place became free in the queue's time. The cause lies with the gateway.")
    way = lines.nth(2).locator(".way > div")
    await expect(way).to_have_text(["waiting for a permit10 s", "in the gateway itself1.0 ms"])
    widths = await way.locator(".way-bar").evaluate_all("bars => bars.map((bar) => bar.getBoundingClientRect().width)")
    assert widths[0] > 100 > 1 > widths[1]


@pytest.mark.covers("FR-027")
async def test_delete_by_name(api: Api, visit: Visit) -> None:
    page = visit.page
    await proxies(api, "web", "keep")
    await visit.board()
    await visit.row("web").get_by_role("link").click()
    await page.get_by_role("button", name="Delete").click()
    box = page.get_by_role("dialog", name="Delete web?")
    await expect(box).to_contain_text("Route */web (web): removed")
    await expect(box.get_by_role("button", name="Delete")).to_be_disabled()
    await box.get_by_label("Type web to confirm").fill("web")
    await box.get_by_role("button", name="Delete").click()
    await expect(visit.row("web")).to_have_count(0)
    await expect(visit.row("keep")).to_be_visible()
    assert (await api.call("GET", "/proxies/web")).status == 404


async def test_what_stands_in_the_file_is_read_only(api: Api, visit: Visit) -> None:
    page = visit.page
    api.file.declared = ({"name": "filed", "path": "/filed", "upstream": "http://h", "access_rule": "true"},)
    await visit.board()
    await expect(visit.row("filed")).to_contain_text("read-only")
    await visit.row("filed").get_by_role("link").click()
    await expect(page.get_by_text("It stands in gateway.yaml")).to_be_visible()
    for name in ("Edit", "Delete"):
        await expect(page.get_by_role("button", name=name)).to_have_count(0)


@pytest.mark.covers("FR-023")
async def test_search_and_sort(api: Api, visit: Visit) -> None:
    page = visit.page
    await proxies(api, "alpha", "beta", "gamma")
    api.plane.proxies["gamma"] = snapshot_of(in_flight=4, limit=5)
    await visit.board()
    titles = page.locator("li.proxy h2 a")
    await expect(titles).to_have_text(["alpha", "beta", "gamma"])
    await page.get_by_label("Sort").select_option("load")
    await expect(titles).to_have_text(["gamma", "alpha", "beta"])
    await page.get_by_label("Search").fill("/beta")
    await expect(titles).to_have_text(["beta"])
    await page.get_by_label("Search").fill("nothing")
    await expect(page.get_by_text("No proxy fits")).to_be_visible()


async def test_logins_are_listed_and_ended(api: Api, visit: Visit) -> None:
    page = visit.page
    body = {"email": EMAIL, "password": PASSWORD}
    other = (await api.call("POST", "/auth/login", body, token="")).body["token"]
    await visit.board()
    await page.get_by_role("link", name="Account").click()
    rows = page.locator(".sessions li")
    await expect(rows).to_have_count(2)
    await expect(rows.filter(has_text="this one")).to_have_count(1)
    await page.get_by_role("button", name=f"End the login of {EMAIL} from 127.0.0.1").click()
    await page.get_by_role("button", name="End it").click()
    await expect(rows).to_have_count(1)
    assert (await api.call("GET", "/proxies", token=other)).status == 401
    assert (await api.call("GET", "/proxies", token=await token_of(visit))).status == 200


async def test_the_own_password_is_changed(api: Api, visit: Visit) -> None:
    page = visit.page
    body = {"email": EMAIL, "password": PASSWORD}
    other = (await api.call("POST", "/auth/login", body, token="")).body["token"]
    await visit.board()
    await page.get_by_role("link", name="Account").click()
    current, fresh, again = (page.locator(f"#password-{name}") for name in ("current", "new", "again"))
    status = page.get_by_role("status").filter(has_text="password")
    for shown, new, repeated, says in (
        (PASSWORD, "a newer password", "another password", "The two new passwords differ."),
        ("wrong password", "a newer password", "a newer password", "The current password is not the password"),
        (PASSWORD, "short", "short", "A password has at least 10 characters"),
        (PASSWORD, "a newer password", "a newer password", "The password is changed"),
    ):
        await current.fill(shown)
        await fresh.fill(new)
        await again.fill(repeated)
        await page.get_by_role("button", name="Change password").click()
        await expect(status).to_contain_text(says)
    await expect(current).to_have_value("")
    assert (await api.call("GET", "/proxies", token=other)).status == 401
    assert (await api.call("GET", "/proxies", token=await token_of(visit))).status == 200
    await page.get_by_role("button", name="Log out").click()
    await visit.log_in("a newer password")
    await page.locator(".link[data-state=live]").wait_for()


async def test_a_browser_that_logged_in_before_gets_in_while_somebody_guesses(api: Api, visit: Visit) -> None:
    await visit.board()
    await visit.page.get_by_role("button", name="Log out").click()
    for number in range(10):
        answer = await api.call("POST", "/auth/login", {"email": EMAIL, "password": f"guess {number}"}, token="")
    assert answer.status == 429
    await visit.board()


async def test_an_ended_login_leads_back_to_the_door(api: Api, visit: Visit) -> None:
    page = visit.page
    await proxies(api, "web")
    await visit.board()
    await visit.row("web").get_by_role("link").click()
    sessions = [token for token in await api.store.tokens.list() if token.kind == "superuser"]
    await api.store.tokens.delete(sessions[0].id, "test")
    await expect(page.get_by_role("alert")).to_have_text("This login has ended. Log in again.")
    await expect(page.locator("dialog")).to_have_count(0)


async def test_a_data_plane_out_of_reach_is_shown(api: Api, visit: Visit) -> None:
    await visit.board()
    api.plane.reachable = False
    await expect(visit.page.locator("#link")).to_contain_text("Data plane unreachable")
    api.plane.reachable = True
    await expect(visit.page.locator("#link")).to_contain_text("Live")


async def test_a_stream_that_breaks_is_taken_up_again(api: Api, visit: Visit) -> None:
    await visit.board()
    for reader in api.administration.live_feed._subscribers:
        reader.end()
    await expect(visit.page.locator("#link")).to_contain_text("Reconnecting")
    await expect(visit.page.locator("#link")).to_contain_text("Live")


async def test_by_keyboard_alone(api: Api, visit: Visit) -> None:
    page, keys = visit.page, visit.page.keyboard
    await proxies(api, "web")
    await keys.type(EMAIL)
    await keys.press("Tab")
    await keys.type(PASSWORD)
    await keys.press("Enter")
    await page.locator(".link[data-state=live]").wait_for()
    await page.locator("body").press("Tab")
    for _ in range(12):
        if await page.evaluate("document.activeElement.textContent") == "web":
            break
        await keys.press("Tab")
    await keys.press("Enter")
    await expect(page.locator("dialog h2", has_text="web")).to_be_focused()
    for wanted in ("Close", "Edit"):
        await keys.press("Tab")
        focused = await page.evaluate(
            "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
        )
        assert focused == wanted
    await keys.press("Enter")
    await expect(page.get_by_role("heading", name="Edit web")).to_be_focused()
    await keys.press("Tab")
    await keys.press("Tab")
    await expect(page.get_by_label("Name", exact=True)).to_be_focused()
    await keys.press("ControlOrMeta+a")
    await keys.type("site")
    await keys.press("Enter")
    await expect(visit.row("site")).to_be_visible()
    await keys.press("Escape")
    await expect(page.locator("dialog")).to_have_count(0)


async def test_what_was_typed_is_not_lost_by_one_key(api: Api, visit: Visit) -> None:
    page = visit.page
    await visit.board()
    await page.get_by_role("button", name="New proxy").click()
    await page.get_by_label("Name", exact=True).fill("web")
    await page.keyboard.press("Escape")
    box = page.get_by_role("dialog", name="Leave without saving?")
    await box.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_label("Name", exact=True)).to_have_value("web")
    await page.get_by_label("Name", exact=True).fill("")
    await page.keyboard.press("Escape")  # nothing is lost now
    await expect(page.locator("dialog")).to_have_count(0)


@pytest.mark.parametrize("way", ["Escape", "Cancel", "Close", "back"])
async def test_every_way_out_of_typed_settings_asks(api: Api, visit: Visit, way: str) -> None:
    page = visit.page
    await proxies(api, "web")
    await visit.board()
    await visit.row("web").get_by_role("link").click()
    await page.get_by_role("button", name="Edit").click()
    drawer = page.get_by_role("dialog", name="Edit web")
    await drawer.get_by_label("Path").fill("/elsewhere")

    async def go() -> None:
        if way == "Escape":
            await page.keyboard.press("Escape")
        elif way == "back":
            await page.evaluate("history.back()")
        else:
            await drawer.get_by_role("button", name=way).click()

    box = page.get_by_role("dialog", name="Leave without saving?")
    for stay in ("Escape", "Cancel"):  # twice: a browser may let a second Escape through
        await go()
        await box.wait_for()
        if stay == "Escape":
            await page.keyboard.press("Escape")
        else:
            await box.get_by_role("button", name="Cancel").click()
        await expect(box).to_have_count(0)
        await expect(drawer.get_by_label("Path")).to_have_value("/elsewhere")
        await expect(page).to_have_url(re.compile("#/proxies/web$"))
    await go()
    await box.get_by_role("button", name="Leave").click()
    await expect(page.locator("dialog")).to_have_count(0)
    await expect(page).to_have_url(re.compile("/_/(#/)?$"))
    assert (await api.call("GET", "/proxies/web")).body["path"] == "/web"


async def test_an_open_proxy_stands_in_the_address_and_the_way_back_closes_it(api: Api, visit: Visit) -> None:
    page = visit.page
    await proxies(api, "web", "ai")
    await visit.board()
    for name in ("web", "ai"):
        await visit.row(name).get_by_role("link").click()
        await expect(page.locator("dialog h2")).to_have_text(name)
        await expect(page).to_have_url(f"{api.base}/_/#/proxies/{name}")
        await page.keyboard.press("Escape")
        await expect(page.locator("dialog")).to_have_count(0)
        await expect(page).to_have_url(f"{api.base}/_/#/")
    await visit.row("web").get_by_role("link").click()
    await page.reload()
    await expect(page.locator("dialog h2")).to_have_text("web")
    await page.go_back()
    await expect(page.locator("dialog")).to_have_count(0)
    await expect(page.get_by_role("heading", name="Proxies")).to_be_visible()
    await page.go_forward()
    await expect(page.locator("dialog h2")).to_have_text("web")
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog", name="Delete web?").wait_for()
    await page.go_back()  # closes the question with what it is about
    await expect(page.locator("dialog")).to_have_count(0)
    await page.evaluate("location.hash = '#/proxies/%E0%A4%A'")
    await expect(page.locator("dialog")).to_have_count(0)
    await page.evaluate("location.hash = '#/proxies/ai'")
    await expect(page.locator("dialog h2")).to_have_text("ai")


async def test_an_address_leads_to_its_proxy(api: Api, visit: Visit) -> None:
    await proxies(api, "web", "ai")
    await visit.page.goto(f"{api.base}/_/#/proxies/ai")
    await visit.board()
    await expect(visit.page.locator("dialog h2")).to_have_text("ai")


@pytest.mark.covers("FR-029")
async def test_what_another_changes_shows_by_itself(api: Api, visit: Visit) -> None:
    await visit.board()
    await proxies(api, "late")
    await expect(visit.row("late")).to_be_visible()


@pytest.mark.parametrize("width", [360, 768, 1360, 2560])
async def test_nothing_sticks_out(api: Api, visit: Visit, width: int) -> None:
    page = visit.page
    await proxies(api, "web", "a-name-that-goes-on-and-on-and-does-not-end-before-it-has-to-end")
    await page.set_viewport_size({"width": width, "height": 800})
    await visit.board()
    api.plane.refused = [refusal("web", "breaker_open", 503) | {"path": "/x" * 300}]
    long = outcome(1, time.time()) | {"request_id": "a-long-id-" * 12}
    by = f"somebody@{'sub.' * 20}example.org"
    opened = move(time.time(), "closed", "open", "failure_threshold", long, by=by)
    api.plane.explanations["web"] = explanation(
        "web",
        breaker=breaker(opened, outcomes=[long]),
        active=[{"request_id": long["request_id"], "phase": "upload", "age": 1.0}],
        active_count=1,
    )
    wide = "document.documentElement.scrollWidth <= innerWidth"
    assert await page.evaluate(wide)
    await page.get_by_role("link", name="Account").click()
    await page.locator(".sessions li").first.wait_for()
    assert await page.evaluate(wide)
    await page.get_by_role("link", name="Proxies").click()
    await visit.row("web").get_by_role("link").click()
    await page.locator("summary.move").click()
    assert await page.evaluate("((d) => d.scrollWidth <= d.clientWidth)(document.querySelector('dialog'))")
    await page.get_by_role("button", name="Edit").click()
    await page.locator("form.edit").wait_for()
    assert await page.evaluate("((d) => d.scrollWidth <= d.clientWidth)(document.querySelector('dialog'))")
    await page.keyboard.press("Escape")
    await page.get_by_role("link", name="Refusals").click()
    await expect(page.locator(".refusals li")).to_have_count(1)
    assert await page.evaluate(wide)


@pytest.mark.parametrize("width", [360, 768, 1360, 2560])
async def test_no_part_of_a_row_covers_another(api: Api, visit: Visit, width: int) -> None:
    """The name of a file may be as long as it likes."""
    await proxies(api, "web")
    api.file.name = "a-configuration-with-a-long-name.yaml"
    api.file.declared = ({"name": "web", "path": "/web", "upstream": "http://h", "access_rule": "true"},)
    await visit.page.set_viewport_size({"width": width, "height": 800})
    await visit.board()
    hidden = visit.page.locator(".badge[data-kind=hidden]")
    await expect(hidden).to_have_text(f"Hidden by file:{api.file.name}")
    covered = """(badge) => {
        const own = badge.getBoundingClientRect();
        const beside = (box) => box.right <= own.left || own.right <= box.left;
        const covers = (box) => !beside(box) && box.top < own.bottom && own.top < box.bottom;
        const others = [...badge.closest('li').querySelectorAll('.who, .figure')];
        return others.filter((other) => covers(other.getBoundingClientRect())).length;
    }"""
    assert await hidden.evaluate(covered) == 0


async def test_who_wants_no_motion_gets_none(visit: Visit) -> None:
    await visit.page.emulate_media(reduced_motion="reduce")
    await visit.board()
    await visit.page.get_by_role("button", name="New proxy").click()
    await visit.page.locator("dialog").wait_for()
    assert await visit.page.evaluate("getComputedStyle(document.querySelector('dialog')).animationName") == "none"


async def test_the_page_leaves_no_reader_behind(api: Api, visit: Visit) -> None:
    await visit.board()
    assert len(api.administration.live_feed._subscribers) == 1
    await visit.page.get_by_role("button", name="Log out").click()
    await eventually(lambda: not api.administration.live_feed._subscribers, "the view ends with the logout")


async def test_the_breaker_of_an_upstream_stands_beside_those_of_its_endpoints(api: Api, visit: Visit) -> None:
    page, now = visit.page, time.time()
    rules = {"enabled": True, "failure_threshold": 3, "scope": "both"}
    await proxies(api, "web", circuit_breaker=rules, endpoints=[{"url": "http://b.test"}])
    own = move(now - 20, "closed", "open", "failure_threshold", outcome(1, now - 20, "own_failure"))
    inner = move(now - 40, "closed", "open", "failure_threshold", outcome(2, now - 40, "inner_failure"))
    closed = {"state": "closed", "failures": 1, "scope": "endpoint", "next_probe": 0.0}
    api.plane.explanations["web"] = explanation(
        "web",
        upstream_breaker=breaker(own, scope="upstream", outcomes=[outcome(3, now, "own_failure")]),
        breaker=breaker(inner, outcomes=[outcome(4, now - 1, "inner_failure")], **closed),
    )
    await visit.board()
    await visit.row("web").get_by_role("link").click()
    why = page.locator("dialog section").filter(has=page.get_by_role("heading", name="Why", exact=True))
    await expect(why).to_contain_text(
        re.compile(r"Upstream: Open for 2\d s, 3 of 3 failures in a row; Endpoints: Closed")
    )
    await expect(why).to_contain_text(re.compile("Next probeUpstream: in (10|9)"))
    moves = why.locator(".moves > li")
    await expect(moves).to_contain_text(["Upstream: Closed → Open", "Endpoints: Closed → Open"])
    await expect(why.locator(".outcomes > li:visible")).to_contain_text(
        ["Upstream: own_failure", "Endpoints: inner_failure"]
    )
    await expect(page.locator("dialog")).to_contain_text("It judgesboth")
    alone = breaker(own, scope="upstream")
    api.plane.explanations["web"] = explanation("web", upstream_breaker=None, breaker=alone)
    await expect(why).to_contain_text(re.compile(r"BreakerOpen for 2\d s, of all endpoints together, 3 of 3 failures"))
    await expect(moves).to_have_count(1)
    await expect(moves).not_to_contain_text("Upstream:")


async def test_what_only_counts_at_the_endpoints_is_shown(api: Api, visit: Visit) -> None:
    """As the shadow modes of other protections are: at the proxy, and where it is explained."""
    page, url = visit.page, "http://127.0.0.1:9000"
    shadow = {"mode": "shadow"}
    await proxies(api, "web", max_concurrent=9, health=shadow, ejection=shadow, capacity=shadow)
    group = group_of((url, "usable"), ("http://b.test", "usable"))
    api.plane.explanations["web"] = explanation(
        "web", group=group | {"ejection_mode": "shadow", "health_mode": "shadow"}
    )
    await visit.board()
    await expect(visit.row("web").locator(".tag")).to_have_text("shadow: checks, ejection, reports")
    await visit.row("web").get_by_role("link").click()
    shown = "2, by least request, checks in shadow, ejections in shadow"
    await expect(page.get_by_text(shown, exact=True)).to_be_visible()
    api.plane.explanations["web"] = explanation("web", group=group | {"health_mode": "enforce"})
    await expect(page.get_by_text("2, by least request", exact=True)).to_be_visible()
