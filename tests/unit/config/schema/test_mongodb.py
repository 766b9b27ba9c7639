"""Connections and actions of MongoDB: operations, and where values go."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.config import load
from gateway.config.errors import ConfigError
from gateway.config.schema.mongodb import ARGUMENTS, READS, WRITES, MongoAction, MongoConnection
from gateway.config.schema.outbound_auth import Basic

LONGER: dict[str, Any] = {"pipeline": [{"$project": {"shown": "{a}.x"}}]}


def action(operation: str = "find", arguments: dict[str, Any] | None = None, **keys: object) -> MongoAction:
    return MongoAction.model_validate(
        {"connection": "c", "collection": "orders", "operation": operation, "arguments": arguments or {}, **keys}
    )


def special(kind: str, value: Any) -> Any:
    return (kind, value)


def test_each_operation_reads_or_writes() -> None:
    assert {*READS, *WRITES} == ARGUMENTS.keys()
    assert all(action(operation).repeatable() for operation in READS)
    assert not any(action(operation, read_only=False).repeatable() for operation in WRITES)


def test_values_in_their_places() -> None:
    made = action(
        arguments={"filter": {"a": "{a}", "b": ["x {b}", 7, None], "_id": {"$oid": "{id}"}, "n": {"$gt": "{a}"}}}
    )
    assert made.names() == ("a", "b", "id")
    filled = made.filled({"a": {"x": 1}, "b": 2, "id": "1"}, special)
    assert filled == {"filter": {"a": {"x": 1}, "b": ["x 2", 7, None], "_id": ("$oid", "1"), "n": {"$gt": {"x": 1}}}}
    plan = made.plan({"a": 1, "b": 2, "id": 3})
    assert (plan["values"], plan["arguments"]) == ({"a": 1, "b": 2, "id": 3}, made.arguments)
    assert made.summary() == "orders.find"


@pytest.mark.parametrize("value", [{"$ne": None}, {"a": [{"$gt": ""}]}, [{"b": {"$where": "1"}}], {"$oid": "1"}])
def test_a_value_has_no_operator(value: object) -> None:
    with pytest.raises(ValueError, match=r"a has the key \$\w+, and no value may have one that begins with \$"):
        action(arguments={"filter": {"x": "{a}"}}).filled({"a": value}, special)


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("find", {"filter": {"$expr": {"$eq": ["$owner", "{a}"]}}}),
        ("find", {"projection": {"shown": "{a}"}}),
        ("aggregate", {"pipeline": [{"$match": {"$expr": {"$eq": ["$owner", "{a}"]}}}]}),
        ("aggregate", {"pipeline": [{"$project": {"shown": "{a}"}}]}),
        ("update_one", {"update": [{"$set": {"shown": "{a}"}}]}),
    ],
)
@pytest.mark.parametrize("value", ["$secret", "$$ROOT", ["x", "$secret"], {"x": {"y": ["$secret"]}}])
def test_a_value_is_no_field_of_an_expression(operation: str, arguments: dict[str, Any], value: object) -> None:
    made = action(operation, arguments, read_only=operation in READS)
    made.filled({"a": "plain"}, special)  # raises nothing
    with pytest.raises(ValueError, match=r"a begins with \$, which means a field here; write another, or"):
        made.filled({"a": value}, special)


@pytest.mark.parametrize("value", ["$secret", "$$ROOT"])
def test_a_text_at_the_beginning_of_a_longer_one_is_no_field(value: str) -> None:
    made = action("aggregate", LONGER)
    with pytest.raises(ValueError, match=r"a begins with \$, which means a field here; write another, or"):
        made.filled({"a": value}, special)


@pytest.mark.parametrize("value", [["x", "$secret"], {"x": {"y": ["$secret"]}}, ["$secret"]])
def test_a_structure_at_the_beginning_of_a_longer_text_is_a_text_without_a_dollar(value: object) -> None:
    filled = action("aggregate", LONGER).filled({"a": value}, special)
    shown = filled["pipeline"][0]["$project"]["shown"]
    assert isinstance(shown, str)
    assert "$secret" in shown
    assert shown[0] != "$"


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("find", {"filter": {"price": "{a}"}}),
        ("aggregate", {"pipeline": [{"$match": {"price": {"$in": ["{a}"]}}}]}),
        ("aggregate", {"pipeline": [{"$project": {"price": {"$literal": "{a}"}}}]}),
        ("aggregate", {"pipeline": [{"$project": {"of": "$prices.{b}"}}, {"$limit": 3}]}),
        ("update_one", {"filter": {"price": "{a}"}, "update": {"$set": {"price": "{a}"}}}),
    ],
)
def test_a_value_that_begins_with_a_dollar_is_plain_elsewhere(operation: str, arguments: dict[str, Any]) -> None:
    made = action(operation, arguments, read_only=operation in READS)
    assert "$5" in str(made.filled({"a": "$5", "b": "$5"}, special))


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"operation": "insert_one"}, "insert_one changes documents; write read_only: false"),
        ({"operation": "aggregate", "arguments": {"pipeline": [{"$out": "t"}]}}, "$out changes a collection; write"),
        ({"operation": "aggregate", "arguments": {"pipeline": [{"$merge": {}}]}}, "$merge changes a collection; write"),
        ({"arguments": {"filter": {"$where": "1"}}, "read_only": False}, "$where executes code at the server"),
        ({"arguments": {"filter": {"$expr": {"$function": {}}}}}, "$function executes code at the server"),
        ({"arguments": {"filter": {"a": [{"$accumulator": {}}]}}}, "$accumulator executes code at the server"),
        ({"arguments": {"pipeline": []}}, "find takes no pipeline; its arguments are filter, projection, sort, skip"),
        ({"collection": "system.users"}, "must be the name of a collection of yours"),
        ({"collection": "$cmd"}, "must be the name of a collection of yours"),
        ({"operation": "drop"}, "Input should be"),
    ],
)
def test_what_is_rejected_says_what_to_write(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as error:
        MongoAction.model_validate({"connection": "c", "collection": "orders", **keys})
    assert says in str(error.value)


def test_where_it_is_is_shown_without_credentials() -> None:
    made = MongoConnection(url="mongodb://r:s3cret@db/shop")
    assert (made.place(), made.server.name, made.authenticates()) == ("mongodb://db:27017", "shop", "basic")
    assert made.secrets() == ("s3cret",)
    assert "s3cret" not in repr(made)
    assert "s3cret" not in repr(made.record("c"))
    made = MongoConnection(url="mongodb://db/shop", auth=Basic(type="basic", username="u", password="p"))
    assert (made.server.user, made.secrets()) == ("u", ("p",))
    made = MongoConnection(url="mongodb://db/shop")
    assert (made.authenticates(), made.secrets()) == ("none", ())


@pytest.mark.parametrize("url", ["mongodb://h", "mongodb://h/a.b", "mongodb+srv://h/n", "mongodb://h/n?w=0"])
def test_a_url_that_is_none_says_so(url: str) -> None:
    with pytest.raises(ConfigError, match=r"connections\.c\.url: must "):
        load.parse(f"connections: {{c: {{kind: mongodb, url: '{url}'}}}}", "yaml", "f", {})
