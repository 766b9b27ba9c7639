"""Connections in both forms of the file: what becomes of them, and what is rejected, with its line and no secret."""

from __future__ import annotations

import pytest

from gateway.actions.merge import merge
from gateway.config.actions import Auth, Connection, FieldPolicy
from gateway.config.load import ConfigError, parse
from gateway.config.records import CircuitBreaker, Endpoint, Queue, Upstream
from gateway.config.schema.call_policy import PRESETS
from gateway.config.schema.connections import key_of, shared_name

SOURCE = """\
connectors:
  http:
    connections:
      github-api:
        base_url: "https://api.github.com"
        timeout_ms: 30000
        auth:
          type: "bearer"
          token: "${GITHUB_TOKEN}"
    actions:
      get-user:
        connection: "github-api"
        method: "GET"
        path: "/user"
        headers:
          Accept: "application/vnd.github.v3+json"
"""
FLAT = """\
connections:
  github-api:
    base_url: https://api.github.com
    timeout_ms: 30000
    auth: {type: bearer, token: "${GITHUB_TOKEN}"}
actions:
  get-user:
    connection: github-api
    path: /user
    headers: {Accept: application/vnd.github.v3+json}
"""
ENV = {"GITHUB_TOKEN": "s3cret"}


def told(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "yaml", "f", ENV)
    return str(caught.value).split("\n")


@pytest.mark.covers("ACT-33", "ACT-35")
def test_both_forms_are_the_same_records() -> None:
    grouped, flat = parse(SOURCE, "yaml", "f", ENV), parse(FLAT, "yaml", "f", ENV)
    assert grouped.connections == flat.connections
    assert grouped.actions == flat.actions
    assert grouped.upstreams == flat.upstreams
    assert flat.connections == (
        Connection(
            "trn:openact:default:connection/http/github-api@v1",
            "https://api.github.com",
            "upstream connection/github-api",
            Auth("bearer", "", "s3cret"),
            retry=PRESETS["standard"],
            hidden=("s3cret",),
        ),
    )
    assert "s3cret" not in repr(flat)


@pytest.mark.covers("ACT-41")
def test_the_protections_of_a_connection_are_those_of_its_upstream_which_proxies_share() -> None:
    text = """\
connections:
  shop: {base_url: "http://h:1/v1", max_concurrent: 5, queue: {max_waiting: 3, timeout: 1},
         circuit_breaker: {enabled: true}, http2: never}
  other: {tenant: acme, base_url: "http://o"}
proxies:
  - {name: web, path: /web, upstream: connection/shop}
  - {name: theirs, path: /theirs, upstream: connection/acme/other}
"""
    document = parse(text, "yaml", "f", {})
    assert [route.upstream for route in document.routes] == [
        "upstream connection/shop",
        "upstream connection/acme/other",
    ]
    assert document.upstreams[0] == Upstream(
        "upstream connection/shop",
        (Endpoint("http://h:1/v1"),),
        max_concurrent=5,
        queue=Queue(3, 1),
        circuit_breaker=CircuitBreaker(True),
        http2="never",
    )
    assert [each.upstream for each in document.connections] == [route.upstream for route in document.routes]
    assert document.connections[1].trn == "trn:openact:acme:connection/http/other@v1"


@pytest.mark.covers("ACT-23")
def test_the_times_and_the_tls_of_a_connection_are_those_of_its_upstream() -> None:
    text = """\
connections:
  shop: {base_url: "https://h/v1", tls: {server_name: other.test}, timeout_config: {dial: 1, total: 9}}
"""
    (upstream,) = parse(text, "yaml", "f", {}).upstreams
    assert upstream.tls is not None
    assert (upstream.tls.server_name, upstream.timeouts.dial, upstream.timeouts.total) == ("other.test", 1, 9)


def test_a_strict_connection_does_not_retry_by_itself() -> None:
    text = "connections: {a: {base_url: 'http://h', merge: strict}, b: {base_url: 'http://h', retry: api}}"
    one, two = parse(text, "yaml", "f", {}).connections
    assert (one.retry, two.retry) == (PRESETS["once"], PRESETS["api"])
    assert one.fields == FieldPolicy()


@pytest.mark.parametrize(
    ("keys", "bounds"),
    [
        ("", False),
        (", merge: strict", False),
        (", timeout_ms: 9", False),
        (", merge: strict, timeout_ms: 9", True),
        (", merge: strict, timeout_ms: 30000", True),
        (", merge: strict, timeout_ms: null", False),
    ],
)
def test_the_time_of_a_strict_connection_holds_when_it_is_written(keys: str, bounds: bool) -> None:
    (made,) = parse(f"connections: {{a: {{base_url: 'http://h'{keys}}}}}", "yaml", "f", {}).connections
    assert made.bounds_time is bounds


