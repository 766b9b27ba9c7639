import pytest
from pydantic import ValidationError

from gateway.config import validation_messages
from gateway.config.formats.tree import Branch, grow
from gateway.config.schema.settings import Settings


def sentences(data: dict[str, object]) -> list[str]:
    root = grow("f", data, {})
    assert isinstance(root, Branch)
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(data, context={})
    return [problem.render("f") for problem in validation_messages.problems(caught.value, Settings, root)]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"limit": {}}, "limit: unknown key; did you mean limits?"),
        ({"MaxURI": 1, "limits": {"maxUri": 1}}, "limits.maxUri: unknown key; did you mean max_uri?"),
        ({"limits": {"zzz": 1}}, "limits.zzz: unknown key; remove it, the keys here are max_uri, max_header_bytes,"),
        ({"access_log": {"pth": "-"}}, "access_log.pth: unknown key; did you mean path?"),
        (
            {"connections": {"c": {"base_url": "http://h", "timeout": 1}}},
            "connections.c.timeout: unknown key; did you mean timeout_ms?",
        ),
        (
            {"connections": {"c": {"base_url": "http://h", "auth": {"type": "bearer", "tokn": "s"}}}},
            "connections.c.auth.tokn: unknown key; did you mean token?",
        ),
        (
            {"connectors": {"http": {"connections": {"c": {"base_url": "http://h", "retry": {"retries": 1}}}}}},
            "connectors.http.connections.c.retry.retries: unknown key; did you mean max_retries?",
        ),
        (
            {"actions": {"a": {"parameters": [{"nam": "x"}]}}},
            "actions.a.parameters.0.nam: unknown key; did you mean name?",
        ),
        (
            {"connections": {"c": {"base_url": "http://h", "auth": {"type": "s3cret"}}}},
            "connections.c.auth: has a type that is none of 'none', 'api_key', 'basic', 'bearer', 'sigv4', 'hmac'",
        ),
        ({"connections": {"c": {"base_url": "http://h", "auth": {}}}}, "connections.c.auth: needs a key type; add it"),
        (
            {"connections": {"c": {"base_url": "http://h", "auth": {"type": "bearer", "token": ""}}}},
            "connections.c.auth.token: must have at least 1 character; write such a text",
        ),
        (
            {"connections": {"c": {"base_url": "http://h", "auth": "none"}}},
            "connections.c.auth: must be a mapping; write `key: value` lines below it",
        ),
        (
            {"proxies": [{"health": {"expect_status": []}}]},
            "proxies.0.health.expect_status: must have at least 1 entry; write such a list",
        ),
        (
            {"proxies": [{"rate_limits": [{"rate": 1, "key": "all"}] * 9}]},
            "proxies.0.rate_limits: must have at most 8 entries; write such a list",
        ),
        (
            {"connections": {"c": {"base_url": "http://h", "description": "x" * 1001}}},
            "connections.c.description: must have at most 1000 characters; write such a text",
        ),
        (
            {"actions": {"a": {"parameters": [{"name": "a b"}]}}},
            "actions.a.parameters.0.name: must have the form ^[A-Za-z_][A-Za-z0-9_-]*$; write such a text",
        ),
        ({"listen": [{}]}, "listen.0.address: is required; add this key"),
        ({"proxies": [{"queue": {"timout": 1}}]}, "proxies.0.queue.timout: unknown key; did you mean timeout?"),
        ({"drain_timeout": -1}, "drain_timeout: must be at least 0; write such a number"),
        ({"limits": {"header_timeout": 0}}, "limits.header_timeout: must be above 0; write such a number"),
        ({"limits": {"body_timeout": 86401}}, "limits.body_timeout: must be at most 86400; write such a number"),
    ],
)
def test_sentences(data: dict[str, object], sentence: str) -> None:
    assert any(told.startswith(f"f:1: {sentence}") for told in sentences(data)), sentences(data)


def test_a_required_key_with_a_typing_error_is_one_finding() -> None:
    proxy = {"name": "a", "path": "/a", "upstreem": "http://127.0.0.1:9"}
    assert sentences({"proxies": [proxy]}) == ["f:1: proxies.0.upstreem: unknown key; did you mean upstream?"]
    elsewhere = [{"name": "a", "path": "/a"}, {**proxy, "name": "b"}]
    assert sentences({"proxies": elsewhere}) == [
        "f:1: proxies.0.upstream: is required; add this key",
        "f:1: proxies.1.upstreem: unknown key; did you mean upstream?",
    ]


@pytest.mark.parametrize("value", ["s3cret", ["s3cret"], {"s3cret": "s3cret"}, 3.5, None, True])
@pytest.mark.parametrize("key", [key for key in Settings.model_fields if key != "limits"])
def test_every_finding_is_in_our_words_and_without_the_value(key: str, value: object) -> None:
    try:
        Settings.model_validate({key: value})
    except ValidationError:
        told = [sentence for sentence in sentences({key: value}) if "s3cret: unknown key" not in sentence]
        # The name of a connection or an action is part of a place, as the number of a proxy is.
        told = [sentence.replace(f" {key}.s3cret: ", f" {key}: ") for sentence in told]
        assert not [sentence for sentence in told if "Input should" in sentence or "s3cret" in sentence]
        assert all("; " in sentence for sentence in told)
    else:
        allowed: dict[str, object] = {"admin": None, "database": None, "access_log": None, "drain_timeout": 3.5}
        allowed["tracing"] = None
        assert (key, value) == ("via", "s3cret") or value == (allowed | {"via": None})[key]
