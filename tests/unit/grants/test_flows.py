"""Bodies against the examples of the RFCs, and what providers really send back."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from gateway.config.actions import OAuth
from gateway.grants import flows
from gateway.grants.errors import ProviderAwayError, ProviderRefusedError

OAUTH = OAuth("https://idp/token", "s6BhdRkqt3", "7Fjfp0ZBr1KtDRbnfVdmIw")
BASIC = "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3"  # RFC 6749 2.3.1 and 6


def test_the_requests_of_the_rfc() -> None:
    asked = flows.client_credentials(OAUTH)
    assert (asked.url, asked.body, asked.authorization) == ("https://idp/token", "grant_type=client_credentials", BASIC)
    asked = flows.refresh(OAUTH, "tGzv3JOkF0XG5Qx2TlKWIA")
    assert sorted(parse_qsl(asked.body)) == [
        ("grant_type", "refresh_token"),
        ("refresh_token", "tGzv3JOkF0XG5Qx2TlKWIA"),
    ]
    oauth = replace(OAUTH, redirect_uri="https://client.example.com/cb")
    asked = flows.code(oauth, "SplxlOBeZQQYbYS6WxSbIA", "verifier")
    assert dict(parse_qsl(asked.body)) == {
        "grant_type": "authorization_code",
        "code": "SplxlOBeZQQYbYS6WxSbIA",
        "redirect_uri": "https://client.example.com/cb",
        "code_verifier": "verifier",
    }
    assert asked.headers["Authorization"] == BASIC
    assert "7Fjfp" not in repr(asked)
    assert "Splx" not in repr(asked)


def test_quirks_of_providers_are_data() -> None:
    oauth = replace(OAUTH, client_auth="body", scopes=("a", "b"), scope_delimiter=",", token_params={"audience": "x&y"})
    asked = flows.client_credentials(oauth)
    assert asked.authorization == ""
    assert "Authorization" not in asked.headers
    assert dict(parse_qsl(asked.body)) == {
        "grant_type": "client_credentials",
        "scope": "a,b",
        "audience": "x&y",
        "client_id": "s6BhdRkqt3",
        "client_secret": "7Fjfp0ZBr1KtDRbnfVdmIw",
    }
    asked = flows.device_start(replace(oauth, client_auth="none", device_url="https://idp/device"))
    assert asked.url == "https://idp/device"
    assert dict(parse_qsl(asked.body)) == {"scope": "a,b", "audience": "x&y", "client_id": "s6BhdRkqt3"}
    odd = replace(OAUTH, client_id="a:b c", client_secret="ü%")
    assert b64decode(flows.refresh(odd, "r").authorization.removeprefix("Basic ")) == b"a%3Ab+c:%C3%BC%25"


def test_the_other_grants() -> None:
    asked = flows.device_poll(OAUTH, "code")
    assert dict(parse_qsl(asked.body)) == {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "device_code": "code",
    }
    asked = flows.assertion(OAuth("https://idp/token", client_auth="none", scopes=("a",)), "e.y.J")
    assert dict(parse_qsl(asked.body)) == {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": "e.y.J",
        "scope": "a",
    }
    asked = flows.revocation(replace(OAUTH, revoke_url="https://idp/revoke"), "t", "refresh_token")
    assert (asked.url, asked.body) == ("https://idp/revoke", "token=t&token_type_hint=refresh_token")


def test_the_page_to_agree_on_has_the_challenge_of_the_rfc() -> None:
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 appendix B
    oauth = replace(
        OAUTH,
        authorize_url="https://idp/authorize?tenant=x",
        redirect_uri="https://g/cb",
        scopes=("a",),
        authorize_params={"prompt": "consent"},
    )
    url = flows.authorize_url(oauth, "xyz", verifier)
    assert url.startswith("https://idp/authorize?tenant=x&")
    assert {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()} == {
        "tenant": "x",
        "response_type": "code",
        "client_id": "s6BhdRkqt3",
        "redirect_uri": "https://g/cb",
        "scope": "a",
        "state": "xyz",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
        "prompt": "consent",
    }
    assert "7Fjfp" not in url
    assert verifier not in url
    assert len(flows.new_verifier()) >= 43
    assert flows.new_verifier() != flows.new_verifier()


@pytest.mark.parametrize(
    ("text", "access", "refresh", "expires"),
    [
        ('{"access_token": "a", "token_type": "example", "expires_in": 60, "refresh_token": "r"}', "a", "r", 160.0),
        ('{"access_token": "a"}', "a", "", 3700.0),
        ('{"access_token": "a", "expires_in": "60", "refresh_token": null}', "a", "", 160.0),
        ('{"access_token": "a", "expires_in": 0}', "a", "", 3700.0),
        ('{"access_token": "a", "expires_in": -5}', "a", "", 3700.0),
        ("access_token=a&scope=repo%2Cgist&token_type=bearer", "a", "", 3700.0),
    ],
)
def test_tokens(text: str, access: str, refresh: str, expires: float) -> None:
    found = flows.tokens_in(text, OAUTH, 100.0)
    assert (found.access, found.refresh, found.issued, found.expires) == (access, refresh, 100.0, expires)


def test_a_token_without_an_end() -> None:
    assert flows.tokens_in('{"access_token": "a"}', replace(OAUTH, default_lifetime=0.0), 100.0).expires == 0.0


@pytest.mark.parametrize(
    ("text", "error", "ends"),
    [
        ('{"error": "invalid_grant", "error_description": "s3cret"}', "invalid_grant", True),
        ('{"ok": false, "error": "invalid_refresh_token"}', "invalid_refresh_token", True),
        ("error=bad_refresh_token&error_description=s3cret", "bad_refresh_token", True),
        ('{"error": "invalid_client"}', "invalid_client", False),
        ('{"error": "authorization_pending"}', "authorization_pending", False),
        ('{"error": "slow_down"}', "slow_down", False),
        ('{"error": "<script>s3cret"}', "an error that it does not name", False),
        ('{"error": {"code": 7}}', "an error that it does not name", False),
        ('{"access_token": "a", "token_type": "DPoP"}', "token_type", False),
    ],
)
def test_an_error_counts_whatever_the_status_was(text: str, error: str, ends: bool) -> None:
    with pytest.raises(ProviderRefusedError) as caught:
        flows.tokens_in(text, OAUTH, 100.0)
    assert (caught.value.error, caught.value.ends_grant) == (error, ends)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '"a"',
        "null",
        "7",
        "<html>s3cret</html>",
        "[" * 100_000,
        '{"access_token": ""}',
        '{"access_token": 7}',
        '{"access_token": "s3cret\\r\\nX: y"}',
        '{"access_token": "s3cret \\u00e9"}',
        json.dumps({"access_token": "s3cret" * 5000}),
        '{"access_token": "a", "refresh_token": ["s3cret"]}',
        '{"error": "temporarily_unavailable"}',
        '{"error": "server_error"}',
        '{"access_token": "a", "expires_in": "never"}',
    ],
)
def test_what_is_no_response_may_be_one_later(text: str) -> None:
    with pytest.raises(ProviderAwayError) as caught:
        flows.tokens_in(text, OAUTH, 100.0)
    assert "s3cret" not in str(caught.value)


def test_a_code_for_a_device() -> None:
    found = flows.device_code_in(
        '{"device_code": "d", "user_code": "AB-CD", "verification_uri": "https://idp/d", "expires_in": 600}', OAUTH
    )
    assert found == flows.DeviceCode("d", "AB-CD", "https://idp/d", "", 600.0, 5.0)
    assert "'d'" not in repr(found)
    found = flows.device_code_in(
        '{"device_code": "d", "user_code": "A", "verification_url": "u", "verification_uri_complete": "c", '
        '"interval": 0.1}',
        OAUTH,
    )
    assert (found.verification_uri, found.verification_uri_complete) == ("u", "c")
    assert (found.expires_in, found.interval) == (1800.0, 1.0)
    with pytest.raises(ProviderRefusedError, match="invalid_client"):
        flows.device_code_in('{"error": "invalid_client"}', OAUTH)
    for text in ("", "[]", "7", "{}", '{"device_code": 7, "user_code": "A", "verification_uri": "u"}'):
        with pytest.raises(ProviderAwayError):
            flows.device_code_in(text, OAUTH)


def test_a_revocation_that_is_refused() -> None:
    for text in ('{"error": "invalid_client"}', "error=invalid_client"):
        with pytest.raises(ProviderRefusedError, match="refuses: invalid_client"):
            flows.check_revoked(text)
    for text in ("", "{}", "[]", "null", "done"):
        flows.check_revoked(text)