@pytest.mark.covers("ACT-34")
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("kind: telnet", "connections.c.kind: there is no such connector; write one of http"),
        ("tenant: a b", "connections.c.tenant: must be 1 to 64 letters"),
        ("auth: {type: magic}", "connections.c.auth"),
        ("auth: {type: bearer}", "connections.c.auth.token"),
        ('auth: {type: bearer, token: ""}', "connections.c.auth.token"),
        ("auth: {type: basic, username: 'a:b', password: s3cret}", "connections.c.auth.username"),
        ("auth: {type: api_key, name: Content-Length, value: s3cret}", "the gateway sets it"),
        ("auth: {type: api_key, name: Host, value: s3cret, in: header}", "the gateway sets Host itself"),
        ("auth: {type: hmac, header: Transfer-Encoding, secret: s3cret}", "the gateway sets it"),
        ("headers: {Host: s3cret}", "connections.c.headers: the gateway sets Host itself"),
        ('headers: {X-A: "s3cret\\n"}', "X-A holds a line break"),
        ("headers: {X-A: s3cretΩ}", "X-A holds a character outside Latin-1"),
        ("retry: often", "connections.c.retry"),
        ("merge: loose", "connections.c.merge"),
        ("timeout_ms: 0", "connections.c.timeout_ms"),
        ("max_response_bytes: 67108865", "connections.c.max_response_bytes"),
        ("unknown: s3cret", "unknown key"),
    ],
)
def test_what_is_rejected_has_its_place_and_no_secret(line: str, says: str) -> None:
    (problem,) = told(f"connections:\n  c:\n    base_url: http://h\n    {line}\n")
    assert says in problem
    assert problem.startswith("f:4: ")
    assert "s3cret" not in problem


@pytest.mark.parametrize("form", ["{%s}", "connectors: {http: {%s}}"])
@pytest.mark.parametrize(("tenant", "room"), [("default", 0), ("acme", 5)])
@pytest.mark.parametrize("over", [0, 1])
def test_names_have_the_room_that_counters_have_for_them(form: str, tenant: str, room: int, over: int) -> None:
    shop, find = "s" * (64 - len("connection/") - room + over), "f" * (64 - len("action/") - room + over)
    connection = f"{{base_url: 'http://h', tenant: {tenant}}}"
    inner = f"connections: {{{shop}: {connection}}}, actions: {{{find}: {{connection: {shop}}}}}"
    if not over:
        document = parse(form % inner, "yaml", "f", {})
        assert [len(route.name) for route in document.calls] == [64, 64]
        return
    problems = told(form % inner)
    assert len(problems) == 2
    assert f"connections.{shop}: is known as connection/" in problems[0]
    assert f"actions.{find}: is known as action/" in problems[1]
    assert all("which may have 64 characters; shorten the name or the tenant by 1" in each for each in problems)


@pytest.mark.parametrize("form", ["{%s}", "connectors: {http: {%s}}"])
def test_what_a_variable_holds_is_sent_as_it_is(form: str) -> None:
    inner = "connections: {a: {base_url: 'http://h', headers: {X-A: '${K}'}, query: {a: '${K}'}}}, "
    inner += "actions: {b: {connection: a, method: POST, headers: {X-A: '${K}'}, body: {value: {a: '${K}'}}}}"
    secret = "p{a.b}@request.{"
    document = parse(form % inner, "yaml", "f", {"K": secret})
    (connection,), (action,) = document.connections, document.actions
    assert (connection.headers, connection.query) == ({"X-A": secret}, {"a": secret})
    merged = merge(connection, action, {})
    assert (merged.header("X-A"), merged.body) == (secret, f'{{"a":"{secret}"}}'.encode())


def test_a_connection_is_somewhere() -> None:
    assert "base_url" in told("connections: {c: {}}")[0]
    assert "connections.c.base_url" in told("connections: {c: {base_url: 'ftp://h'}}")[0]
    assert "connections.a b" in told("connections: {a b: {base_url: 'http://h'}}")[0]


@pytest.mark.parametrize("form", ["%s", "connectors: {http: {%s}}"])
def test_a_connection_leads_to_no_address_that_is_denied(form: str) -> None:
    (problem,) = told(form % "connections: {c: {base_url: 'http://169.254.169.254/'}}")
    assert "connections.c.base_url: " in problem
    assert "169.254.0.0/16" in problem


@pytest.mark.parametrize("key", [("default", "shop"), ("acme", "shop")])
def test_the_name_that_proxies_have_for_it_can_be_read(key: tuple[str, str]) -> None:
    assert key_of(shared_name(*key)) == key
