"""Which values of connections and actions are secrets."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config.schema.actions import Action
from gateway.config.schema.connections import Connection
from gateway.config.secret_names import REDACTED
from gateway.config.secret_values import (
    in_action,
    in_connection,
    kept,
    redacted,
    unknown,
    value_at,
    with_values,
)

CONNECTION: dict[str, Any] = {
    "base_url": "http://h",
    "auth": {"type": "api_key", "name": "X-Key", "value": "s1", "in": "header"},
    "headers": {"Accept": "text/plain", "X-Tenant": "s2", "X-Empty": ""},
    "query": {"k": "s3"},
    "body": {"a": {"b": ["s4", 5]}, "none": None},
    "circuit_breaker": {"enabled": True},
}
AUTHS = (
    ({"type": "basic", "username": "u", "password": "s"}, "password"),
    ({"type": "bearer", "token": "s"}, "token"),
    ({"type": "hmac", "header": "X-Sig", "secret": "s", "prefix": "p="}, "secret"),
)


def places(connection: dict[str, Any]) -> set[Any]:
    return set(in_connection(Connection.model_validate(connection), connection))


def test_what_a_connection_holds_for_all_of_its_calls_is_secret() -> None:
    assert places(CONNECTION) == {
        ("auth", "value"),
        ("headers", "X-Tenant"),
        ("query", "k"),
        ("body", "a", "b", 0),
        ("body", "a", "b", 1),
    }


@pytest.mark.parametrize(("auth", "key"), AUTHS)
def test_each_credential_is_secret_and_its_user_is_not(auth: dict[str, Any], key: str) -> None:
    assert places({"base_url": "http://h", "auth": auth}) == {("auth", key)}


def test_both_secrets_of_a_temporary_key() -> None:
    auth = {"type": "sigv4", "access_key_id": "A", "secret_access_key": "s", "session_token": "t", "region": "r"}
    found = places({"base_url": "http://h", "auth": {**auth, "service": "s"}})
    assert found == {("auth", "secret_access_key"), ("auth", "session_token")}


def test_an_action_has_secrets_under_secret_names_alone() -> None:
    action = {
        "connection": "c",
        "path": "/{id}",
        "headers": {"X-Api-Key": "s1", "Authorization": "Bearer {token}", "X-Token": "{token}", "Accept": "a"},
        "query": {"limit": "20", "key": ""},
        "body": {"type": "json", "value": {"password": {"deep": 7}, "title": "{title}"}},
    }
    found = set(in_action(Action.model_validate(action), action))
    assert found == {("headers", "X-Api-Key"), ("headers", "Authorization"), ("body", "value", "password", "deep")}


def test_what_was_taken_out_can_be_put_back() -> None:
    found = {path: value_at(CONNECTION, path) for path in places(CONNECTION)}
    shown = redacted(CONNECTION, found)
    assert "s1" not in str(shown)
    assert shown["body"] == {"a": {"b": [REDACTED, REDACTED]}, "none": None}
    assert set(unknown(shown)) == set(found)
    assert with_values(shown, found) == CONNECTION
    assert with_values({"a": 1}, {(): 2}) == 2


def test_a_client_keeps_what_it_sends_back() -> None:
    secrets = {("auth", "value"): "s1", ("body", "a", 1): "s2", ("gone", "x"): "s3"}
    sent = {"auth": {"value": REDACTED}, "body": {"a": [REDACTED]}, "gone": "x"}
    assert kept(sent, secrets) == {("auth", "value"): "s1"}
    assert list(unknown(with_values(sent, kept(sent, secrets)))) == [("body", "a", 0)]
