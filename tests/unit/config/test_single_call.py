"""One connection or action by itself."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from gateway.config import single_call
from gateway.config.errors import ConfigError
from gateway.config.networks import Destinations

SHOP: dict[str, Any] = {"name": "shop", "base_url": "http://127.0.0.1:9", "merge": "strict", "timeout_ms": 30000}
FIND: dict[str, Any] = {"name": "find@v2", "tenant": "acme", "connection": "shop", "request_body": {"a": "{b}"}}


def problems(settings: dict[str, Any], kind: str = "connection") -> dict[str, str]:
    check = partial(single_call.connection, destinations=Destinations()) if kind == "connection" else single_call.action
    with pytest.raises(ConfigError) as caught:
        check(settings)
    return {".".join(map(str, each.path)): each.message for each in caught.value.problems}


def test_what_was_written_comes_back() -> None:
    found = single_call.connection(SHOP)
    assert (found.name, found.definition.tenant) == ("shop", "default")
    assert single_call.connection_settings(found, complete=False) == SHOP
    assert single_call.connection(single_call.connection_settings(found, complete=True)) == found
    action = single_call.action(FIND)
    assert (action.tenant, action.name, action.trn) == ("acme", "find@v2", "trn:openact:acme:action/http/find@v2")
    assert single_call.action(single_call.action_settings(action, complete=True)) == action
    assert single_call.action_settings(action, complete=False) == {
        "name": "find@v2",
        "tenant": "acme",
        "connection": "shop",
        "body": {"type": "json", "value": {"a": "{b}"}},
    }


def test_keys_that_have_another_name_in_the_file_keep_it() -> None:
    auth = {"type": "api_key", "name": "k", "value": "v", "in": "query"}
    found = single_call.connection({**SHOP, "auth": auth, "retry": "api"})
    assert single_call.connection_settings(found, complete=False)["auth"] == auth
    parameters = [{"name": "id", "in": "header", "schema": {"maxLength": 3}}]
    action = single_call.action({"name": "a", "connection": "c", "parameters": parameters})
    assert single_call.action_settings(action, complete=False)["parameters"] == parameters


def test_all_that_is_wrong_is_said_at_once() -> None:
    found = problems({**SHOP, "color": 1, "tls": {"ca": "x"}, "auth": {"type": "bearer", "token": "${T:-x}"}})
    assert found.keys() == {"color", "tls", "auth.token"}
    assert problems({**SHOP, "tls": {"server_name": "h"}}).keys() == {"tls"}
    assert problems({**SHOP, "base_url": "http://169.254.169.254"}).keys() == {"base_url"}


@pytest.mark.parametrize("key", ["token_url", "device_url", "revoke_url"])
def test_no_endpoint_of_an_identity_provider_is_where_only_this_machine_comes(key: str) -> None:
    urls = {
        "token_url": "https://idp.example/t",
        "device_url": "https://idp.example/d",
        key: "https://[::ffff:a9fe:a9fe]/",
    }
    auth = {"type": "oauth2_device", "client_id": "c", "client_auth": "none", **urls}
    assert "is in 169.254.0.0/16" in problems({**SHOP, "auth": auth})[f"auth.{key}"]


@pytest.mark.parametrize(
    ("settings", "kind"),
    [({**SHOP, "name": "x" * 54}, "connection"), ({**FIND, "name": "x" * 54}, "action")],
)
def test_a_name_that_no_counter_could_hold(settings: dict[str, Any], kind: str) -> None:
    assert "shorten the name or the tenant by" in problems(settings, kind)["name"]


def test_the_word_for_a_secret_is_no_value() -> None:
    assert problems({**FIND, "headers": {"X-Key": "[REDACTED]"}}, "action").keys() == {"headers.X-Key"}
    assert problems({"name": "a@v0", "connection": "shop"}, "action").keys() == {"name"}
