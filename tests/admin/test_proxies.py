"""Proxies over the API: checked, versioned, told beforehand what a change touches."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from admin.conftest import IDLE, Api
from sqlalchemy import update

from gateway.config import single
from gateway.config.schema.proxy import Proxy
from gateway.store.tables import PROXIES

WEB: dict[str, Any] = {"name": "web", "path": "/web", "upstream": "http://127.0.0.1:9", "access_rule": "true"}


async def test_the_life_of_a_proxy(api: Api) -> None:
    made = await api.call("POST", "/proxies", WEB)
    assert made.status == 201
    assert made.headers["ETag"] == '"1"'
    assert {key: made.body[key] for key in WEB} == WEB
    assert made.body["applied"] == {"generation": 1, "error": ""}
    assert made.body["impact"]["routes"] == [{"proxy": "web", "host": "", "path": "/web", "change": "added"}]
    shown = (await api.call("GET", "/proxies/web")).body
    assert shown == {key: value for key, value in made.body.items() if key not in ("applied", "impact")}
    changed = await api.call("PATCH", "/proxies/web", {"max_concurrent": 5, "version": 1})
    assert (changed.body["version"], changed.body["max_concurrent"]) == (2, 5)
    replaced = await api.call("PUT", "/proxies/web", WEB | {"path": "/other"}, If_Match='"2"')
    assert (replaced.body["version"], replaced.body["max_concurrent"]) == (3, 0)
    gone = await api.call("DELETE", "/proxies/web?version=3")
    assert gone.body["impact"]["routes"][0]["change"] == "removed"
    assert (await api.call("GET", "/proxies/web")).status == 404
    assert api.plane.applies == 4


OF_VERSION_1: tuple[tuple[str, str, dict[str, object] | None], ...] = (
    ("PATCH", "/proxies/web", {"max_concurrent": 6, "version": 1}),
    ("PUT", "/proxies/web", WEB | {"version": 1}),
    ("DELETE", "/proxies/web?version=1", None),
)


@pytest.mark.covers("EC-006", "FR-030")
async def test_a_stale_change_gets_the_current_one(api: Api) -> None:
    await api.call("POST", "/proxies", WEB)
    await api.call("PATCH", "/proxies/web", {"max_concurrent": 5}, If_Match='"1"')
    for method, path, body in OF_VERSION_1:
        stale = await api.call(method, path, body)
        assert (stale.status, stale.body["code"]) == (409, "version_conflict")
        assert stale.body["current"]["version"] == 2
    assert (await api.call("GET", "/proxies/web")).body["max_concurrent"] == 5


@pytest.mark.covers("EC-006")
async def test_two_versions_that_differ_are_refused(api: Api) -> None:
    """One of them is wrong, and the change of another caller would be lost when that is the one that counts."""
    await api.call("POST", "/proxies", WEB)
    await api.call("PATCH", "/proxies/web", {"max_concurrent": 5}, If_Match='"1"')
    for method, path, body in OF_VERSION_1:
        answer = await api.call(method, path, body, If_Match='"2"')
        assert (answer.status, answer.body["fields"][0]["path"]) == (400, "version")
    assert (await api.call("GET", "/proxies/web")).body["max_concurrent"] == 5
    assert (await api.call("PATCH", "/proxies/web", {"panic": 0.4, "version": 2}, If_Match='"2"')).status == 200


@pytest.mark.covers("EC-006")
async def test_a_change_must_say_what_it_changes(api: Api) -> None:
    await api.call("POST", "/proxies", WEB)
    answer = await api.call("PATCH", "/proxies/web", {"max_concurrent": 6})
    assert (answer.status, answer.body["code"]) == (428, "version_required")
    assert answer.body["fields"][0]["path"] == "version"
    for version in ("x", True, 1.5):
        assert (await api.call("PATCH", "/proxies/web", {"version": version})).status == 400
    assert (await api.call("PATCH", "/proxies/web", {}, If_Match="W/x")).status == 400


async def test_of_many_that_change_the_same_version_one_wins(api: Api) -> None:
    await api.call("POST", "/proxies", WEB)
    answers = await asyncio.gather(
        *(api.call("PATCH", "/proxies/web", {"max_concurrent": n, "version": 1}) for n in range(1, 9))
    )
    assert sorted(a.status for a in answers) == [200] + [409] * 7


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({"path": "web"}, ["path"]),
        ({"path": "/api/gateway/x"}, ["path"]),
        ({"path": "/_/x"}, ["path"]),
        ({"upstream": "ftp://x"}, ["upstream"]),
        ({"upstream": "http://169.254.169.254/latest"}, ["upstream"]),
        ({"upstream": "http://[::ffff:127.0.0.1]:8081"}, ["upstream"]),
        ({"colour": "red", "max_concurrent": "5"}, ["max_concurrent", "colour"]),
        ({"timeout_config": {"dial": 0, "idle": -1}}, ["timeout_config.dial", "timeout_config.idle"]),
        ({"circuit_breaker": {"failureThreshold": 3}}, ["circuit_breaker.failureThreshold"]),
        ({"access_rule": "@request.auth.role == 'x'"}, ["access_rule"]),
        ({"headers": {"X-Key": "{secret.NONE}"}}, ["headers.X-Key"]),
        ({"headers": {"X-Key": "{env.UNSET}"}}, ["headers.X-Key"]),
        ({"headers": {"X-Key": "{env.UNLISTED}"}}, ["headers.X-Key"]),
        ({"headers": {"X-Key": "{env.GATEWAY_X}"}}, ["headers.X-Key"]),
        ({"headers": {"Authorization": "Bearer sk-live-1"}}, ["headers.Authorization"]),
        ({"name": None}, ["name"]),
    ],
)
async def test_each_wrong_field_is_named(api: Api, change: dict[str, Any], paths: list[str]) -> None:
    answer = await api.call("POST", "/proxies", WEB | change)
    assert (answer.status, answer.body["code"]) == (400, "validation")
    assert [f["path"] for f in answer.body["fields"]] == paths
    assert all("; " in f["message"] for f in answer.body["fields"])
    assert "sk-live" not in str(answer.body)
    assert (await api.call("GET", "/proxies")).body["total"] == 0


async def test_names_and_routes_are_unique(api: Api) -> None:
    await api.call("POST", "/proxies", WEB)
    for body in (WEB | {"path": "/x"}, WEB | {"name": "x"}):
        for path in ("/proxies", "/proxies?dry_run=true"):
            assert (await api.call("POST", path, body)).body["code"] == "already_exists"


async def test_the_breaker_of_an_upstream_is_kept_whatever_its_url(api: Api) -> None:
    whole = {"enabled": True, "scope": "upstream"}
    await api.call("POST", "/proxies", WEB | {"circuit_breaker": whole})
    answer = await api.call("PATCH", "/proxies/web?dry_run=true", {"upstream": "http://127.0.0.1:10"}, If_Match='"1"')
    assert answer.body["impact"]["upstreams"][0]["breaker"] == "kept"


async def test_a_dry_run_tells_what_would_be_touched_and_changes_nothing(api: Api) -> None:
    await api.call("POST", "/proxies", WEB | {"max_concurrent": 5, "circuit_breaker": {"enabled": True}})
    api.plane.states["web"] = IDLE
    before = await api.store.revision()

    async def upstreams(change: dict[str, Any]) -> dict[str, Any]:
        answer = await api.call("PATCH", "/proxies/web?dry_run=true", change, If_Match='"1"')
        assert answer.body["dry_run"] is True
        found = answer.body["impact"]["upstreams"]
        return found[0] if found else {}

    kept = {"proxy": "web", "breaker": "kept", "limiter": "kept", "pool": "kept", "streams": 3}
    assert await upstreams({"max_concurrent": 5}) == {}
    assert await upstreams({"max_concurrent": 9}) == kept | {"limiter": "resized"}
    assert await upstreams({"max_concurrent": 0}) == kept | {"limiter": "dropped"}
    adapts = {"max_concurrent": 0, "limiter": {"adaptive": {}}}
    assert await upstreams(adapts) == kept | {"limiter": "resized"}
    assert await upstreams({"upstream": "http://127.0.0.1:10"}) == kept | {"breaker": "reset", "pool": "replaced"}
    assert await upstreams({"upstream": "http://127.0.0.1:9/base"}) == kept
    assert await upstreams({"timeout_config": {"dial": 1}}) == kept | {"pool": "replaced"}
    whole = {"circuit_breaker": {"scope": "upstream"}}
    assert await upstreams(whole) == kept | {"breaker": "reset"}
    assert await upstreams({"circuit_breaker": None}) == kept | {"breaker": "dropped"}
    assert await upstreams({"active": False}) == kept | dict.fromkeys(("breaker", "limiter", "pool"), "dropped")
    gone = (await api.call("DELETE", "/proxies/web?dry_run=true")).body["impact"]
    assert gone["streams"] == 3
    assert (await api.call("POST", "/proxies/validate", WEB)).body["impact"]["upstreams"][0]["limiter"] == "dropped"
    assert (await api.call("POST", "/proxies/validate", WEB | {"name": "n", "path": "/n"})).status == 200
    assert (await api.store.revision(), api.plane.applies) == (before, 1)


async def test_a_front_door_of_the_file_wins_too(api: Api) -> None:
    api.file.front_doors = ({"name": "tools", "path": WEB["path"]},)
    made = await api.call("POST", "/proxies", WEB)
    assert made.body["shadowed_by"] == "file:gateway.yaml"
    assert [each["shadowed_by"] for each in (await api.call("GET", "/proxies")).body["items"]] == ["file:gateway.yaml"]


async def test_the_file_wins_and_can_not_be_changed_here(api: Api) -> None:
    api.file.declared = (
        WEB | {"headers": {"X-Api-Key": "written-out", "X-Env": "{env.SET}", "X-Plain": "y"}},
        WEB | {"name": "filed", "path": "/filed"},
    )
    shadow = await api.call("POST", "/proxies", WEB | {"path": "/elsewhere"})
    assert shadow.body["shadowed_by"] == "file:gateway.yaml"
    assert shadow.body["impact"]["routes"] == []
    items = (await api.call("GET", "/proxies")).body["items"]
    assert [(i["name"], i["source"], i["shadowed_by"]) for i in items] == [
        ("filed", "file:gateway.yaml", None),
        ("web", "file:gateway.yaml", None),
        ("web", "database", "file:gateway.yaml"),
    ]
    assert items[1]["headers"] == {"X-Api-Key": "****", "X-Env": "{env.SET}", "X-Plain": "y"}
    for method, body in (("PATCH", {"version": 1}), ("DELETE", None)):
        assert (await api.call(method, "/proxies/filed", body)).body["code"] == "read_only"


async def test_every_setting_is_stored(api: Api) -> None:
    settings: dict[str, object] = {"clear_text_proxy": True, "rewrite_location": True, "timeout_config": {"total": 9.0}}
    settings |= {"websocket": True, "tunnel_idle": 60.0}
    await api.call("POST", "/proxies", WEB | settings)
    shown = (await api.call("GET", "/proxies/web")).body
    assert (shown["clear_text_proxy"], shown["rewrite_location"]) == (True, True)
    assert (shown["websocket"], shown["tunnel_idle"]) == (True, 60.0)
    assert (shown["timeout_config"]["total"], shown["timeout_config"]["dial"]) == (9.0, 2.0)


async def test_what_this_version_can_not_use_is_shown_as_it_is_stored_and_can_be_fixed(api: Api) -> None:
    await api.call("POST", "/proxies", WEB)
    await api.call("PUT", "/secrets/KEY", {"value": "v"})
    headers = {"X-Key": "{secret.KEY}", "X-Api-Key": "written-out"}
    odd = WEB | {"name": "odd", "path": "/odd", "headers": headers, "color": "red"}
    await api.call("POST", "/proxies", WEB | {"name": "odd", "path": "/odd"})
    async with api.store._database.writing() as connection:
        await connection.execute(update(PROXIES).where(PROXIES.c.name == "odd").values(settings=odd))
    await api.call("PATCH", "/proxies/web", {"active": False, "version": 1})  # so that there is something new
    found = (await api.call("GET", "/proxies")).body["items"]
    assert [item["name"] for item in found] == ["odd", "web"]
    shown = (await api.call("GET", "/proxies/odd")).body
    assert shown == found[0]
    assert (shown["color"], shown["max_concurrent"], shown["version"]) == ("red", 0, 1)
    assert shown["headers"] == {"X-Key": "{secret.KEY}", "X-Api-Key": "****"}
    assert (await api.call("DELETE", "/secrets/KEY")).body["code"] == "in_use"
    refused = await api.call("PATCH", "/proxies/odd", {"active": False, "version": 1})
    assert refused.status == 400
    assert {field["path"] for field in refused.body["fields"]} == {"color", "headers.X-Api-Key"}
    fixed = await api.call("PUT", "/proxies/odd", WEB | {"name": "odd", "path": "/odd", "version": 1})
    assert fixed.body["impact"]["routes"] == [{"proxy": "odd", "host": "", "path": "/odd", "change": "added"}]
    assert (await api.call("DELETE", "/secrets/KEY")).status == 200
    async with api.store._database.writing() as connection:
        await connection.execute(update(PROXIES).where(PROXIES.c.name == "odd").values(settings=odd))
    await api.call("PATCH", "/proxies/web", {"active": True, "version": 2})
    dry = (await api.call("DELETE", "/proxies/odd?dry_run=true")).body
    assert (dry["proxy"]["color"], dry["impact"]["routes"]) == ("red", [])
    assert (await api.call("DELETE", "/proxies/odd")).status == 200
    assert (await api.call("GET", "/proxies/odd")).status == 404


async def test_one_proxy_is_shown_without_a_look_at_the_others(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        await api.call("POST", "/proxies", WEB | {"name": name, "path": f"/{name}"})
    await api.call("GET", "/proxies/a")
    monkeypatch.setattr(single, "stored", None)
    dumped: list[str] = []
    dump = Proxy.model_dump

    def counted(proxy: Proxy, *, mode: str) -> dict[str, Any]:
        dumped.append(proxy.name)
        return dump(proxy, mode=mode)

    monkeypatch.setattr(Proxy, "model_dump", counted)
    assert (await api.call("GET", "/proxies/b")).status == 200
    assert dumped == ["b"]


async def test_the_list_has_pages_and_a_search(api: Api) -> None:
    for number in range(7):
        hosts = ["needle.example"] if number == 3 else []
        await api.call("POST", "/proxies", WEB | {"name": f"p{number}", "path": f"/p{number}", "hosts": hosts})
    page = (await api.call("GET", "/proxies?page=2&per_page=3")).body
    assert ([i["name"] for i in page["items"]], page["total"]) == (["p3", "p4", "p5"], 7)
    for search, found in (("NEEDLE", ["p3"]), ("/p6", ["p6"]), ("none", [])):
        assert [i["name"] for i in (await api.call("GET", f"/proxies?search={search}")).body["items"]] == found
    for query in ("page=0", "per_page=1001", "page=x", "colour=red", "page=1&page=2"):
        answer = await api.call("GET", f"/proxies?{query}")
        assert (answer.status, answer.body["fields"][0]["path"]) == (400, query.partition("=")[0])


@pytest.mark.covers("T028")
async def test_a_breaker_is_reset_by_hand(api: Api) -> None:
    await api.call("POST", "/proxies", WEB)
    assert (await api.call("POST", "/proxies/web/breaker/reset")).body["code"] == "no_breaker"
    api.plane.breakers.add("web")
    assert (await api.call("POST", "/proxies/web/breaker/reset")).status == 200
    assert (await api.call("POST", "/proxies/none/breaker/reset")).status == 404
    assert (await api.call("GET", "/audit")).body["items"][0]["action"] == "breaker.reset"


async def test_without_a_worker_the_store_is_served_and_what_only_it_knows_is_not(api: Api) -> None:
    await api.call("POST", "/proxies", WEB)
    api.plane.states["web"] = IDLE
    api.plane.breakers.add("web")
    assert (await api.call("GET", "/proxies/web")).body["state"] == IDLE
    api.plane.reachable = False
    assert (await api.call("GET", "/proxies/web")).body["state"] is None
    for method, path in (
        ("POST", "/proxies/web/breaker/reset"),
        ("GET", "/upstreams/web/explain"),
        ("GET", "/requests/r-1"),
    ):
        away = await api.call(method, path)
        assert (away.status, away.body["code"]) == (503, "unavailable")
        assert away.body["details"] == "the worker does not answer"


async def test_what_could_not_be_applied_is_reported(api: Api) -> None:
    api.plane.error = "the worker cannot be reached"
    made = await api.call("POST", "/proxies", WEB)
    assert made.body["applied"]["error"] == "the worker cannot be reached"
