"""What is said about connections and actions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.actions.summaries import action_summary, connection_summary, longest_call, name_in
from gateway.config.actions import Action, Auth, Connection, Governance, Parameter

SHOP = Connection(
    "trn:openact:acme:connection/http/shop@v1",
    "https://h/v1",
    "upstream connection/acme/shop",
    auth=Auth("bearer", "", "s3cret"),
    description="A shop",
)
FIND = Action("trn:openact:acme:action/http/find@v2", SHOP.trn, path="/{id}", parameters=(Parameter("id", "path"),))


def test_a_connection_without_its_secret() -> None:
    assert connection_summary(SHOP, [FIND.trn, FIND.trn.replace("v2", "v1")]) == {
        "trn": SHOP.trn,
        "name": "shop",
        "connector": "http",
        "base_url": "https://h/v1",
        "auth": "bearer",
        "merge": "layered",
        "upstream": "connection/acme/shop",
        "description": "A shop",
        "actions": ["find", "find@v2"],
    }


def test_an_action_with_the_schema_of_its_input() -> None:
    assert action_summary(FIND, SHOP) == {
        "trn": FIND.trn,
        "name": "find@v2",
        "connector": "http",
        "connection": SHOP.trn,
        "method": "GET",
        "path": "/{id}",
        "description": "",
        "input_schema": {"type": "object", "properties": {"id": {}}, "required": [], "additionalProperties": False},
        "explained_as": "action/acme/find@v2",
        "seconds": 30.0,
        "pagination": None,
        "allowed": True,
    }
    governed = action_summary(FIND, SHOP, Governance(deny=("*",), timeout=2.0))
    assert (governed["allowed"], governed["seconds"]) == (False, 2.0)
    assert action_summary(replace(FIND, parameters=()), SHOP)["input_schema"] is None


@pytest.mark.parametrize(
    ("action", "connection", "seconds"),
    [
        (None, SHOP, 30.0),
        (FIND, SHOP, 30.0),
        (replace(FIND, timeout=99.0), SHOP, 99.0),
        (replace(FIND, timeout=99.0), replace(SHOP, bounds_time=True), 30.0),
    ],
)
def test_how_long_a_call_may_take(action: Action | None, connection: Connection, seconds: float) -> None:
    assert longest_call(connection, action) == seconds


def test_the_name_in_a_trn() -> None:
    assert (name_in(FIND.trn), name_in(SHOP.trn)) == ("find@v2", "shop")
