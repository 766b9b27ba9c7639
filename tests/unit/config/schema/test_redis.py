"""Connections and actions of Redis: which commands there are, and where values go."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.config import load
from gateway.config.errors import ConfigError
from gateway.config.schema.outbound_auth import Basic
from gateway.config.schema.redis import READS, WRITES, RedisAction, RedisConnection


def action(*command: str, **keys: object) -> RedisAction:
    return RedisAction.model_validate({"connection": "c", "command": list(command), **keys})


@pytest.mark.parametrize("word", ["GET", "get", "HGETALL", "ZRANGE", "MGET"])
def test_reading_commands_are_accepted(word: str) -> None:
    assert action(word, "k").repeatable()


@pytest.mark.parametrize("word", sorted(WRITES))
def test_changing_commands_have_to_be_asked_for(word: str) -> None:
    with pytest.raises(ValidationError, match="changes keys; write read_only: false"):
        action(word, "k")
    assert not action(word, "k", read_only=False).repeatable()


@pytest.mark.parametrize(
    "word",
    [
        *("EVAL", "EVALSHA", "FCALL", "SCRIPT", "CONFIG", "SHUTDOWN", "DEBUG", "MODULE", "ACL", "CLIENT", "AUTH"),
        *(
            "SUBSCRIBE",
            "MONITOR",
            "BLPOP",
            "XREAD",
            "WAIT",
            "MULTI",
            "SELECT",
            "FLUSHALL",
            "FLUSHDB",
            "KEYS",
            "MIGRATE",
        ),
        *("SLAVEOF", "FLUSHDB", "REPLICAOF", "SAVE", "SORT", "OBJECT", "RESTORE", "DUMP", "{name}", ""),
    ],
)
def test_others_are_never_accepted(word: str) -> None:
    with pytest.raises(ValidationError, match="none that actions may use"):
        action(word, "k", read_only=False)


def test_no_command_reads_and_writes() -> None:
    assert not READS & WRITES


def test_values_stay_within_their_argument() -> None:
    made = action("HMGET", "user:{id}", "{fields...}", "{one}-{id}")
    assert made.names() == ("id", "fields", "one")
    given = {"id": "7 FLUSHALL\r\n", "fields": ["a", 1], "one": 1.5, "other": 1}
    assert [*made.arguments(given)] == ["HMGET", "user:7 FLUSHALL\r\n", "a", "1", "1.5-7 FLUSHALL\r\n"]
    assert made.plan(given)["values"] == {"id": given["id"], "fields": ["a", 1], "one": 1.5}
    assert made.summary() == "HMGET user:{id} {fields...} {one}-{id}"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"id": ["a", "b"], "fields": ["x"]}, "id must be a text or a number"),
        ({"id": True, "fields": ["x"]}, "id must be a text or a number"),
        ({"id": None, "fields": ["x"]}, "id must be a text or a number"),
        ({"id": "a", "fields": "x"}, "fields must be a list"),
        ({"id": "a", "fields": []}, "fields must be a list with one value or more"),
        ({"id": "a", "fields": [["x"]]}, "fields must be a text or a number"),
    ],
)
def test_values_that_fit_no_argument_are_rejected(given: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        list(action("HMGET", "{id}", "{fields...}").arguments(given))


def test_a_list_stands_alone() -> None:
    with pytest.raises(ValidationError, match="must be an argument of its own"):
        action("MGET", "a{keys...}")


@pytest.mark.parametrize(
    ("url", "place", "name"),
    [
        ("redis://r:s3cret@cache/3", "redis://cache:6379", "3"),
        ("valkey://[::1]:7", "valkey://[::1]:7", ""),
    ],
)
def test_where_it_is_is_shown_without_credentials(url: str, place: str, name: str) -> None:
    made = RedisConnection(url=url)
    assert (made.place(), made.server.name) == (place, name)
    assert "s3cret" not in repr(made)
    assert "s3cret" not in repr(made.record("c"))


def test_credentials() -> None:
    made = RedisConnection(url="redis://h", auth=Basic(type="basic", username="", password="p"))
    assert (made.authenticates(), made.secrets()) == ("basic", ("p",))
    assert (RedisConnection(url="redis://h").authenticates(), RedisConnection(url="redis://h").secrets()) == (
        "none",
        (),
    )


@pytest.mark.parametrize("url", ["http://h", "redis://h/name", "redis://h/0?password=s3cret", "redis:///0"])
def test_a_url_that_is_none_says_so(url: str) -> None:
    with pytest.raises(ConfigError, match=r"connections\.c\.url: must ") as error:
        load.parse(f"connections: {{c: {{kind: redis, url: '{url}'}}}}", "yaml", "f", {})
    assert "s3cret" not in str(error.value)
