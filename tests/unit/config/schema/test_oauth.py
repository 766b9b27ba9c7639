from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.config import actions as records
from gateway.config import load
from gateway.config.errors import ConfigError
from gateway.config.schema.outbound_auth import Auth

READER: TypeAdapter[Any] = TypeAdapter(Auth)
CC = {"type": "oauth2_client_credentials", "token_url": "https://i/t", "client_id": "c", "client_secret": "s"}
AC = CC | {
    "type": "oauth2_authorization_code",
    "authorize_url": "https://i/a",
    "redirect_uri": "https://g/api/gateway/oauth/callback",
}
DEVICE = CC | {"type": "oauth2_device", "device_url": "https://i/d"}
JWT = {"type": "jwt", "key": "s", "issuer": "robot"}


@pytest.mark.parametrize(
    ("written", "kind", "oauth"),
    [
        (CC, "oauth2_client_credentials", records.OAuth("https://i/t", "c", "s")),
        (
            CC
            | {"client_auth": "body", "scopes": ("a", "b"), "scope_delimiter": ",", "token_params": {"audience": "x"}},
            "oauth2_client_credentials",
            records.OAuth("https://i/t", "c", "s", "body", ("a", "b"), ",", {"audience": "x"}),
        ),
        (
            AC,
            "oauth2_authorization_code",
            records.OAuth(
                "https://i/t",
                "c",
                "s",
                authorize_url="https://i/a",
                redirect_uri="https://g/api/gateway/oauth/callback",
            ),
        ),
        (DEVICE, "oauth2_device", records.OAuth("https://i/t", "c", "s", device_url="https://i/d")),
        (
            DEVICE | {"client_secret": "", "client_auth": "none", "revoke_url": "https://i/r"},
            "oauth2_device",
            records.OAuth("https://i/t", "c", client_auth="none", device_url="https://i/d", revoke_url="https://i/r"),
        ),
        (
            JWT,
            "jwt",
            records.OAuth("", client_auth="none", key="s", algorithm="RS256", issuer="robot"),
        ),
        (
            JWT | {"token_url": "https://i/t", "algorithm": "ES256", "lifetime": 60, "key_id": "k"},
            "jwt",
            records.OAuth(
                "https://i/t",
                client_auth="none",
                key="s",
                key_id="k",
                algorithm="ES256",
                issuer="robot",
                subject="robot",
                audience="https://i/t",
                lifetime=60.0,
            ),
        ),
        (
            JWT | {"token_url": "https://i/t", "subject": "ann", "audience": "https://i"},
            "jwt",
            records.OAuth(
                "https://i/t",
                client_auth="none",
                key="s",
                algorithm="RS256",
                issuer="robot",
                subject="ann",
                audience="https://i",
            ),
        ),
    ],
)
def test_each_way_to_a_token_is_a_record(written: dict[str, Any], kind: str, oauth: records.OAuth) -> None:
    section = READER.validate_python(written)
    auth = section.record()
    assert auth == records.Auth(kind, oauth=oauth)  # type: ignore[arg-type] # one of its words
    assert auth.has_tokens
    assert auth.secrets == ()
    for shown in (repr(section), repr(auth)):
        assert "'s'" not in shown


@pytest.mark.parametrize(
    ("written", "why"),
    [
        (CC | {"token_url": "http://idp.example.org/t"}, "secrets would be sent in the clear"),
        (CC | {"token_url": "http://10.0.0.1/t"}, "secrets would be sent in the clear"),
        (CC | {"token_url": "https://i/t#x"}, "fragment"),
        (CC | {"token_url": "https://u:p@i/t"}, "user or a password"),
        (CC | {"client_secret": ""}, "at least 1 character"),
        (CC | {"client_auth": "none"}, "'basic' or 'body'"),
        (CC | {"scopes": ("a b",)}, "a scope is a word"),
        (CC | {"token_params": {"grant_type": "password"}}, "grant_type is set by the grant itself"),
        (AC | {"authorize_params": {"state": "x"}}, "state is set by the grant itself"),
        (AC | {"redirect_uri": "https://g/callback"}, "must end with /api/gateway/oauth/callback"),
        (AC | {"client_secret": ""}, "client_secret belongs to client_auth"),
        (DEVICE | {"client_auth": "none"}, "client_secret belongs to client_auth"),
        (JWT | {"algorithm": "none"}, "Input should be"),
        (JWT | {"lifetime": 3601}, "less than or equal to 3600"),
    ],
)
def test_what_would_leak_or_fail_is_refused(written: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        READER.validate_python(written)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/t", "http://localhost/t", "http://[::1]/t", "https://i/t?tenant=x"]
)
def test_this_machine_and_a_query_are_permitted(url: str) -> None:
    assert READER.validate_python(CC | {"token_url": url}).token_url == url


def file(auth: str, more: str = "", form: str = "connections: {{a: {}}}") -> str:
    connection = "{base_url: 'https://h', auth: " + auth + "}"
    return "listen: 127.0.0.1:0\n" + form.format(connection) + "\n" + more


_AC = (
    "{type: oauth2_authorization_code, token_url: 'https://i/t', client_id: c, client_secret: s, "
    "authorize_url: 'https://i/a', redirect_uri: 'https://g/api/gateway/oauth/callback'}"
)
_DEVICE = "{type: oauth2_device, token_url: 'https://i/t', client_id: c, client_secret: s, device_url: 'https://i/d'}"
_GROUPED = "connectors: {{http: {{connections: {{a: {}}}}}}}"


@pytest.mark.parametrize("form", ["connections: {{a: {}}}", _GROUPED])
@pytest.mark.parametrize(
    ("auth", "more", "why"),
    [
        (_AC, "", "oauth2_authorization_code needs a database"),
        (_DEVICE, "", "oauth2_device needs a database"),
        (_AC, "database: sqlite:///g.db", "needs the admin listener"),
    ],
)
def test_what_a_person_agrees_to_needs_a_place(auth: str, more: str, why: str, form: str) -> None:
    with pytest.raises(ConfigError, match=f"connection a: {why}|{why}"):
        load.parse(file(auth, more, form), "yaml", "gateway.yaml", {})


def test_with_these_places_it_is_accepted() -> None:
    for auth, more in ((_AC, "database: sqlite:///g.db\nadmin: {}"), (_DEVICE, "database: sqlite:///g.db")):
        assert load.parse(file(auth, more), "yaml", "gateway.yaml", {}).connections[0].auth.has_tokens
