"""Whatever the control process sends, a worker reads the same."""

from __future__ import annotations

from typing import TypeVar

import msgspec
import pytest

from gateway.config.fallback import Fallback, FixedResponse
from gateway.config.records import (
    AuthField,
    CircuitBreaker,
    Cors,
    Credentials,
    Document,
    Endpoint,
    Header,
    JwtIssuer,
    Limiter,
    Listener,
    Missing,
    Queue,
    Route,
    Timeouts,
    TokenRecord,
    Tracing,
    Upstream,
    UpstreamNetworks,
)
from gateway.core.address import Address
from gateway.core.limits import Limits

Record = TypeVar("Record", Document, Credentials)

ROUTE = Route(
    "a",
    "/a",
    "u",
    ("x.example", "*.y.example"),
    strip_path=False,
    preserve_host=True,
    access_rule="@request.auth.id != ''",
    headers=(Header("X-A", ("caf\u00e9",)), Header("X-B", ("a", AuthField("org.id"), Missing("secret.K")))),
    active=False,
    server_timing=True,
    rewrite_location=True,
    cors=Cors(("https://a.example",), ("X-A", "X-B"), True),
    websocket=True,
    tunnel_idle=7.5,
)
UPSTREAM = Upstream(
    "u",
    (Endpoint("http://h"),),
    max_concurrent=5,
    queue=Queue(3, 1.5),
    circuit_breaker=CircuitBreaker(True, 2, 3.0, 4),
    timeouts=Timeouts(1, 2, 3, 4, 5, 6, 7),
    limiter=Limiter("shadow"),
)


def travelled(record: Record) -> Record:
    """As the channel carries it."""
    return msgspec.json.decode(msgspec.json.encode(record), type=type(record))


def test_a_document_survives_the_way() -> None:
    document = Document(
        (Listener(Address("::1", 0)), Listener(Address("h", 1), http2=True)),
        None,
        ("10.0.0.0/8",),
        1.0,
        Limits(max_uri=99),
        Tracing("http://c/v1/traces", 0.5, "edge"),
        UpstreamNetworks(("10.0.0.0/8",), ("169.254.170.2/32",)),
        (Address("127.0.0.1", 8081),),
        "edge-1",
        (ROUTE, Route("b", "/", "u")),
        (UPSTREAM,),
    )
    assert travelled(document) == document
    assert travelled(Document()) == Document()


def test_credentials_survive_the_way() -> None:
    credentials = Credentials(
        {"ab": TokenRecord("1", "ci", "superuser", True, 12.5, {"role": "x", "n": [1, {"m": None}]})},
        (JwtIssuer("i", ("a", "b"), ("RS256",), '{"keys": []}', "uid"),),
    )
    assert travelled(credentials) == credentials
    assert travelled(Credentials()) == Credentials()


@pytest.mark.parametrize(
    "fallback",
    [
        Fallback(("connect", "queue"), ((500, 502), (429, 429)), "spare"),
        Fallback(("deadline",), response=FixedResponse(200, '{"hits": []}', "application/json")),
    ],
)
def test_so_does_a_fallback(fallback: Fallback) -> None:
    document = Document(routes=(Route("a", "/a", "a", fallback=fallback),))
    assert travelled(document) == document
