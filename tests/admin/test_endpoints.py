"""Endpoints over the API: listed, drained by an operator and given requests again."""

from __future__ import annotations

import re
from typing import Any

import pytest
from admin.conftest import Api

A, B, C = "http://10.0.0.1:9000", "https://b.test", "http://10.0.0.3:9000"
NAMED = {
    "name": "ai",
    "endpoints": [{"url": f"{A}/base", "weight": 2}, {"url": B}, {"url": C, "drain": True}],
}
CHAT = {"name": "chat", "path": "/chat", "upstream": "ai"}
OWN = {"name": "own", "path": "/own", "upstream": A, "endpoints": [{"url": B, "weight": 3}]}


@pytest.fixture
def shared(api: Api) -> Api:
    api.file.upstreams, api.file.declared = (NAMED,), (CHAT,)
    return api


async def listed(api: Api, name: str = "ai") -> dict[str, Any]:
    """What drains each endpoint, by URL."""
    answer = await api.call("GET", f"/upstreams/{name}/endpoints")
    assert answer.status == 200, answer.body
    return {item["url"]: [each["by"] for each in item["drained_by"]] for item in answer.body["items"]}


async def drain(api: Api, url: str, name: str = "ai", **more: object) -> tuple[int, Any]:
    answer = await api.call("POST", f"/upstreams/{name}/endpoints/drain", {"url": url, **more})
    return answer.status, answer.body


async def undrain(api: Api, url: str, name: str = "ai") -> tuple[int, Any]:
    answer = await api.call("POST", f"/upstreams/{name}/endpoints/undrain", {"url": url})
    return answer.status, answer.body


async def test_one_is_drained_and_comes_back(shared: Api) -> None:
    applies = shared.plane.applies
    status, body = await drain(shared, "https://B.test:443/any/path")
    assert (status, body["upstream"], body["applied"]) == (200, "ai", {"generation": applies + 1, "error": ""})
    first, second, third = body["items"]
    assert first == {
        "url": f"{A}/base",
        "weight": 2,
        "drain": False,
        "drained_by": [],
        "stale": False,
        "live": None,
    }
    (by,) = second["drained_by"]
    assert (second["drain"], by["by"], by["actor"]) == (True, "operator", "token:t")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", by["at"])
    assert (third["drain"], third["drained_by"]) == (True, [{"by": "settings", "at": None, "actor": None}])
    again = await drain(shared, B, "chat")  # by the name of a proxy that names it; nothing changes
    assert again[1]["items"] == body["items"]
    assert await undrain(shared, B, "chat") == (
        200,
        {"upstream": "ai", "items": [first, second | {"drain": False, "drained_by": []}, third]}
        | {"applied": {"generation": applies + 3, "error": ""}},
    )
    assert (await undrain(shared, B))[0] == 200, "it is as it should be"
    rows = (await shared.call("GET", "/audit")).body["items"]
    assert [(row["action"], row["subject"], row["detail"]) for row in rows[:2]] == [
        ("endpoint.undrain", "ai", {"endpoint": B}),
        ("endpoint.drain", "ai", {"endpoint": B}),
    ]


async def test_a_change_that_is_not_applied_says_so(shared: Api) -> None:
    shared.plane.error = "the worker 1 refuses it"
    assert (await drain(shared, B))[1]["applied"]["error"] == "the worker 1 refuses it"


async def test_a_proxy_with_a_url_of_its_own(api: Api) -> None:
    assert (await api.call("POST", "/proxies", OWN)).status == 201
    assert await listed(api, "own") == {A: [], B: []}
    assert (await drain(api, A, "own"))[0] == 200
    assert await listed(api, "own") == {A: ["operator"], B: []}


async def test_the_last_one_is_refused_unless_it_is_forced(shared: Api) -> None:
    assert (await drain(shared, A))[0] == 200
    status, body = await drain(shared, B)
    assert (status, body["code"]) == (409, "last_endpoint")
    assert body["details"] == (
        f"{B} is the last endpoint of ai that is not drained, and without one each request gets 503 "
        "no_healthy_endpoint; undrain another one first, or force it"
    )
    assert (await drain(shared, C))[0] == 200, "its settings drain it already"
    assert await listed(shared) == {f"{A}/base": ["operator"], B: [], C: ["settings", "operator"]}
    assert (await drain(shared, B, force=True))[0] == 200
    shared.file.declared = ({"name": "one", "path": "/one", "upstream": A},)
    assert (await drain(shared, A, "one"))[1]["code"] == "last_endpoint"


async def test_what_the_settings_drain_is_changed_there(shared: Api) -> None:
    status, body = await undrain(shared, C)
    assert (status, body["code"], "drain: true in its settings" in body["details"]) == (
        409,
        "drained_in_settings",
        True,
    )
    await drain(shared, C)
    assert (await undrain(shared, C))[0] == 200
    assert (await listed(shared))[C] == ["settings"]


