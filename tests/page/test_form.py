"""The form of the live page comes from the schema: a setting that is new there is shown, checked and saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import pytest
from admin.conftest import Api
from page.conftest import Visit, proxies
from playwright.async_api import Route, expect
from pydantic import Field
from pydantic.fields import FieldInfo

from gateway.api import schemas
from gateway.config.schema.form import in_group
from gateway.config.schema.proxy import Proxy
from gateway.config.schema.section import Section
from gateway.config.schema.types import Listed, Seconds

pytestmark = pytest.mark.timeout(90)


class Hedging(Section):
    """A second request to a slow upstream."""

    after: Seconds = Field(default=0.5, gt=0, le=60, title="Wait before it", examples=[2])
    """Seconds without a response before the second request. Not for requests with a body."""
    at_most: int = Field(default=0, ge=0, le=9, examples=[3])
    """Second requests at a time. 0: none."""
    methods: Listed[str] = Field(default=("GET",), examples=[["GET", "HEAD"]])
    """Methods whose requests are sent twice. Empty: none."""
    codes: Listed[int] = Field(default=(), examples=[[502, 503]])
    """Statuses after which it is sent at once."""
    budget: float | None = Field(default=None, ge=0, examples=[0.1])
    """Share of requests that may be sent twice. Without it there is no bound."""
    weights: dict[str, int] = Field(default={}, examples=[{"GET": 2}])
    """Weights of methods."""


NEW = {
    "hedging": (Hedging, Field(default=Hedging(), description="A second request.")),
    "comment": (str, Field(default="", max_length=100, examples=["owned by search"], description="A note.")),
    "balance": (
        Annotated[Literal["round_robin", "least_used"], Field(title="Choice of the endpoint")],
        Field(default="round_robin", examples=["least_used"], description="How.", json_schema_extra=in_group("Basics")),
    ),
}
"""Settings that the gateway does not have, as a change to its schema would add them."""


def rebuild() -> None:
    for model in (Proxy, schemas.DryRun):
        model.model_rebuild(force=True)


@pytest.fixture
def wider() -> Iterator[None]:
    """The schema of a proxy holds `NEW` too. Used before ``api``, because the API describes itself at its start."""
    fields = Proxy.__pydantic_fields__
    for name, (kind, field) in NEW.items():
        fields[name] = FieldInfo.from_annotated_attribute(kind, field)
    rebuild()
    yield
    for name in NEW:
        del fields[name]
    rebuild()


def leaves(settings: Mapping[str, Any]) -> Iterator[str]:
    """The paths of all values, such as ``queue.timeout``."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from (f"{key}.{path}" for path in leaves(value))
        else:
            yield key


@pytest.mark.covers("FR-024", "FR-025")
async def test_the_form_knows_every_setting_with_its_default(api: Api, visit: Visit) -> None:
    page = visit.page
    fresh = await page.evaluate("import('/_/schema.js').then((m) => m.proxySchema()).then((schema) => schema.fresh)")
    defaults = Proxy(name="x", path="/", upstream="http://x").model_dump(mode="json")
    assert fresh == {**defaults, "name": "", "path": "", "upstream": ""}
    await visit.board()
    await page.get_by_role("button", name="New proxy").click()
    await page.locator("form.edit").wait_for()
    paths = "[...document.querySelectorAll('[data-path]')].map((field) => field.dataset.path)"
    # the first has fields of its own kind, the others have none
    shown = {key: value for key, value in fresh.items() if key not in ("headers", "tls", "endpoints")}
    assert set(await page.evaluate(paths)) == set(leaves(shown))
    titles = await page.locator("form.edit > .group > summary").all_text_contents()
    assert titles == [
        "Endpoints",
        "Health checks",
        "Ejection",
        "Limit and queue",
        "Capacity reports",
        "Rate limits",
        "Circuit breaker",
        "Timeouts and timing",
        "Browsers",
        "Login at the upstream, headers",
        "Streams of events",
        "Retries",
        "Fallback",
        "Language models",
        "WebSocket",
    ]


