"""Connections and actions of connectors in the file: both forms, and what is wrong with them, at its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import strangers

from gateway.config import load
from gateway.config.errors import ConfigError
from gateway.config.records import Document

FLAT = """
connections:
  cache: {kind: memcached, host: cache.internal, max_concurrent: 3, timeout_ms: 2000, tenant: acme}
actions:
  value: {connection: cache, limits: {max_bytes: 10}}
  put: {connection: cache, operation: set, parameters: [{name: key}, {name: value, default: none}]}
"""
GROUPED = """
connectors:
  memcached:
    connections:
      cache: {host: cache.internal, max_concurrent: 3, timeout_ms: 2000, tenant: acme}
    actions:
      value: {connection: cache, limits: {max_bytes: 10}}
      put: {connection: cache, operation: set, parameters: [{name: key}, {name: value, default: none}]}
"""


@pytest.fixture(autouse=True)
def _stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    source = strangers.connector_of_the_docs().replace("    port: int", "    password: Secret = ''\n    port: int")
    source = source.replace("RejectedError\n", "RejectedError, Secret\n", 1)
    folder = strangers.installed(tmp_path / "site", "memcached", "schema_memcached:Memcached", source)
    monkeypatch.syspath_prepend(folder)
    strangers.forget()
    yield
    strangers.forget()


def parsed(text: str) -> Document:
    return load.parse(text, "yaml", "f", {"PORT": "7"})


def told(text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        parsed(text)
    return [str(problem) for problem in str(error.value).splitlines()]


def test_both_forms_are_the_same() -> None:
    flat, grouped = parsed(FLAT), parsed(GROUPED)
    assert flat.connections[0].settings == grouped.connections[0].settings
    assert [each.settings for each in flat.actions] == [each.settings for each in grouped.actions]
    assert flat == grouped


def test_what_the_data_plane_gets() -> None:
    document = parsed(FLAT)
    (connection,) = document.connections
    assert connection.trn == "trn:openact:acme:connection/memcached/cache@v1"
    assert (connection.kind, connection.base_url, connection.timeout) == (
        "memcached",
        "memcached://cache.internal:11211",
        2,
    )
    value, put = document.actions
    assert (value.trn, value.method) == ("trn:openact:acme:action/memcached/value@v1", "MEMCACHED")
    assert [(each.name, each.required) for each in value.parameters] == [("key", True)]
    assert [(each.name, each.required, each.default) for each in put.parameters] == [
        ("key", False, None),
        ("value", False, "none"),
    ]
    (upstream,) = document.upstreams
    assert (upstream.shown_name, upstream.max_concurrent, upstream.http2) == ("connection/acme/cache", 3, "never")
    routes = {route.name: (route.connection, route.answer_limit) for route in document.calls}
    assert routes["action/acme/value"] == (connection.trn, 10)


def test_what_is_secret_is_in_no_representation() -> None:
    document = parsed("connections: {c: {kind: memcached, host: h, password: s3cret}}")
    assert document.connections[0].settings["password"] == "s3cret"
    assert "s3cret" not in repr(document)


def test_a_number_may_be_a_variable() -> None:
    document = parsed("connections: {c: {kind: memcached, host: h, port: '${PORT}'}}")
    assert document.connections[0].settings["port"] == 7


@pytest.mark.parametrize(
    ("lines", "place", "says"),
    [
        (
            "connections: {c: {kind: memcashed, host: h}}",
            "connections.c.kind",
            "there is no such connector; write one of",
        ),
        ("connections: {c: {kind: 7, host: h}}", "connections.c.kind", "must be text"),
        ("connections: {c: {kind: memcached}}", "connections.c.host", "is required"),
        ("connections: {c: {kind: memcached, hots: h}}", "connections.c.hots", "did you mean host?"),
        ("connections: {c: {kind: memcached, host: h, url: 'http://h'}}", "connections.c.url", "unknown key"),
        (
            "connections: {c: {kind: memcached, host: h, max_concurrent: 0}}",
            "connections.c.max_concurrent",
            "at least 1",
        ),
        ("connections: {c: {kind: memcached, host: 169.254.169.254}}", "connections.c", "which is denied to upstreams"),
        ("connectors: {memcashed: {}}", "connectors.memcashed", "there is no such connector"),
        ("connectors: {memcached: {things: {}}}", "connectors.memcached.things", "unknown key"),
        (
            "connectors: {memcached: {connections: {c: {host: h, kind: http}}}}",
            "connectors.memcached.connections.c.kind",
            "is not the memcached that it stands below; leave it out",
        ),
    ],
)
def test_what_is_rejected_has_its_place(lines: str, place: str, says: str) -> None:
    found = told(lines)
    assert any(f" {place}: " in line and says in line for line in found), found


CONNECTION = "connections: {c: {kind: memcached, host: h}, web: {base_url: 'http://h'}}"


@pytest.mark.parametrize(
    ("action", "says"),
    [
        ("{connection: c, operation: incr}", "actions.a.operation: must be 'get' or 'set'"),
        ("{connection: c, path: /x}", "actions.a.path: unknown key"),
        (
            "{connection: c, kind: http}",
            "actions.a: is of http, and its connection of memcached; name a",
        ),
        ("{connection: web, kind: memcached}", "actions.a: is of memcached, and its connection of http"),
        ("{connection: c, parameters: [{name: other}]}", "actions.a: key is no parameter of this action; add it"),
        ("{connection: c, parameters: [{name: key}, {name: x}]}", "the parameter x stands nowhere in this action"),
        ("{connection: c, parameters: [{name: key}, {name: key}]}", "two parameters have the same name"),
        ("{connection: c, input_schema: {type: odd}}", "actions.a.input_schema: "),
        ("{connection: [c]}", "actions.a.connection: must be text"),
    ],
)
def test_an_action_is_of_its_connection(action: str, says: str) -> None:
    assert any(says in line for line in told(f"{CONNECTION}\nactions: {{a: {action}}}"))


@pytest.mark.parametrize("action", ["{path: /x}", "{}"])
def test_an_action_of_a_group_without_a_connection_is_one_finding(action: str) -> None:
    """There is no connection whose kind could be another one."""
    lines = told(f"connectors: {{http: {{actions: {{a: {action}}}}}}}")
    assert [line.partition(":1: ")[2] for line in lines] == [
        "connectors.http.actions.a.connection: is required; add this key"
    ]


def test_a_proxy_has_no_such_upstream() -> None:
    (line,) = told(f"{CONNECTION}\nproxies: [{{name: p, path: /p, upstream: connection/c}}]")
    assert "proxies.0.upstream: is a connection that takes no HTTP requests; write an action of it" in line
    (line,) = told(
        f"{CONNECTION}\nproxies: [{{name: p, path: /p, upstream: 'http://h', "
        "fallback: {on: [connect], upstream: connection/c}}]"
    )
    assert "proxies.0.fallback.upstream: is a connection that takes no HTTP requests" in line


@pytest.mark.parametrize("text", ["connections: []", "connectors: {http: []}", "connectors: []", "actions: {a: 7}"])
def test_what_is_no_mapping_is_rejected(text: str) -> None:
    assert any("must be a mapping" in line for line in told(text))
