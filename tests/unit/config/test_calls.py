"""The routes of connections and actions: their names, bounds, and whether they carry a secret."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config.actions import Action, Auth, Body, Connection
from gateway.config.calls import routes
from gateway.config.records import Document, Upstream

TRN = "trn:openact:default:connection/http/shop@v1"
OTHER = "trn:openact:b:connection/http/shop@v1"


def connection(trn: str = TRN, name: str = "connection/shop", **more: Any) -> Connection:
    return Connection(trn, "http://h/base/", f"upstream {name}", **more)


def action(trn: str = TRN, **more: Any) -> Action:
    return Action(trn.replace("connection/http/shop", "action/http/list"), trn, **more)


def test_each_has_a_route_to_the_upstream_of_its_connection() -> None:
    made = list(routes([connection(), connection(OTHER, "connection/b/shop")], [action(), action(OTHER)]))
    assert [(route.name, route.upstream) for route in made] == [
        ("connection/shop", "upstream connection/shop"),
        ("connection/b/shop", "upstream connection/b/shop"),
        ("action/list", "upstream connection/shop"),
        ("action/b/list", "upstream connection/b/shop"),
    ]
    assert all(route.own and route.path == "/base" and route.strip_path for route in made)


def test_the_bound_of_an_action_wins() -> None:
    made = routes([connection(max_bytes=9)], [action(), action(max_bytes=5)])
    assert [route.answer_limit for route in made] == [9, 9, 5]


@pytest.mark.parametrize(
    ("changes", "of_action", "secret"),
    [
        ({}, {}, False),
        ({"auth": Auth("bearer", "", "t")}, {}, True),
        ({"headers": {"Authorization": "x"}}, {}, True),
        ({"headers": {"Accept": "x"}}, {}, False),
        ({}, {"headers": {"Authorization": "x"}}, True),
        ({"query": {"api_key": "x"}}, {}, True),
        ({"body": {"api_key": "x"}}, {}, True),
        ({"body": {"source": "x"}}, {}, False),
        ({}, {"body": Body("form", {"client_secret": "x"})}, True),
        ({}, {"body": Body("json", {"title": "x"})}, False),
        ({}, {"body": Body("text", "secret")}, False),
    ],
)
def test_a_forward_proxy_must_not_read_credentials(changes: Any, of_action: Any, secret: bool) -> None:
    assert [route.credential for route in routes([connection(**changes)], [action(**of_action)])][-1] is secret


def test_the_upstreams_of_calls_are_used() -> None:
    upstream = Upstream("upstream connection/shop", ())
    document = Document(upstreams=(upstream,), calls=tuple(routes([connection()], [action()])))
    assert document.used_upstreams() == [upstream]
    assert document.sharers() == {upstream.name: ["connection/shop", "action/list"]}