async def test_rate_limits_are_set_in_the_form(api: Api, visit: Visit) -> None:
    page = visit.page
    await proxies(api, "web")
    await visit.board()
    await visit.row("web").get_by_role("link").click()
    await page.get_by_role("button", name="Edit").click()
    await page.locator("summary", has_text="Rate limits").click()
    limits, error = page.get_by_label("Rate limits"), page.locator("[id='f-rate_limits-error']")
    await limits.fill('[{"key": "ip", "rate": 10}]')
    await page.get_by_role("button", name="Save").click()
    await expect(error).to_contain_text("must be all, client, principal or header:NAME")
    await limits.fill('[{"key": "client", "rate": 10, "mode": "shadow"}]')
    await page.get_by_label("Tokens that a request takes").fill("11")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("[id='f-rate_weight-error']")).to_contain_text("no request would ever be admitted")
    await page.get_by_label("Tokens that a request takes").fill("2")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("dialog.wide")).to_have_count(0)
    saved = (await api.call("GET", "/proxies/web")).body
    assert (saved["rate_limits"][0]["mode"], saved["rate_limits"][0]["burst"], saved["rate_weight"]) == ("shadow", 0, 2)
    await expect(visit.row("web").locator(".tag")).to_have_text("shadow: rates")


async def test_what_a_breaker_judges_is_selected(api: Api, visit: Visit) -> None:
    page = visit.page
    await proxies(api, "web", circuit_breaker={"enabled": True})
    await visit.board()
    await visit.row("web").get_by_role("link").click()
    await page.get_by_role("button", name="Edit").click()
    await page.locator("summary", has_text="Circuit breaker").click()
    judges = page.get_by_label("It judges")
    await expect(judges).to_have_value("endpoint")
    await expect(judges.locator("option")).to_have_text(["Endpoint", "Upstream", "Both"])
    await judges.select_option("both")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("dialog.wide")).to_have_count(0)
    saved = (await api.call("GET", "/proxies/web")).body["circuit_breaker"]
    assert (saved["scope"], saved["enabled"]) == ("both", True)


async def test_the_time_of_a_hedge_is_a_number_or_measured(api: Api, visit: Visit) -> None:
    page = visit.page
    await proxies(api, "web")
    await visit.board()
    for typed, saved in (("p95", "p95"), ("0.5", 0.5), ("0", 0)):
        await visit.row("web").get_by_role("link").click()
        await page.get_by_role("button", name="Edit").click()
        await page.locator("summary", has_text="Retries").click()
        after = page.get_by_label("Time before the second attempt")
        await after.fill("p99")
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator("[id='f-hedge.after-error']")).to_contain_text("as in 0.5, or p95")
        await after.fill(typed)
        await page.get_by_label("Mode of the hedges").select_option("Shadow")
        await page.get_by_role("button", name="Save").click()
        await expect(page.locator("dialog.wide")).to_have_count(0)
        assert (await api.call("GET", "/proxies/web")).body["hedge"]["after"] == saved
        await expect(visit.row("web").locator(".tag")).to_have_count(1 if saved else 0)


