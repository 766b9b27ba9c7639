"""Connections and actions of the database over the API: one change at a time, secrets never shown, tenants apart."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from admin.conftest import GET_USER, GITHUB, Answer, Api

SHOP = "trn:openact:default:connection/http/shop@v1"
FIND = "trn:openact:default:action/http/find@v1"
SECRET, OTHER = "s3cret-token-of-the-shop", "s3cret-2-of-the-shop"
CONNECTION = {
    "name": "shop",
    "base_url": "http://h.example/v1",
    "auth": {"type": "bearer", "token": SECRET},
    "headers": {"X-Tenant": "s3cret-header", "Accept": "text/plain"},
}
ACTION = {"name": "find", "connection": "shop", "path": "/orders/{id}", "query": {"api_key": "s3cret-query"}}
HIDDEN = (SECRET, OTHER, "s3cret-header", "s3cret-query")


async def made(api: Api, **more: object) -> dict[str, Any]:
    answer = await api.call("POST", "/connections", {**CONNECTION, **more})
    assert answer.status == 201, answer.body
    body: dict[str, Any] = answer.body
    return body


async def with_action(api: Api, **more: object) -> dict[str, Any]:
    answer = await api.call("POST", "/actions", {**ACTION, **more})
    assert answer.status == 201, answer.body
    body: dict[str, Any] = answer.body
    return body


async def token_of(api: Api) -> str:
    (record,) = await api.store.connections.list()
    return record.value.definition.record("shop").auth.secret  # type: ignore[union-attr]


def fields(answer: Answer) -> dict[str, str]:
    return {each["path"]: each["message"] for each in answer.body.get("fields", [])}


@pytest.mark.covers("ACT-01")
async def test_a_connection_from_its_creation_to_its_end(api: Api) -> None:
    created = await made(api)
    assert (created["trn"], created["record"]["version"], api.plane.applies) == (SHOP, 1, 1)
    assert created["applied"] == {"generation": 1, "error": ""}
    shown = (await api.call("GET", "/connections/shop")).body
    assert (shown["trn"], shown["auth"], shown["upstream"]) == (SHOP, "bearer", "connection/shop")
    assert shown["record"] == created["record"]
    settings = shown["record"]["settings"]
    assert settings["auth"] == {"type": "bearer", "token": "[REDACTED]"}
    assert settings["headers"] == {"X-Tenant": "[REDACTED]", "Accept": "text/plain"}
    assert settings.keys() == {*CONNECTION, "tenant"}, "as it was written"
    body = {**CONNECTION, "description": "d", "auth": {"type": "bearer", "token": OTHER}}
    changed = await api.call("PUT", f"/connections/{quote(SHOP, safe='')}", body, If_Match='"1"')
    assert (changed.status, changed.body["record"]["version"]) == (200, 2)
    assert changed.body["record"]["created"] == created["record"]["created"]
    assert await token_of(api) == OTHER
    patched = await api.call("PATCH", "/connections/shop", {"description": None, "merge": "strict", "version": 2})
    assert (patched.status, patched.body["record"]["settings"]["merge"]) == (200, "strict")
    assert "description" not in patched.body["record"]["settings"]
    assert await token_of(api) == OTHER, "a patch that does not speak of it keeps it"
    gone = await api.call("DELETE", "/connections/shop", If_Match='"3"')
    assert (gone.status, gone.body["trn"], gone.body["removed"]) == (200, SHOP, [])
    assert (await api.call("GET", "/connections/shop")).status == 404
    for secret in HIDDEN:
        assert secret not in "".join(api.texts)
    audit = (await api.call("GET", "/audit")).body["items"]
    assert [each["action"] for each in audit[:4]] == [
        *("connection.delete", "connection.update", "connection.update", "connection.create"),
    ]
    assert all(secret not in str(audit) for secret in HIDDEN)


@pytest.mark.covers("ACT-41")
async def test_rate_limits_of_a_connection(api: Api) -> None:
    record = (await made(api, rate_limits=[{"rate": 100, "per": 60}]))["record"]
    assert record["settings"]["rate_limits"] == [{"rate": 100.0, "per": 60.0}]
    patched = await api.call("PATCH", "/connections/shop", {"rate_limits": [{"rate": 5}], "version": 1})
    assert (patched.status, patched.body["record"]["settings"]["rate_limits"]) == (200, [{"rate": 5.0}])
    wrong = [{"key": "client", "rate": 5}]
    refused = await api.call("PATCH", "/connections/shop", {"rate_limits": wrong, "version": 2})
    assert refused.status == 400
    assert "must be all: a call of an action has no caller" in fields(refused)["rate_limits.0.key"]


async def test_a_stale_version_is_refused_with_the_current_record(api: Api) -> None:
    await made(api)
    assert (await api.call("PUT", "/connections/shop", CONNECTION)).status == 428
    await api.call("PATCH", "/connections/shop", {"description": "x", "version": 1})
    for method in ("PUT", "PATCH", "DELETE"):
        answer = await api.call(method, "/connections/shop", CONNECTION, If_Match='"1"')
        assert (answer.status, answer.body["code"]) == (409, "version_conflict")
        assert answer.body["current"]["record"]["version"] == 2
    await with_action(api)
    assert (await api.call("PUT", "/actions/find", ACTION, If_Match='"7"')).status == 409


async def test_a_secret_that_comes_back_redacted_stays(api: Api) -> None:
    record = (await made(api))["record"]
    answer = await api.call("PUT", "/connections/shop", {**record["settings"], "version": 1})
    assert (answer.status, answer.body["record"]["version"]) == (200, 2)
    assert await token_of(api) == SECRET
    again = await api.call("PUT", "/connections/shop?dry_run=true", {**record["settings"], "version": 2})
    assert again.body["changes"] == []
    body = {"headers": {"X-New": "[REDACTED]"}, "auth": {"token": "x"}, "version": 2}
    refused = await api.call("PATCH", "/connections/shop", body)
    assert refused.status == 400
    assert "is the word that is shown in place of a secret" in fields(refused)["headers.X-New"]


async def test_secrets_do_not_follow_to_another_origin(api: Api) -> None:
    """Else a superuser could read each of them at a host of their own."""
    await made(api)
    away = {"base_url": "http://evil.example/v1", "version": 1}
    refused = await api.call("PATCH", "/connections/shop", away)
    assert (refused.status, [*fields(refused)]) == (400, ["base_url"])
    assert "auth.token" in fields(refused)["base_url"]
    kept = await api.call("PATCH", "/connections/shop", {"base_url": "http://h.example:80/v2", "version": 1})
    assert kept.status == 200, "the same origin"
    whole = {**CONNECTION, "base_url": "http://other.example", "version": 2}
    assert (await api.call("PUT", "/connections/shop", whole)).status == 200
    await with_action(api)
    back = {**CONNECTION, "version": 3}
    refused = await api.call("PUT", "/connections/shop", back)
    assert FIND in fields(refused)["base_url"], "an action has a secret for that origin"
    await made(api, name="mine")
    refused = await api.call("PATCH", "/actions/find", {"connection": "mine", "version": 1})
    assert "query.api_key" in fields(refused)["connection"]


@pytest.mark.parametrize("key", ["token_url", "device_url", "revoke_url"])
async def test_secrets_do_not_follow_to_another_identity_provider(api: Api, key: str) -> None:
    urls = {"token_url": "https://idp.example/t?a=b", "device_url": "https://idp.example/d"}
    auth = {"type": "oauth2_device", "client_id": "c", "client_secret": SECRET, **urls}
    await made(api, auth=auth)
    away = {"auth": {key: "https://evil.example/t"}, "version": 1}
    for more in ("", "?dry_run=true"):
        refused = await api.call("PATCH", f"/connections/shop{more}", away)
        assert (refused.status, [*fields(refused)]) == (400, [f"auth.{key}"])
        assert fields(refused)[f"auth.{key}"].endswith("send them again: auth.client_secret")
    same = {"auth": {key: "https://IDP.example:443/other"}, "version": 1}
    assert (await api.call("PATCH", "/connections/shop", same)).status == 200
    again = {"auth": {key: "https://evil.example/t", "client_secret": OTHER}, "version": 2}
    assert (await api.call("PATCH", "/connections/shop", again)).status == 200


async def test_what_a_key_signs_does_not_go_elsewhere(api: Api) -> None:
    """A JWT for the identity provider would reach the third party, which could exchange it."""
    auth = {"type": "jwt", "issuer": "robot", "key": "k" * 40, "algorithm": "HS256"}
    await made(api, auth=auth | {"token_url": "https://idp.example/t"})
    direct = {"auth": {"token_url": None}, "version": 1}
    refused = await api.call("PATCH", "/connections/shop", direct)
    assert (refused.status, [*fields(refused)]) == (400, ["auth.token_url"])
    assert fields(refused)["auth.token_url"].endswith("send them again: auth.key")
    again = await api.call("PATCH", "/connections/shop", {"auth": direct["auth"] | {"key": "n" * 40}, "version": 1})
    assert again.status == 200
    exchanged = {"auth": {"token_url": "https://idp.example/t"}, "version": 2}
    refused = await api.call("PATCH", "/connections/shop", exchanged)
    assert (refused.status, [*fields(refused)]) == (400, ["auth.token_url"])
    same = await api.call("PATCH", "/connections/shop", {"auth": {"issuer": "other"}, "version": 2})
    assert same.status == 200, "it goes where it went"


@pytest.mark.covers("ACT-02")
async def test_actions_go_with_their_connection(api: Api) -> None:
    await made(api)
    await with_action(api)
    await with_action(api, name="find@v2", path="/new")
    shown = (await api.call("GET", "/connections/shop")).body
    assert shown["actions"] == ["find", "find@v2"]
    told = (await api.call("DELETE", "/connections/shop?dry_run=true")).body
    second = FIND.replace("v1", "v2")
    assert told == {"dry_run": True, "trn": SHOP, "changes": [], "removes": [FIND, second]}
    gone = (await api.call("DELETE", "/connections/shop")).body
    assert gone["removed"] == [FIND, second]
    assert (await api.call("GET", "/actions/find")).status == 404


@pytest.mark.covers("ACT-02", "ACT-03")
async def test_without_a_version_the_newest_enabled_one_is_meant(api: Api) -> None:
    await made(api)
    for name, enabled in (("find", True), ("find@v2", True), ("find@v3", False)):
        await with_action(api, name=name, enabled=enabled)
    shown = (await api.call("GET", "/actions/find")).body
    assert (shown["trn"], shown["name"]) == (FIND.replace("v1", "v2"), "find@v2")
    assert (await api.call("GET", f"/actions/{quote(FIND, safe='')}")).body["trn"] == FIND
    assert (await api.call("GET", "/actions/find@v3")).body["record"]["settings"]["enabled"] is False
    several = await api.call("DELETE", "/actions/find")
    assert (several.status, several.body["code"]) == (409, "conflict.action")
    assert FIND in several.body["details"]
    assert (await api.call("DELETE", "/actions/find@v1")).status == 200


@pytest.mark.covers("ACT-04")
async def test_what_belongs_to_another_tenant_is_not_there(api: Api) -> None:
    theirs = await api.call("POST", "/connections?tenant=acme", CONNECTION)
    assert (theirs.status, theirs.body["trn"]) == (201, SHOP.replace("default", "acme"))
    await api.call("POST", "/actions?tenant=acme", ACTION)
    trn = quote(theirs.body["trn"], safe="")
    for path in ("shop", trn):
        for method, body in (("GET", None), ("PUT", CONNECTION), ("PATCH", {"merge": "strict"}), ("DELETE", None)):
            answer = await api.call(method, f"/connections/{path}", body)
            assert (answer.status, answer.body["code"]) == (404, "not_found.connection"), method
    assert (await api.call("GET", f"/connections/{trn}?tenant=acme")).status == 200
    assert (await api.call("DELETE", "/actions/find")).body["code"] == "not_found.action"
    listed = (await api.call("GET", "/connections")).body
    assert [each["name"] for each in listed["items"]] == ["github"]
    refused = await api.call("POST", "/connections", {**CONNECTION, "tenant": "acme"})
    assert "write the same in ?tenant=" in fields(refused)["tenant"]
    lost = await api.call("POST", "/actions", ACTION)
    assert "there is no connection shop; create it first" in fields(lost)["connection"]


@pytest.mark.parametrize(
    ("body", "path", "says"),
    [
        ({"base_url": "ftp://h"}, "base_url", "must begin with http:// or https://"),
        ({"base_url": "http://127.0.0.1:8081"}, "base_url", "is a listener of this gateway"),
        ({"base_url": "http://169.254.169.254"}, "base_url", "169.254"),
        ({"color": 1}, "color", "unknown key"),
        ({"tls": {"ca": "/etc/passwd"}}, "tls", "names files of the gateway's machine"),
        ({"auth": {"type": "bearer", "token": "${TOKEN}"}}, "auth.token", "is a variable of a file"),
        ({"auth": {"type": "bearer", "token": "[REDACTED]"}}, "auth.token", "send the value"),
        ({"name": "x" * 60}, "name", "which may have 64 characters"),
        ({"name": "a b"}, "name", "letters, digits"),
        ({"kind": "sql"}, "url", "is required; add this key"),
        ({"kind": "memcached"}, "kind", "there is no such connector; write one of http, mcp, sql"),
        ({"kind": 5}, "kind", "must be text"),
    ],
)
async def test_what_is_wrong_is_said_with_its_place(api: Api, body: dict[str, object], path: str, says: str) -> None:
    answer = await api.call("POST", "/connections", {**CONNECTION, **body})
    assert (answer.status, answer.body["code"]) == (400, "validation")
    assert says in fields(answer)[path]
    assert SECRET not in str(answer.body)


async def test_a_name_is_taken_once_and_does_not_change(api: Api) -> None:
    await made(api)
    for query in ("", "?dry_run=true"):
        again = await api.call("POST", f"/connections{query}", CONNECTION)
        assert (again.status, again.body["code"]) == (409, "already_exists")
    renamed = await api.call("PUT", "/connections/shop", {**CONNECTION, "name": "other", "version": 1})
    assert (renamed.status, renamed.body["code"]) == (400, "validation.trn_mismatch")
    malformed = await api.call("DELETE", "/connections/trn:openact:a%20b:connection%2Fx")
    assert (malformed.status, malformed.body["code"]) == (400, "validation.invalid_trn")


async def test_a_dry_run_says_what_would_change_and_changes_nothing(api: Api) -> None:
    created = await api.call("POST", "/connections?dry_run=true", CONNECTION)
    assert (created.status, created.body["trn"]) == (200, SHOP)
    assert await api.store.connections.list() == ()
    await made(api)
    body = {**CONNECTION, "auth": {"type": "bearer", "token": OTHER}, "retry": "api", "version": 1}
    told = await api.call("PUT", "/connections/shop?dry_run=true", body)
    assert told.body == {"dry_run": True, "trn": SHOP, "changes": ["auth", "retry"], "removes": []}
    assert await token_of(api) == SECRET
    assert api.plane.applies == 1


async def test_the_file_wins_and_is_changed_in_the_file(api: Api) -> None:
    await made(api, name="github")
    await with_action(api, name="get-user", connection="github")
    api.file.connections = {"github": {"base_url": "https://api.github.test"}}
    api.file.actions = {"get-user": {"connection": "github"}}
    shown = (await api.call("GET", "/connections")).body["items"]
    assert [(each["base_url"], each["record"] and each["record"]["shadowed_by"]) for each in shown] == [
        ("https://api.github.test", None),
        ("http://h.example/v1", "file:gateway.yaml"),
    ]
    assert (await api.call("GET", "/connections/github")).body["record"] is None
    assert (await api.call("GET", "/actions/get-user")).body["record"] is None
    gone = (await api.call("DELETE", "/connections/github")).body
    assert gone["removed"] == [], "the connection of the file has its actions now"
    for method, path in (("DELETE", "/connections/github"), ("PATCH", "/connections/github")):
        answer = await api.call(method, path, {"version": 1})
        assert (answer.status, answer.body["code"]) == (409, "read_only")
    assert (await api.call("POST", "/actions", {"name": "more", "connection": "github"})).status == 201


async def test_a_connection_stays_while_a_proxy_names_it(api: Api) -> None:
    await made(api)
    api.file.declared = ({"name": "hub", "path": "/hub", "upstream": "connection/shop"},)
    for query in ("", "?dry_run=true"):
        refused = await api.call("DELETE", f"/connections/shop{query}")
        assert (refused.status, refused.body["code"]) == (409, "in_use")
        assert "hub" in refused.body["details"]


async def test_a_proxy_of_the_database_may_name_a_connection(api: Api) -> None:
    proxy = {"name": "hub", "path": "/hub", "upstream": "connection/shop"}
    lost = await api.call("POST", "/proxies", proxy)
    assert "there is no connection/shop; create this connection first" in fields(lost)["upstream"]
    await made(api)
    created = await api.call("POST", "/proxies", proxy)
    assert (created.status, created.body["upstream"]) == (201, "connection/shop")
    changed = await api.call("PATCH", "/proxies/hub", {"strip_path": False, "version": 1})
    assert changed.status == 200
    assert (await api.call("DELETE", "/connections/shop")).body["code"] == "in_use"
    own = await api.call("PATCH", "/proxies/hub", {"max_concurrent": 5, "version": 2})
    assert "belongs to the connection" in fields(own)["max_concurrent"]
    await api.call("PUT", "/secrets/K", {"value": "v", "origins": ["http://other.example"]})
    stray = await api.call("PATCH", "/proxies/hub", {"headers": {"X-K": "{secret.K}"}, "version": 2})
    assert "the secret K may be sent to http://other.example alone" in fields(stray)["upstream"]
    await api.call("PATCH", "/secrets/K", {"origins": ["http://h.example"]})
    assert (await api.call("PATCH", "/proxies/hub", {"headers": {"X-K": "{secret.K}"}, "version": 2})).status == 200
    refused = await api.call("PATCH", "/secrets/K", {"origins": ["http://other.example"]})
    assert (refused.status, refused.body["code"]) == (409, "secret_in_use")


async def test_what_cannot_be_served_is_shown_with_the_reason(api: Api) -> None:
    await made(api)
    await with_action(api)
    broken = {"name": "shop", "base_url": "http://h.example", "color": 1}
    await spoil(api, "connections", broken)
    await spoil(api, "actions", {"name": "find", "connection": "gone"})
    connection = (await api.call("GET", "/connections/shop")).body
    assert "color: unknown key" in connection["record"]["problem"]
    assert (connection["base_url"], connection["upstream"]) == ("", "connection/shop")
    action = (await api.call("GET", "/actions/find")).body
    assert (action["method"], action["explained_as"]) == ("", "action/find")
    fixed = await api.call("PUT", "/connections/shop", {**CONNECTION, "version": 1})
    assert (fixed.status, fixed.body["record"]["problem"]) == (200, "")


async def spoil(api: Api, table: str, settings: dict[str, object]) -> None:
    """As another version of the gateway, or a hand, would have left it."""
    from sqlalchemy import text, update

    from gateway.store.tables import METADATA

    async with api.store._database.writing() as writing:
        await writing.execute(update(METADATA.tables[table]).values(settings=settings, sealed=None))
        await writing.execute(text("UPDATE revision SET value = value + 1"))


@pytest.mark.covers("ACT-01")
async def test_lists_have_pages_and_do_not_need_the_data_plane(api: Api) -> None:
    for name in ("a", "b", "c"):
        await made(api, name=name)
    await with_action(api, connection="a")
    second = (await api.call("GET", "/connections?page=2&per_page=3")).body
    assert ([each["name"] for each in second["items"]], second["total"]) == (["github"], 4)
    api.plane.reachable = False
    api.file.connections = {"own": {"base_url": "http://own.example"}}
    api.file.actions = {"list": {"connection": "own"}}
    names = [each["name"] for each in (await api.call("GET", "/connections")).body["items"]]
    assert names == ["a", "b", "c", "own"]
    listed = (await api.call("GET", "/actions")).body["items"]
    assert [(each["name"], each["method"]) for each in listed] == [("find", "GET"), ("list", "GET")]
    assert (await api.call("GET", "/connections?per_page=1001")).status == 400


async def test_these_are_for_superusers(api: Api) -> None:
    token = await api.make_token()
    for method, path in (("POST", "/connections"), ("PUT", "/actions/x"), ("DELETE", "/connections/x")):
        assert (await api.call(method, path, CONNECTION, token=token)).status == 403


async def test_a_stored_one_looks_as_the_data_plane_shows_it(api: Api) -> None:
    """What is not served, and what a data plane that is away would serve, has the same keys."""
    await made(api)
    await with_action(api)
    assert (await api.call("GET", "/connections/shop")).body.keys() == {*GITHUB, "record"}
    assert (await api.call("GET", "/actions/find")).body.keys() == {*GET_USER, "record", "input_schema_digest"}