@pytest.mark.parametrize("change", [drain, undrain])
async def test_unknown_names_and_urls(shared: Api, change: Any) -> None:
    assert (await change(shared, A, "none"))[0] == 404
    status, body = await change(shared, "http://10.0.0.1:9001")
    assert (status, body["code"]) == (422, "unknown_endpoint")
    assert body["details"] == f"ai has no endpoint http://10.0.0.1:9001; it has {A}, {B}, {C}"
    assert body["fields"] == [{"path": "url", "message": body["details"]}]
    for wrong in ("10.0.0.1:9000", "ftp://h", ""):
        status, body = await change(shared, wrong)
        assert (status, body["fields"][0]["path"]) == (400, "url")
    status, body = await change(shared, 7)
    assert (status, body["code"]) == (400, "validation")
    assert (await shared.call("GET", "/upstreams/none/endpoints")).body["details"] == (
        "there is no proxy and no upstream none"
    )


async def test_what_is_gone_is_stale_until_it_is_back_or_undrained(shared: Api) -> None:
    await drain(shared, A)
    await drain(shared, B, force=True)
    shared.file.upstreams = (NAMED | {"endpoints": [{"url": B}, {"url": "http://new"}]},)
    items = (await shared.call("GET", "/upstreams/ai/endpoints")).body["items"]
    assert [(each["url"], each["weight"], each["drain"], each["stale"]) for each in items] == [
        (B, 1, True, False),
        ("http://new", 1, False, False),
        (A, None, False, True),
    ]
    assert items[2]["drained_by"][0]["actor"] == "token:t"
    assert (await drain(shared, A))[1]["code"] == "unknown_endpoint"
    shared.file.upstreams = (NAMED,)
    assert (await listed(shared))[f"{A}/base"] == ["operator"], "as it was left"
    shared.file.upstreams = shared.file.declared = ()
    assert await listed(shared) == {A: ["operator"], B: ["operator"]}
    assert (await drain(shared, A))[0] == 404
    assert (await undrain(shared, C))[0] == 404
    for url in (A, B):
        assert (await undrain(shared, url))[0] == 200
    assert (await shared.call("GET", "/upstreams/ai/endpoints")).status == 404


async def test_a_proxy_comes_before_an_upstream_of_its_name(shared: Api) -> None:
    """Neither has the other's drains, and what is drained at one is not stale at the other."""
    assert (await drain(shared, A, "chat"))[0] == 200
    assert (await shared.call("POST", "/proxies", OWN | {"name": "ai"})).status == 201
    assert await listed(shared) == {A: [], B: []}
    await drain(shared, B)
    assert await listed(shared, "chat") == {f"{A}/base": ["operator"], B: [], C: ["settings"]}
    assert await listed(shared) == {A: [], B: ["operator"]}
    shared.file.upstreams = (NAMED, {"name": "spare", "endpoints": [{"url": "http://spare"}]})
    assert await listed(shared, "spare") == {"http://spare": []}, "no proxy names it"


async def test_how_they_stand_is_shown_while_a_worker_responds(shared: Api) -> None:
    shared.file.declared = ({**CHAT, "name": "off", "path": "/off", "active": False}, CHAT)
    told = {"url": f"{A}/base", "weight": 2, "standing": "drained", "in_flight": 3}
    shared.plane.explanations = {"chat": {"group": {"endpoints": [told]}}}
    path = "/upstreams/ai/endpoints"
    items = (await shared.call("GET", path)).body["items"]
    assert [each["live"] for each in items] == [{"standing": "drained", "in_flight": 3}, None, None]
    for known in ({"chat": {"group": None}}, {"chat": {}}, {}):  # of one endpoint, of an older version, not served
        shared.plane.explanations = known
        assert {each["live"] for each in (await shared.call("GET", path)).body["items"]} == {None}
    shared.plane.reachable = False
    assert {each["live"] for each in (await shared.call("GET", path)).body["items"]} == {None}


async def test_superusers_only(shared: Api) -> None:
    token = await shared.make_token()
    for method, rest in (("GET", ""), ("POST", "/drain"), ("POST", "/undrain")):
        body = {"url": B} if method == "POST" else None
        refused = await shared.call(method, f"/upstreams/ai/endpoints{rest}", body, token=token)
        assert refused.status == 403
    assert (await listed(shared))[B] == []


async def test_a_name_that_is_expanded_stands_as_its_worst_address(shared: Api) -> None:
    shared.file.declared = (CHAT,)
    told = [
        {"url": f"{A}/base", "address": address, "weight": 2, "standing": standing, "in_flight": 3}
        for address, standing in (("10.0.0.1", "down"), ("10.0.0.2", "usable"))
    ]
    shared.plane.explanations = {"chat": {"group": {"endpoints": told}}}
    items = (await shared.call("GET", "/upstreams/ai/endpoints")).body["items"]
    assert [each["live"] for each in items] == [{"standing": "down", "in_flight": 6}, None, None]
