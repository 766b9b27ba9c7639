"""Security schemes as credentials of connections."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config.openapi.security import Credentials, Security
from gateway.config.openapi.source import Source
from gateway.config.references import Reference

SCHEMES = {
    "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
    "query": {"type": "apiKey", "in": "query", "name": "k"},
    "jar": {"type": "apiKey", "in": "cookie", "name": "sid"},
    "basic": {"type": "http", "scheme": "Basic"},
    "bearer": {"type": "http", "scheme": "bearer"},
    "flow": {"type": "oauth2", "flows": {}},
    "connect": {"type": "openIdConnect"},
    "digest": {"type": "http", "scheme": "digest"},
    "tls": {"type": "mutualTLS"},
}


def made(security: Any, general: Any = None) -> tuple[Credentials, list[str]]:
    root: dict[str, Any] = {"openapi": "3.1.0", "components": {"securitySchemes": SCHEMES}}
    if general is not None:
        root["security"] = general
    remarks: list[str] = []
    node = {} if security is None else {"security": security}
    return Security(Source(root), "my api", remarks).of(node, "GET /x"), remarks


@pytest.mark.parametrize(
    ("name", "auth"),
    [
        ("key", {"type": "api_key", "name": "X-Key", "value": "${MY_API_KEY}", "in": "header"}),
        ("query", {"type": "api_key", "name": "k", "value": "${MY_API_QUERY}", "in": "query"}),
        ("basic", {"type": "basic", "username": "${MY_API_BASIC_USERNAME}", "password": "${MY_API_BASIC_PASSWORD}"}),
        ("bearer", {"type": "bearer", "token": "${MY_API_BEARER}"}),
        ("flow", {"type": "bearer", "token": "${MY_API_FLOW}"}),
        ("connect", {"type": "bearer", "token": "${MY_API_CONNECT}"}),
    ],
)
def test_a_scheme_is_the_auth_of_a_connection(name: str, auth: dict[str, str]) -> None:
    found, remarks = made([{name: []}])
    assert found == Credentials(name, auth)
    assert bool(remarks) == (name in ("flow", "connect"))


def test_the_first_alternative_that_can_be_met() -> None:
    assert made([{"tls": []}, {"digest": []}, {"key": []}])[0].name == "key"
    assert made([{"digest": [], "key": []}, {"query": []}])[0].name == "query"
    assert made([{}, {"key": []}])[0].name == "key", "a credential that is optional is used"
    assert made([{}])[0] == Credentials()
    assert made([], [{"key": []}])[0] == Credentials(), "an operation that needs none"
    assert made(None, [{"key": []}])[0].name == "key"
    assert made(None)[0] == Credentials()
    found, remarks = made([{"tls": []}, {"none": []}])
    assert (found, remarks) == (
        Credentials(),
        ["GET /x: tls, none cannot be met; add what it needs to the connection"],
    )


def test_several_schemes_at_once() -> None:
    found, _ = made([{"bearer": [], "key": [], "query": [], "jar": []}])
    assert found.name == "bearer-key-query-jar"
    assert found.auth == {"type": "bearer", "token": "${MY_API_BEARER}"}
    assert found.headers == {"X-Key": "${MY_API_KEY}", "Cookie": "sid=${MY_API_JAR}"}
    assert found.query == {"k": "${MY_API_QUERY}"}
    assert {type(value) for value in (*found.headers.values(), *found.query.values())} == {Reference}
    assert made([{"bearer": [], "basic": []}])[0] == Credentials(), "there is one field Authorization"
    alone = made([{"jar": []}])[0]
    assert (alone.auth, alone.headers) == (None, {"Cookie": "sid=${MY_API_JAR}"})