@pytest.mark.usefixtures("wider")
async def test_a_new_setting_has_its_field_and_is_saved(api: Api, visit: Visit) -> None:
    page = visit.page
    await proxies(api, "web")
    await visit.board()
    await visit.row("web").get_by_role("link").click()
    await page.get_by_role("button", name="Edit").click()

    await expect(page.get_by_label("Choice of the endpoint")).to_have_value("round_robin")  # in the group that it names
    await page.get_by_label("Choice of the endpoint").select_option("Least used")
    for group in ("Hedging", "Other settings"):
        await expect(page.locator("summary", has_text=group)).to_be_visible()
        await page.get_by_text(group, exact=True).click()
    wait, most = page.get_by_label("Wait before it"), page.get_by_label("At most", exact=True)
    await expect(wait).to_have_value("0.5")
    hint = page.locator("[id='f-hedging.after-hint']")
    await expect(hint).to_have_text(
        "Seconds without a response before the second request. Above 0, at most 60 seconds.", use_inner_text=True
    )
    await page.get_by_role("button", name="Explain all").click()
    for text in ("Not for requests with a body.", "Default: 0.5 seconds.", "Example: 2"):
        await expect(hint).to_contain_text(text, use_inner_text=True)
    await expect(page.locator("[id='f-hedging.at_most-hint']")).to_contain_text(
        "Second requests at a time. 0 to 9. 0: none."
    )
    await expect(page.get_by_label("Methods")).to_have_value("GET")
    await expect(page.get_by_label("Comment")).to_have_attribute("placeholder", "owned by search")

    await most.fill("10")
    await page.get_by_label("Weights").fill('{"GET": ')
    await page.get_by_label("Budget").fill("0.1")
    await page.get_by_label("Comment").fill("x" * 101)
    await page.get_by_text("Hedging", exact=True).click()
    await page.get_by_role("button", name="Save").click()
    for path, says in (("hedging.at_most", "at most 9"), ("hedging.weights", "must be"), ("comment", "at most 100")):
        await expect(page.locator(f"[id='f-{path}-error']")).to_contain_text(says)
        await expect(page.locator(f"[id='f-{path}']")).to_have_attribute("aria-invalid", "true")
    await expect(most).to_be_focused()  # its group was opened

    await most.fill("3")
    await page.get_by_label("Methods").fill("GET, HEAD")
    await page.get_by_label("Codes").fill("502, 503")
    await page.get_by_label("Budget").fill("")
    await page.get_by_label("Weights").fill('{"GET": 2}')
    await page.get_by_label("Comment").fill("owned by search")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("dialog")).to_have_count(0)
    saved = (await api.call("GET", "/proxies/web")).body
    assert {key: saved[key] for key in NEW} == {
        "hedging": {
            "after": 0.5,
            "at_most": 3,
            "methods": ["GET", "HEAD"],
            "codes": [502, 503],
            "budget": None,
            "weights": {"GET": 2},
        },
        "comment": "owned by search",
        "balance": "least_used",
    }

    await visit.row("web").get_by_role("link").click()
    facts = page.locator("dialog .facts").filter(has_text="Who may pass")
    for fact in ("Choice of the endpointleast_used", "At most3", "MethodsGET, HEAD", "Commentowned by search"):
        await expect(facts).to_contain_text(fact)
    await expect(facts).not_to_contain_text("Wait before it")


async def test_a_rule_is_selected_or_written(api: Api, visit: Visit) -> None:
    page = visit.page
    await proxies(api, "web", access_rule="@request.auth.role = 'admin'")
    await visit.board()
    who, rule = page.get_by_label("Who may pass"), page.get_by_label("A rule of your own")

    async def edit() -> None:
        await visit.row("web").get_by_role("link").click()
        await page.get_by_role("button", name="Edit").click()

    await edit()
    await expect(who).to_have_value("own")
    await expect(rule).to_have_value("@request.auth.role = 'admin'")
    await rule.fill("@request.auth.")
    await page.get_by_role("button", name="Save").click()
    await expect(rule).to_be_focused()
    await expect(page.locator("#f-access_rule-error")).not_to_be_empty()
    await who.select_option("Every authenticated caller")
    await expect(rule).to_be_hidden()
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("dialog")).to_have_count(0)
    assert (await api.call("GET", "/proxies/web")).body["access_rule"] == "@request.auth.id != ''"
    await visit.row("web").get_by_role("link").click()
    await expect(page.get_by_text("Every authenticated caller")).to_be_visible()


async def test_keys_of_a_newer_gateway_are_kept(api: Api, visit: Visit) -> None:
    """The schema lacks a key of the proxy, as that of an older instance of a fleet does."""
    page = visit.page
    await proxies(api, "web", server_timing=True)

    async def older(route: Route) -> None:
        answer = await route.fetch()
        document = await answer.json()
        for schema in ("Proxy", "ProxyAnswer"):
            del document["components"]["schemas"][schema]["properties"]["server_timing"]
        await route.fulfill(response=answer, json=document)

    await page.route("**/openapi.json", older)
    await visit.board()
    await visit.row("web").get_by_role("link").click()
    await page.get_by_role("button", name="Edit").click()
    await expect(page.get_by_label("Show callers where the time went")).to_have_count(0)
    await page.get_by_label("Forward the caller's Host").check()
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("dialog")).to_have_count(0)
    saved = (await api.call("GET", "/proxies/web")).body
    assert (saved["preserve_host"], saved["server_timing"]) == (True, True)
