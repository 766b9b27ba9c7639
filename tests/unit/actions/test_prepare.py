"""From a name and an input to a request: what is found, sent and shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.actions.errors import InvalidCallError
from gateway.actions.prepare import Entry, Index, dry_run, prepare
from gateway.config.actions import Action, Auth, Body, Connection, FieldPolicy, Governance, Parameter, Retry
from gateway.ipc.calls import AdHoc, Asked, Overrides

SHOP = Connection(
    "trn:openact:default:connection/http/shop@v1",
    "https://shop.test/v1",
    "upstream connection/shop",
    Auth("bearer", "", "s3cret-token"),
    headers={"X-Api-Key": "s3cret-key", "Accept": "application/json"},
    retry=Retry(),
)
FIND = Action(
    "trn:openact:default:action/http/find@v1",
    SHOP.trn,
    path="/orders/{id}",
    parameters=(Parameter("id", "path", {"type": "string"}, True), Parameter("note", "query", {"type": "string"})),
    description="Find an order",
)
MAKE = Action("trn:openact:default:action/http/make@v1", SHOP.trn, "POST", "/orders")
THEIRS = replace(SHOP, trn="trn:openact:b:connection/http/shop@v1", upstream="upstream connection/b/shop")
THEIR_FIND = replace(FIND, trn="trn:openact:b:action/http/find@v1", connection=THEIRS.trn)
INDEX = Index([SHOP, THEIRS], [FIND, MAKE, THEIR_FIND])


def asked(action: str = "find", given: Any = None, **more: Any) -> Asked:
    return Asked("default", action, {"id": "7"} if given is None else given, **more)


def refused(call: Asked, index: Index = INDEX) -> InvalidCallError:
    with pytest.raises(InvalidCallError) as caught:
        prepare(index.find(call), call)
    return caught.value


@pytest.mark.parametrize("name", ["find", FIND.trn, FIND.trn.removesuffix("@v1")])
def test_an_action_is_found_by_name_and_by_trn(name: str) -> None:
    entry = INDEX.find(asked(name))
    assert (entry.trn, entry.label) == (FIND.trn, "action/find")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (THEIR_FIND.trn, "not_found.action"),
        (FIND.trn.replace("v1", "v2"), "not_found.action"),
        ("Find", "not_found.action"),
        ("", "not_found.action"),
        ("trn:wrong", "validation.invalid_trn"),
    ],
)
def test_what_is_not_found(name: str, code: str) -> None:
    assert refused(asked(name)).code == code


@pytest.mark.covers("ACT-03")
def test_without_a_version_the_newest_is_called() -> None:
    second, tenth = (replace(FIND, trn=FIND.trn.replace("v1", version)) for version in ("v2", "v10"))
    index = Index([SHOP], [second, tenth, FIND])
    for name in ("find", FIND.trn.removesuffix("@v1"), "find@v10", tenth.trn):
        assert index.find(asked(name)).trn == tenth.trn
    assert (index.find(asked("find@v2")).trn, index.find(asked("find@v2")).label) == (second.trn, "action/find@v2")
    assert index.find(asked(FIND.trn)).label == index.find(asked("find@v1")).label.removesuffix("@v1") == "action/find"
    assert refused(asked("find@v3"), index).code == "not_found.action"


def test_two_connectors_with_one_name_need_a_trn() -> None:
    other = replace(FIND, trn=FIND.trn.replace("/http/", "/sql/"))
    index = Index([SHOP], [FIND, other])
    assert refused(asked(), index).code == "conflict.action"
    assert index.find(asked(other.trn)).trn == other.trn


def test_a_request_with_its_credentials() -> None:
    ready = prepare(INDEX.find(asked()), asked(given={"id": "a/b", "note": "c d"})).prepared
    assert (ready.method, ready.target, ready.body) == (b"GET", b"/v1/orders/a%2Fb?note=c%20d", b"")
    assert b"Authorization: Bearer s3cret-token" in ready.lines
    assert [line for line in ready.lines if line.startswith(b"User-Agent: breakwater/")]
    assert "s3cret" not in repr(ready)


def test_an_agent_of_its_own_stays() -> None:
    index = Index([replace(SHOP, headers={"user-agent": "mine"})], [FIND])
    lines = prepare(index.find(asked()), asked()).prepared.lines
    assert [line for line in lines if line.lower().startswith(b"user-agent")] == [b"user-agent: mine"]


def test_framing_and_host_are_ours_whatever_the_policy_permits() -> None:
    own = replace(SHOP, headers={"HOST": "evil", "content-length": "9", "A": "b"}, fields=FieldPolicy(denied=()))
    index = Index([own], [FIND])
    names = [line.partition(b":")[0] for line in prepare(index.find(asked()), asked()).prepared.lines]
    assert names == [b"A", b"User-Agent", b"Authorization"]


def lines_of(entry: Entry, call: Asked, now: float = 0.0) -> list[bytes]:
    return prepare(entry, call, lambda: now).prepared.lines


@pytest.mark.parametrize("auth", [SHOP.auth, Auth("hmac", "X-Signature", "k"), Auth("sigv4", "a", "k", region="r")])
def test_calls_differ_in_what_follows_from_them(auth: Auth) -> None:
    """Field lines are kept from one call to the next where they may be."""
    index = Index([replace(SHOP, auth=auth)], [MAKE])
    entry = index.find(asked("make"))
    calls = [asked("make", each) for each in ({}, {"body": {"a": 1}}, {"body": "t"}, {"headers": {"X-A": "1"}})]
    for now, call in enumerate([*calls, *calls]):
        assert lines_of(entry, call, now) == lines_of(replace(entry), call, now)
    shared = lines_of(entry, calls[0]) is lines_of(entry, asked("make", {"query": {"q": "1"}}))
    assert shared is (auth.kind == "bearer")
    assert "s3cret" not in repr(entry)


@pytest.mark.parametrize(("timeout", "seconds"), [(0.0, 30.0), (2.0, 2.0), (99.0, 30.0)])
def test_a_caller_can_only_shorten_the_time(timeout: float, seconds: float) -> None:
    call = asked(timeout=timeout)
    assert prepare(INDEX.find(call), call).prepared.seconds == seconds


@pytest.mark.covers("ACT-43")
def test_a_post_is_not_sent_twice_without_a_key() -> None:
    call = asked("make", {"body": {"a": 1}})
    assert prepare(INDEX.find(call), call).prepared.patience is None
    call = asked("make", {"body": {"a": 1}, "headers": {"Idempotency-Key": "k"}})
    assert prepare(INDEX.find(call), call).prepared.patience is not None
    assert prepare(INDEX.find(asked()), asked()).prepared.patience is not None


@pytest.mark.covers("ACT-38")
def test_an_input_that_does_not_fit() -> None:
    error = refused(asked(given={"id": 7, "s3cret": 1}))
    assert error.code == "validation.invalid_input"
    assert {path for path, _ in error.fields} == {"id", "input"}
    assert refused(asked(given={})).code == "validation.invalid_input"


def test_a_schema_that_is_none() -> None:
    index = Index([SHOP], [replace(FIND, parameters=(), input_schema={"type": "nothing"})])
    assert refused(asked(), index).code == "validation.misconfigured"


@pytest.mark.covers("ACT-30", "ACT-38")
def test_a_dry_run_shows_no_secret_and_the_layer_of_each_field() -> None:
    call = asked(given={"id": "s3cret-token", "note": "s3cret-key"})
    entry = INDEX.find(call)
    shown = dry_run(entry, prepare(entry, call))
    assert "s3cret" not in repr(shown)
    assert shown["url"] == "https://shop.test/v1/orders/[REDACTED]?note=[REDACTED]"
    assert {each["name"]: each["layer"] for each in shown["headers"]} == {
        "X-Api-Key": "connection",
        "Accept": "connection",
        "User-Agent": "default",
        "Authorization": "auth",
    }


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"password": "x", "a": ["s3cret-key"]}, '{"password":"[REDACTED]","a":["[REDACTED]"]}'),
        (["s3cret-key", 1], '["[REDACTED]",1]'),
        ("s3cret-key", "[REDACTED]"),
    ],
)
def test_the_body_of_a_dry_run(body: object, shown: str) -> None:
    call = asked("make", {"body": body})
    entry = INDEX.find(call)
    assert dry_run(entry, prepare(entry, call))["body"] == shown


@pytest.mark.covers("ACT-30")
def test_a_dry_run_shows_nothing_that_came_from_a_variable() -> None:
    there = replace(
        SHOP, base_url="https://shop.test/hooks/s3cret-hook", hidden=("https://shop.test/hooks/s3cret-hook",)
    )
    make = replace(MAKE, path="/s3cret-path", headers={"X-Own": "a s3cret-field"}, body=Body("json", {"m": "s3cret-m"}))
    make = replace(make, hidden=("s3cret-path", "s3cret-field", "s3cret-m"))
    index, call = Index([there], [make]), asked("make", {})
    planned = dry_run(index.find(call), prepare(index.find(call), call))
    assert "s3cret" not in repr((planned, index.connection_summaries("default"), index.action_summaries("default")))
    assert planned["url"] == "https://shop.test/[REDACTED]/[REDACTED]"
    assert planned["body"] == '{"m":"[REDACTED]"}'
    (summary,) = index.connection_summaries("default")
    assert summary["base_url"] == "https://shop.test/[REDACTED]"
    assert index.action_summaries("default")[0]["path"] == "/[REDACTED]"


INNOCENT = replace(
    SHOP,
    headers={"X-Vip": "s3cret-a", "X-Tags": "s3cret-c, s3cret-b", "Accept": "text/plain"},
    query={"v": "s3cret-d"},
    body={"m": "s3cret-e", "n": {"o": ["s3cret-f"]}, "p": 7},
    fields=FieldPolicy(append=("x-tags",)),
)
"""With secrets under names that do not say so."""


@pytest.mark.covers("ACT-30")
@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (None, '{"m":"[REDACTED]","n":"[REDACTED]","p":"[REDACTED]"}'),
        (Body("json", {"a": "1"}), '{"m":"[REDACTED]","n":"[REDACTED]","p":"[REDACTED]","a":"1"}'),
        (
            Body("form", {"a": "1", "password": "s3cret-g", "n": "2"}),
            "m=[REDACTED]&n=[REDACTED]&p=[REDACTED]&a=1&password=[REDACTED]",
        ),
    ],
)
def test_a_dry_run_shows_no_value_of_the_connection(body: Body | None, shown: str) -> None:
    index = Index([INNOCENT], [replace(MAKE, headers={"X-Tags": "a", "X-Own": "b"}, body=body)])
    call = asked("make", {})
    planned = dry_run(index.find(call), prepare(index.find(call), call))
    assert "s3cret" not in repr(planned)
    assert (planned["body"], planned["url"]) == (shown, "https://shop.test/v1/orders?v=[REDACTED]")
    values = {each["name"]: each["value"] for each in planned["headers"]}
    hidden = {name for name, value in values.items() if value == "[REDACTED]"}
    assert hidden == {"X-Vip", "X-Tags", "Authorization"}
    assert (values["Accept"], values["X-Own"]) == ("text/plain", "b")


def test_a_dry_run_shows_what_replaces_a_value_of_the_connection() -> None:
    call = asked("make", {"headers": {"X-Vip": "mine"}, "query": {"v": "2"}})
    index = Index([INNOCENT], [MAKE])
    planned = dry_run(index.find(call), prepare(index.find(call), call))
    assert {"name": "X-Vip", "value": "mine", "layer": "input"} in planned["headers"]
    assert planned["url"].endswith("?v=2")


def test_a_dry_run_of_a_body_that_is_too_deep() -> None:
    call = asked("make", {"body": "[" * 1000 + "]" * 1000})
    assert dry_run(INDEX.find(call), prepare(INDEX.find(call), call))["body"] == "[REDACTED]"


@pytest.mark.parametrize(
    ("of_connection", "of_action", "asks", "seconds"),
    [
        (True, 60.0, 0.0, 30.0),
        (True, 2.0, 0.0, 30.0),
        (True, 2.0, 1.0, 1.0),
        (False, 2.0, 0.0, 2.0),
        (False, 0.0, 0.0, 30.0),
    ],
)
def test_the_time_of_a_strict_connection_wins(
    of_connection: bool, of_action: float, asks: float, seconds: float
) -> None:
    index = Index([replace(SHOP, bounds_time=of_connection)], [replace(FIND, timeout=of_action)])
    call = asked(timeout=asks)
    assert prepare(index.find(call), call).prepared.seconds == seconds
    assert asks or index.action_summaries("default")[0]["seconds"] == seconds


def test_a_call_without_a_stored_action() -> None:
    call = Asked("default", adhoc=AdHoc("shop", "PUT", "/x/{y}", {"A": "{b}"}, {"q": "1"}, [1]))
    entry = INDEX.find(call)
    ready = prepare(entry, call).prepared
    assert (entry.label, ready.method, ready.target, ready.body) == (
        "connection/shop",
        b"PUT",
        b"/v1/x/%7By%7D?q=1",
        b"[1]",
    )
    assert b"A: {b}" in ready.lines


@pytest.mark.parametrize(
    ("adhoc", "code"),
    [
        (AdHoc("no"), "not_found.connection"),
        (AdHoc(THEIRS.trn), "not_found.connection"),
        (AdHoc("shop", "CONNECT"), "validation.invalid_input"),
        (AdHoc("shop", path="/../x"), "validation.invalid_input"),
        (AdHoc("shop", headers={"A": "b\r\nC: d"}), "validation.forbidden_header"),
    ],
)
def test_what_no_call_without_an_action_may_be(adhoc: AdHoc, code: str) -> None:
    assert refused(Asked("default", adhoc=adhoc)).code == code


def test_lists_hold_what_is_the_tenants_and_no_secret() -> None:
    (connection,) = INDEX.connection_summaries("default")
    assert (connection["name"], connection["upstream"], connection["auth"]) == ("shop", "connection/shop", "bearer")
    assert connection["actions"] == ["find", "make"]
    find, make = INDEX.action_summaries("default")
    assert (find["name"], find["explained_as"], find["seconds"]) == ("find", "action/find", 30.0)
    assert find["input_schema"] is not None
    assert find["input_schema"]["required"] == ["id"]
    assert make["input_schema"] is None
    assert [each["trn"] for each in INDEX.action_summaries("b")] == [THEIR_FIND.trn]
    assert "s3cret" not in repr((connection, find, make))


@pytest.mark.covers("ACT-22")
@pytest.mark.parametrize(
    ("of_action", "of_connection", "retries"), [(Retry(1), Retry(2), 1), (None, Retry(2), 2), (None, None, 0)]
)
def test_the_retry_policy_of_the_action_wins(
    of_action: Retry | None, of_connection: Retry | None, retries: int
) -> None:
    index = Index([replace(SHOP, retry=of_connection)], [replace(FIND, retry=of_action)])
    patience = prepare(index.find(asked()), asked()).prepared.patience
    made = 0
    while patience is not None and patience.pause(made + 1, "503", None, 0.0) is not None:
        made += 1
    assert made == retries


@pytest.mark.covers("ACT-07", "ACT-08")
def test_what_a_call_sets_instead_and_where_a_page_leads() -> None:
    call = asked(overrides=Overrides(method="PUT", query={"a": "b"}))
    assert prepare(INDEX.find(call), call).prepared.target == b"/v1/orders/7?a=b"
    call = asked(link="/v1/orders?page=2")
    ready = prepare(INDEX.find(call), call)
    assert ready.prepared.target == b"/v1/orders?page=2"
    assert ready.merged.header("Authorization") == "Bearer s3cret-token"
    call = Asked("default", adhoc=AdHoc("shop", "GET", "https://shop.test/v1/x?a=b", query={"c": "d"}))
    assert prepare(INDEX.find(call), call).prepared.target == b"/v1/x?a=b&c=d"
    assert refused(Asked("default", adhoc=AdHoc("shop", "GET", "https://evil.test/v1/x"))).fields[0][0] == "path"


@pytest.mark.covers("ACT-39")
def test_governance_is_checked_where_all_calls_pass() -> None:
    index = Index([SHOP], [FIND, MAKE], Governance(deny=("*.find", "*.connection/*"), timeout=2.0))
    for call in (asked(), asked(dry_run=True), Asked("default", adhoc=AdHoc("shop"))):
        assert refused(call, index).code == "forbidden.action"
    assert refused(asked("no-such"), index).code == "not_found.action"
    shown = {each["name"]: (each["allowed"], each["seconds"]) for each in index.action_summaries("default")}
    assert shown == {"find": (False, 2.0), "make": (True, 2.0)}
    call = asked("make")
    assert prepare(index.find(call), call, most=2.0).prepared.seconds == 2.0
    assert prepare(index.find(call), asked("make", timeout=1.0), most=2.0).prepared.seconds == 1.0
