"""Where the values of an input go."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.actions.errors import InvalidCallError
from gateway.actions.template import Template
from gateway.actions.values import Declared, Values
from gateway.config.actions import Action, Body, Parameter

OPEN = Action("a", "c", "GET", "/{id}")
CLOSED = Action(
    "a",
    "c",
    "POST",
    parameters=(
        Parameter("id", "path", required=True),
        Parameter("q", "query", default=5),
        Parameter("X-A", "header"),
        Parameter("t", "template"),
        Parameter("b", "body", default=[]),
    ),
)


def values(action: Action, **given: Any) -> Values:
    return Values(Declared(action), given)


def test_declared_values_go_where_they_belong_above_defaults() -> None:
    found = values(CLOSED, id=1, q=None, t=2, more=3)
    assert [found.at(place) for place in ("path", "query", "header", "template", "body")] == [
        {"id": 1},
        {"q": None},
        {},
        {"t": 2},
        {"b": [], "more": 3},
    ]


def test_no_call_changes_the_defaults() -> None:
    declared = Declared(CLOSED)
    assert Values(declared, {"b": 1}).at("body") == {"b": 1}
    assert Values(declared, {}).at("body") == {"b": []}
    assert values(CLOSED).named("q") == 5


@pytest.mark.parametrize(
    ("method", "body", "place"),
    [("GET", None, "query"), ("DELETE", None, "query"), ("POST", Body(value="{x}"), "body")],
)
def test_what_nothing_declares(method: str, body: Body | None, place: str) -> None:
    found = values(Action("a", "c", method, body=body), free=1, x=2)
    assert found.at(place) == ({"free": 1} if body else {"free": 1, "x": 2})


def test_an_action_without_parameters_has_layers() -> None:
    found = values(OPEN, id=7, headers={"A": "b"}, query=[], body=None)
    assert (found.layer("headers"), found.layer("cookies"), found.body) == ({"A": "b"}, {}, (True, None))
    with pytest.raises(InvalidCallError, match="query of the input must be an object"):
        found.layer("query")
    assert values(CLOSED, headers={"A": "b"}).at("body") == {"b": [], "headers": {"A": "b"}}


@pytest.mark.parametrize(
    ("action", "given", "fields", "query"),
    [
        (OPEN, {"id": 1}, False, False),
        (OPEN, {"headers": {}}, True, False),
        (OPEN, {"cookies": None}, True, False),
        (OPEN, {"query": {}}, False, True),
        (OPEN, {"free": 1}, False, True),
        (CLOSED, {"id": 1}, False, True),
        (CLOSED, {"X-A": "1"}, True, True),
    ],
)
def test_what_may_follow_from_the_input(action: Action, given: dict[str, Any], fields: bool, query: bool) -> None:
    found = values(action, **given)
    assert (found.changes_fields, found.changes_query) == (fields, query)


def test_a_template_of_one_value_that_was_not_given_is_left_out() -> None:
    call = Action("a", "c", parameters=(Parameter("x", "template"), Parameter("y", "template", default=1)))
    templates = {name: Template(name) for name in ("{x}", "{y}", "plain")}
    assert values(call).texts(templates) == {"{y}": "1", "plain": "plain"}
    with pytest.raises(InvalidCallError, match="the input has no x"):
        values(call).texts({"a": Template("a{x}")})
    assert values(call).resolved({"a": "{x}", "b": ["{y}", "b{y}", 3]}) == {"b": [1, "b1", 3]}
