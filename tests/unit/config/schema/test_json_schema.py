import json
import pathlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.tls import write_certificates
from pydantic import ValidationError

from gateway.config.header_template import Context
from gateway.config.load import parse
from gateway.config.schema.json_schema import schema
from gateway.config.schema.section import Section
from gateway.config.schema.settings import Settings
from gateway.config.validation_messages import sentence

DEFS: dict[str, Any] = schema()["$defs"]  # type: ignore[assignment] # a schema is a tree of plain data


def test_the_dialect_and_the_top() -> None:
    top = schema()
    assert top["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert top["title"] == "Configuration of the Breakwater gateway"
    assert top["additionalProperties"] is False


def sections() -> list[dict[str, Any]]:
    return [schema(), *DEFS.values()]


@pytest.mark.parametrize("section", sections(), ids=lambda section: str(section["title"]))
def test_every_section_is_closed_and_every_key_described(section: dict[str, Any]) -> None:
    assert section["type"] == "object"
    others = {"$ref": "#/$defs/Group"} if section["title"] == "Connectors" else False  # by the name of the connector
    assert section["additionalProperties"] == others
    assert section["description"]
    plain = [name for name, key in section["properties"].items() if not key.get("description") and "$ref" not in key]
    assert plain == []


def test_descriptions_have_no_line_breaks_of_the_source() -> None:
    keys = [key for section in sections() for key in section["properties"].values()]
    assert not [text for key in keys if "\n" in (text := key.get("description", ""))]
    assert DEFS["Limits"]["properties"]["max_body_bytes"]["x-unit"] == "bytes"


def test_every_reference_leads_somewhere() -> None:
    def references(node: object) -> list[str]:
        if isinstance(node, list):
            return [found for child in node for found in references(child)]
        if not isinstance(node, dict):
            return []
        own = [str(node["$ref"])] if "$ref" in node else []
        return own + [found for child in node.values() for found in references(child)]

    found = references(schema())
    assert found
    assert {reference.removeprefix("#/$defs/") for reference in found} == DEFS.keys()


def test_defaults_are_those_of_the_model() -> None:
    properties: Any = schema()["properties"]
    defaults = {name: key["default"] for name, key in properties.items()}
    assert defaults == Settings().model_dump(mode="json")


def test_numbers_and_booleans_may_be_references() -> None:
    reference = {"type": "string", "pattern": r"\$\{"}
    proxy = DEFS["Proxy"]["properties"]
    assert proxy["max_concurrent"]["anyOf"] == [{"type": "integer", "minimum": 0, "maximum": 10000}, reference]
    assert proxy["active"]["anyOf"] == [{"type": "boolean"}, reference]
    assert DEFS["TimeoutConfig"]["properties"]["dial"]["anyOf"] == [
        {"type": "number", "exclusiveMinimum": 0, "maximum": 3600},
        reference,
    ]


def test_listen_is_one_or_many() -> None:
    properties: Any = schema()["properties"]
    one = [{"type": "string"}, {"$ref": "#/$defs/Listener"}]
    many = {"type": "array", "minItems": 1, "items": {"anyOf": one}}
    assert properties["listen"]["anyOf"] == [*one, many]


REFERENCE = pathlib.Path(__file__).parents[4] / "docs" / "configuration.md"


def descendants(base: type[Section]) -> Iterator[type[Section]]:
    """All that inherit from ``base``."""
    for one in base.__subclasses__():
        yield one
        yield from descendants(one)


def leaves() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(mapping, key, its schema) of each key that is no mapping itself and no list of such."""
    for mapping, section in [("Settings", schema()), *DEFS.items()]:
        for name, key in section["properties"].items():  # type: ignore[attr-defined]
            if "#/$defs/" not in json.dumps(key) or (mapping, name) == ("Settings", "listen"):
                yield mapping, name, key


MINIMAL: dict[str, dict[str, Any]] = {
    "Proxy": {"name": "p", "path": "/p", "upstream": "http://h"},
    "Upstream": {"name": "u", "endpoints": [{"url": "http://h"}]},
    "Endpoint": {"url": "http://h"},
    "RateLimit": {"key": "all", "rate": 1},
    "UpstreamRateLimit": {"rate": 1},
    "Listener": {"address": "127.0.0.1:1"},
    "Tls": {"certificates": [{"cert": "a.pem", "key": "a.key"}]},
    "Certificate": {"cert": "a.pem", "key": "a.key"},
    "Tracing": {"endpoint": "http://127.0.0.1:4318/"},
    "Connection": {"base_url": "http://h"},
    "Mcp": {"name": "d", "path": "/d"},
    "ToolRule": {"actions": ["a"]},
    "Action": {"connection": "c"},
    "SqlConnection": {"url": "sqlite:///f"},
    "SqlAction": {"connection": "c", "statement": "SELECT 1"},
    "RedisConnection": {"url": "redis://h"},
    "RedisAction": {"connection": "c", "command": ["PING"]},
    "MongoConnection": {"url": "mongodb://h/n"},
    "MongoAction": {"connection": "c", "collection": "o"},
    "Parameter": {"name": "p"},
    "Pagination": {"type": "page"},
    "NoAuth": {"type": "none"},
    "ApiKey": {"type": "api_key", "name": "X-Key", "value": "v"},
    "Basic": {"type": "basic", "username": "u", "password": "p"},
    "Bearer": {"type": "bearer", "token": "t"},
    "SigV4": {
        "type": "sigv4",
        "access_key_id": "i",
        "secret_access_key": "s",
        "region": "r",
        "service": "s",
    },
    "Hmac": {"type": "hmac", "header": "X-S", "secret": "s"},
    "ClientCredentials": {
        "type": "oauth2_client_credentials",
        "token_url": "https://i/t",
        "client_id": "c",
        "client_secret": "v",
    },
    "AuthorizationCode": {
        "type": "oauth2_authorization_code",
        "token_url": "https://i/t",
        "client_id": "c",
        "client_secret": "v",
        "authorize_url": "https://i/a",
        "redirect_uri": "https://g/api/gateway/oauth/callback",
    },
    "Device": {
        "type": "oauth2_device",
        "token_url": "https://i/t",
        "client_id": "c",
        "client_secret": "v",
        "device_url": "https://i/d",
    },
    "SignedJwt": {"type": "jwt", "key": "v", "issuer": "i"},
    "Jwt": {"issuer": "i", "audience": ["a"], "algorithms": ["RS256"], "jwks_url": "https://h/keys"},
}
TOGETHER: dict[tuple[str, str], dict[str, Any]] = {
    ("Settings", "template_env"): {"database": "sqlite:///g.db"},
    ("Settings", "worker_env"): {"database": "sqlite:///g.db"},
    ("Settings", "workers"): {"database": "sqlite:///g.db"},
    ("Settings", "worker_max_memory"): {"database": "sqlite:///g.db"},
    ("Proxy", "hash_on"): {"balance": "ring_hash"},
    ("Upstream", "hash_on"): {"balance": "ring_hash"},
    ("Body", "type"): {"value": {}},
    ("Parameter", "default"): {"type": "integer"},
    ("Pagination", "type"): {"next_cursor": "next"},
    ("Pagination", "next_cursor"): {"type": "cursor"},
    ("Pagination", "size_parameter"): {"page_size": 2},
    ("SqlAction", "statement"): {"parameters": [{"name": "id"}]},
    ("MongoAction", "parameters"): {"arguments": {"filter": {"_id": "{id}"}}},
    ("RedisAction", "command"): {"parameters": [{"name": "id"}]},
    ("RedisAction", "parameters"): {"command": ["GET", "{id}"]},
    ("SqlAction", "parameters"): {"statement": "SELECT :id"},
    ("Queue", "max_waiting"): {"timeout": 1},
    ("Queue", "timeout"): {"max_waiting": 1},
    ("Queue", "predict"): {"max_waiting": 1, "timeout": 1},
    ("Queue", "fair"): {"max_waiting": 1, "timeout": 1},
    ("Queue", "comments"): {"max_waiting": 1, "timeout": 1},
    ("CircuitBreaker", "slow_rate"): {"slow_call": 1},
    ("CircuitBreaker", "slow_call"): {"slow_rate": 1},
    ("Retries", "attempts"): {"on": ["connect"]},
    ("Retries", "on"): {"attempts": 2},
    ("Fallback", "on"): {"upstream": "spare"},
    ("Fallback", "upstream"): {"on": ["connect"]},
    ("Jwt", "secret"): {"jwks_url": None, "algorithms": ["HS256"]},
    ("Tls", "client_auth"): {"client_ca": "callers.pem"},
    ("Tls", "client_ca"): {"client_auth": "required"},
    ("UpstreamTls", "client_cert"): {"client_key": "a.key"},
    ("UpstreamTls", "client_key"): {"client_cert": "a.pem"},
}
"""What else must stand there for a key's example to make sense."""
ENV = {"DATABASE_CA": "PEM", "JWT_SECRET": "s" * 32, "API_SECRET": "s", "CLIENT_SECRET": "s", "AWS_SESSION_TOKEN": "t"}


@pytest.mark.parametrize(("mapping", "name", "key"), list(leaves()))
def test_every_key_has_an_example_that_is_good(
    mapping: str, name: str, key: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_certificates(tmp_path)
    monkeypatch.chdir(tmp_path)
    models = {one.__name__: one for one in descendants(Section) if one.__module__.startswith("gateway.config.")}
    (example,) = key["examples"]
    if isinstance(example, str) and example.startswith("${"):
        example = ENV[example[2:-1]]
    written = MINIMAL.get(mapping, {}) | TOGETHER.get((mapping, name), {}) | {name: example}
    context = Context(ENV, frozenset({"KEY"}))
    model = models[mapping]
    field = next((own for own, each in model.model_fields.items() if each.alias == name), name)
    assert field in model.model_validate(written, context=context).model_fields_set


WRONG: tuple[object, ...] = (None, True, -1, 1.5, 1e999, 10**25, "", "x" * 70_000, "\x7f", [], [None], {}, {"": {}})


@pytest.mark.parametrize(("mapping", "name", "key"), list(leaves()))
def test_no_value_of_a_key_is_refused_in_words_of_pydantic(mapping: str, name: str, key: dict[str, Any]) -> None:
    models = {one.__name__: one for one in descendants(Section) if one.__module__.startswith("gateway.config.")}
    for value in (*WRONG, list(range(1001))):
        written = MINIMAL.get(mapping, {}) | TOGETHER.get((mapping, name), {}) | {name: value}
        try:
            models[mapping].model_validate(written, context=Context({}, frozenset()))
        except ValidationError as error:
            kinds = {detail["type"]: sentence(detail) for detail in error.errors()}
            assert not {
                kind for kind, said in kinds.items() if re.search(r"Input should|should have|Value error", said)
            }
            assert all("; " in said for said in kinds.values()), kinds


def test_times_and_sizes_have_a_unit() -> None:
    without = [f"{mapping}.{name}" for mapping, name, key in leaves() if _in_a_unit(key) and "x-unit" not in key]
    assert not without


def _in_a_unit(key: dict[str, Any]) -> bool:
    return key["description"].startswith("Seconds") or "in bytes" in key["description"]


def test_the_examples_of_the_reference_are_good() -> None:
    examples = re.findall(r"^```yaml\n(.*?)^```", REFERENCE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(examples) == 3
    for example in examples:
        parse(example, "yaml", "configuration.md", {"SIDECAR_KEY": "x"})
