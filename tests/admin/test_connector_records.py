"""Connections and actions of every connector in the database: the rules of those of HTTP, and credentials in URLs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from admin.conftest import Answer, Api
from harness.strangers import FAR, Far, FarAction, known

PASSWORD, OTHER = "s3cret-of-the-database", "s3cret-2-of-the-database"
SQL = {"kind": "sql", "url": f"postgresql://reader:{PASSWORD}@db.internal/shop"}
REDIS = {"kind": "redis", "url": f"redis://:{PASSWORD}@cache.internal:6380/1"}
MONGODB = {"kind": "mongodb", "url": f"mongodb://reader:{PASSWORD}@docs.internal/shop", "auth_database": "admin"}
PLACES = {"sql": "postgresql://db.internal:5432", "redis": "redis://cache.internal:6380"}
PLACES["mongodb"] = "mongodb://docs.internal:27017"
ACTIONS: dict[str, dict[str, Any]] = {
    "sql": {"statement": "SELECT name FROM products WHERE id = :id"},
    "redis": {"command": ["GET", "user:{id}"]},
    "mongodb": {"collection": "orders", "arguments": {"filter": {"state": "{id}", "token": PASSWORD}}},
}
EACH = pytest.mark.parametrize("settings", [SQL, REDIS, MONGODB], ids=lambda each: each["kind"])


def fields(answer: Answer) -> dict[str, str]:
    return {each["path"]: each["message"] for each in answer.body.get("fields", [])}


async def made(api: Api, settings: dict[str, Any], **more: object) -> dict[str, Any]:
    answer = await api.call("POST", "/connections", {"name": "db", **settings, **more})
    assert answer.status == 201, answer.body
    body: dict[str, Any] = answer.body
    return body


async def definition(api: Api) -> Any:
    (record,) = await api.store.connections.list()
    return record.value.definition  # type: ignore[union-attr]


@pytest.mark.covers("ACT-01")
@EACH
async def test_a_connection_from_its_creation_to_its_end(api: Api, settings: dict[str, Any]) -> None:
    kind = settings["kind"]
    dry = await api.call("POST", "/connections?dry_run=true", {"name": "db", **settings})
    assert (dry.status, dry.body["trn"]) == (200, f"trn:openact:default:connection/{kind}/db@v1")
    assert await api.store.connections.list() == ()
    created = await made(api, settings)
    shown = (await api.call("GET", "/connections/db")).body
    assert (shown["connector"], shown["base_url"], shown["auth"]) == (kind, PLACES[kind], "basic")
    assert shown["record"]["settings"] == {"name": "db", "tenant": "default", **settings, "url": "[REDACTED]"}
    assert (await api.call("PUT", "/connections/db", {**settings, "name": "db"})).status == 428
    patched = await api.call("PATCH", "/connections/db", {"max_concurrent": 3, "version": 1})
    assert (patched.status, patched.body["record"]["version"]) == (200, 2)
    assert (await definition(api)).server.password == PASSWORD, "a patch that does not name it keeps it"
    same = await api.call("PUT", "/connections/db?dry_run=true", {**patched.body["record"]["settings"], "version": 2})
    assert same.body["changes"] == []
    stale = await api.call("PATCH", "/connections/db", {"max_concurrent": 4}, If_Match='"1"')
    assert (stale.status, stale.body["code"]) == (409, "version_conflict")
    gone = await api.call("DELETE", "/connections/db", If_Match='"2"')
    assert (gone.status, gone.body["trn"]) == (200, created["trn"])
    audit = (await api.call("GET", "/audit")).body["items"]
    assert [each["action"] for each in audit[:3]] == ["connection.delete", "connection.update", "connection.create"]
    assert PASSWORD not in str(audit)
    assert PASSWORD not in "".join(api.texts)


@EACH
async def test_a_url_without_a_password_is_shown(api: Api, settings: dict[str, Any]) -> None:
    url = settings["url"].replace(f":{PASSWORD}", "")
    record = (await made(api, {**settings, "url": url}))["record"]
    assert record["settings"]["url"] == url


@EACH
async def test_a_password_does_not_go_to_another_server(api: Api, settings: dict[str, Any]) -> None:
    place = settings["url"].replace(f"reader:{PASSWORD}@", "").replace(f":{PASSWORD}@", "")
    auth = {"type": "basic", "username": "reader", "password": PASSWORD}
    await made(api, {**settings, "url": place, "auth": auth})
    for change in (
        {"url": place.replace(".internal", ".evil")},
        {"url": place.replace(".internal", ".internal:1").replace(":1:6380", ":1")},
        {"tls": {"mode": "off"}},
        {"tls": {"ca_pem": "of another authority"}},
    ):
        for query in ("", "?dry_run=true"):
            refused = await api.call("PATCH", f"/connections/db{query}", {**change, "version": 1})
            assert refused.status == 400, change
            assert "send them again: auth.password" in fields(refused)["url"]
    assert (await definition(api)).server.password == PASSWORD
    again = {"url": place.replace(".internal", ".new"), "auth": {"password": OTHER}, "version": 1}
    moved = await api.call("PATCH", "/connections/db", again)
    assert moved.status == 200, moved.body
    assert (await definition(api)).server.password == OTHER


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"url": "sqlite:////var/lib/gateway/gateway.db"}, "url"),
        ({"socket": "/run/postgresql"}, "socket"),
        ({"tls": {"ca": "/etc/shadow"}}, "tls.ca"),
    ],
)
async def test_files_of_the_machine_are_for_the_file(api: Api, change: dict[str, Any], path: str) -> None:
    refused = await api.call("POST", "/connections", {"name": "db", **SQL, **change})
    assert (refused.status, [*fields(refused)]) == (400, [path])
    assert "names files of the gateway's machine" in fields(refused)[path]


async def test_it_is_checked_as_in_the_file(api: Api) -> None:
    for change, path, says in (
        ({"url": "mysql://[::1"}, "url", "is no URL"),
        ({"url": "postgresql://db:${PORT}/x"}, "url", "is a variable of a file"),
        ({"url": "postgresql://u@169.254.169.254/x"}, "url", "169.254"),
        ({"url": "[REDACTED]"}, "url", "send the value"),
        ({"urll": 1}, "urll", "did you mean url"),
        ({"base_url": "http://h"}, "base_url", "unknown key"),
        ({"name": "a b"}, "name", "letters, digits"),
    ):
        refused = await api.call("POST", "/connections", {"name": "db", **SQL, **change})
        assert refused.status == 400, change
        assert says in fields(refused)[path], change
        assert PASSWORD not in str(refused.body)


@pytest.mark.covers("ACT-02")
@EACH
async def test_an_action_is_of_the_kind_of_its_connection(api: Api, settings: dict[str, Any]) -> None:
    kind = settings["kind"]
    await made(api, settings)
    answer = await api.call("POST", "/actions", {"name": "find", "connection": "db", **ACTIONS[kind]})
    assert answer.status == 201, answer.body
    assert answer.body["trn"] == f"trn:openact:default:action/{kind}/find@v1"
    shown = (await api.call("GET", "/actions/find")).body
    assert (shown["connector"], shown["method"]) == (kind, kind.upper())
    assert shown["input_schema"]["required"] == ["id"]
    assert shown["record"]["settings"]["kind"] == kind
    changed = await api.call("PATCH", "/actions/find", {"description": "d", "version": 1})
    assert (changed.status, changed.body["record"]["version"]) == (200, 2)
    second = await api.call("POST", "/actions", {"name": "find@v2", "connection": "db", "kind": kind, **ACTIONS[kind]})
    assert second.body["trn"] == f"trn:openact:default:action/{kind}/find@v2"
    other = await api.call("POST", "/actions", {"name": "x", "connection": "db", "kind": "http"})
    assert "is not that of its connection" in fields(other)["kind"]
    gone = await api.call("DELETE", "/connections/db")
    assert [each.rpartition("/")[2] for each in gone.body["removed"]] == ["find@v1", "find@v2"]
    assert PASSWORD not in "".join(api.texts), "a literal under the name of a secret is one"


async def test_a_connection_belongs_to_its_tenant(api: Api) -> None:
    theirs = await api.call("POST", "/connections?tenant=acme", {"name": "db", **SQL})
    assert theirs.body["trn"] == "trn:openact:acme:connection/sql/db@v1"
    assert (await api.call("GET", "/connections/db")).status == 404
    lost = await api.call("POST", "/actions", {"name": "find", "connection": "db", "kind": "sql", **ACTIONS["sql"]})
    assert "there is no connection db" in fields(lost)["connection"]


async def test_no_proxy_sends_requests_to_it(api: Api) -> None:
    await made(api, SQL)
    proxy = {"name": "hub", "path": "/hub", "upstream": "connection/db"}
    for query in ("", "?dry_run=true"):
        refused = await api.call("POST", f"/proxies{query}", proxy)
        assert "takes no HTTP requests" in fields(refused)["upstream"]


class _NamedAction(FarAction):
    name: str = ""
    """A key that the record has too."""


@pytest.fixture
def far() -> Iterator[None]:
    """A connector of another distribution."""
    with known(FAR):
        yield


@pytest.mark.usefixtures("far")
async def test_a_connector_of_another_package(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    record = (await made(api, {"kind": "far", "host": "a.internal", "password": PASSWORD}))["record"]
    assert (record["settings"]["host"], record["settings"]["password"]) == ("a.internal", "[REDACTED]")
    refused = await api.call("PATCH", "/connections/db", {"host": "evil.example", "version": 1})
    assert refused.status == 400, "only the kind knows which of its keys lead somewhere"
    assert "send them again: password" in str(fields(refused))
    assert (await api.call("PATCH", "/connections/db", {"description": "d", "version": 1})).status == 200
    assert (await api.call("POST", "/actions", {"name": "hi", "connection": "db", "word": "x"})).status == 201
    monkeypatch.setattr(Far, "Action", _NamedAction)
    own = await api.call("POST", "/actions", {"name": "ho", "connection": "db"})
    assert "has a key name of its own" in fields(own)["kind"]


@pytest.mark.usefixtures("far")
async def test_what_is_not_installed_here_is_shown_with_the_reason(api: Api) -> None:
    await made(api, {"kind": "far", "host": "a.internal", "password": PASSWORD})
    with known():
        api.store.connections._all, api.store.connections._revision = (), -1  # as another process reads it
        shown = (await api.call("GET", "/connections/db")).body
        assert "install the package that has it" in shown["record"]["problem"]
        assert shown["record"]["settings"]["password"] == "[REDACTED]"
        assert (await api.call("DELETE", "/connections/db")).status == 200
