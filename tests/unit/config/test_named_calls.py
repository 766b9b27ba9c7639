"""Connections and actions of file and database together."""

from __future__ import annotations

import dataclasses
from typing import Any

from gateway.config.named_calls import NamedAction, NamedCalls, NamedConnection, declared, together
from gateway.config.schema.actions import Action
from gateway.config.schema.connections import Connection


def connection(name: str = "shop", url: str = "http://h", **more: Any) -> NamedConnection:
    return NamedConnection(name, Connection.model_validate({"base_url": url, **more}))


def action(name: str = "find", tenant: str = "default", **more: Any) -> NamedAction:
    return NamedAction(tenant, name, Action.model_validate({"connection": "shop", **more}))


FILE = declared({"shop": connection().definition}, {"find": action().definition})


def trns(calls: NamedCalls) -> list[str]:
    connections, actions = calls.records()
    return [each.trn.removeprefix("trn:openact:") for each in (*connections, *actions)]


def test_names() -> None:
    theirs = connection(tenant="acme")
    assert (theirs.key, theirs.shared_name) == (("acme", "shop"), "connection/acme/shop")
    assert theirs.trn == "trn:openact:acme:connection/http/shop@v1"
    second = action("find@v2", "acme")
    assert (second.key, second.connection) == (("acme", "find@v2"), ("acme", "shop"))
    assert second.trn == "trn:openact:acme:action/http/find@v2"
    assert FILE.actions[0].tenant == "default"
    assert [each.name for each in FILE.upstreams] == ["connection/shop"]


def test_both_live_together_and_tenants_do_not_meet() -> None:
    both, problems = together(FILE, [connection(tenant="acme")], [action(tenant="acme"), action("find@v2")])
    assert trns(both) == [
        "default:connection/http/shop@v1",
        "acme:connection/http/shop@v1",
        "default:action/http/find@v1",
        "acme:action/http/find@v1",
        "default:action/http/find@v2",
    ]
    assert not problems


def test_the_file_has_precedence() -> None:
    both, problems = together(FILE, [connection(url="http://other")], [action(path="/other")])
    connections, actions = both.records()
    assert [each.base_url for each in connections] == ["http://h"]
    assert [each.path for each in actions] == ["/"]
    assert not problems


def test_what_is_switched_off_is_not_there() -> None:
    off = declared({"shop": connection().definition}, {"find": action(enabled=False).definition})
    both, _ = together(off, [], [action("find@v2", enabled=False), action(path="/stored")])
    assert trns(both) == ["default:connection/http/shop@v1"], "the file hides what is stored although it is off"


def test_an_action_without_its_connection_is_left_out_with_the_reason() -> None:
    lost = action(tenant="acme")
    both, problems = together(FILE, [], [lost])
    assert trns(both) == trns(FILE)
    assert problems.keys() == {lost.trn}
    assert "its connection shop is neither in the file nor in the database" in problems[lost.trn]


def test_an_action_of_another_kind_than_its_connection_is_left_out() -> None:
    other = Action.model_construct(connection="shop", tool="add")
    stray = dataclasses.replace(action("query"), definition=other)
    both, problems = together(FILE, [], [stray])
    assert trns(both) == trns(FILE)
    assert "its connection shop is of the kind http" in problems[stray.trn]
