"""Superusers, tokens, secrets and the audit trail over the API."""

from __future__ import annotations

import logging

import pytest
from admin.conftest import PASSWORD, Api

SECRET = "sk-live-abcdefgh-5678"


async def test_superusers(api: Api) -> None:
    made = await api.call("POST", "/superusers", {"email": "Two@Example.org", "password": "another password"})
    assert (made.status, made.body["email"]) == (201, "two@example.org")
    again = await api.call("POST", "/superusers", {"email": "two@example.org", "password": "another password"})
    assert again.body["code"] == "already_exists"
    emails = [s["email"] for s in (await api.call("GET", "/superusers")).body["items"]]
    assert emails == ["root@example.org", "two@example.org"]
    assert (await api.call("DELETE", f"/superusers/{made.body['id']}")).status == 204
    last = (await api.call("GET", "/superusers")).body["items"][0]["id"]
    assert (await api.call("DELETE", f"/superusers/{last}")).body["code"] == "last_superuser"
    assert (await api.call("DELETE", "/superusers/none")).status == 404


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"email": "x", "password": "long enough"}, "email"),
        ({"email": "a@b.org", "password": "short"}, "password"),
        ({"email": "a@b.org"}, "password"),
        ({"email": "a@b.org", "password": 5}, "password"),
        ({"email": "a@b.org", "password": "long enough", "admin": True}, "admin"),
    ],
)
async def test_superusers_that_can_not_be(api: Api, body: dict[str, object], path: str) -> None:
    answer = await api.call("POST", "/superusers", body)
    assert (answer.status, [f["path"] for f in answer.body["fields"]]) == (400, [path])


async def test_a_token_is_shown_once_and_revoked_at_once(api: Api) -> None:
    body = {"name": "ci", "superuser": True, "expires_in": 60, "claims": {"role": "admin"}}
    made = await api.call("POST", "/tokens", body)
    token = made.body["token"]
    assert (await api.call("GET", "/proxies", token=token)).status == 200
    listed = (await api.call("GET", "/tokens")).body["items"]
    shown = next(t for t in listed if t["name"] == "ci")
    assert (shown["claims"], shown["superuser"]) == ({"role": "admin"}, True)
    assert token not in api.texts[-1]
    applied = api.plane.applies
    assert (await api.call("DELETE", f"/tokens/{made.body['id']}")).status == 204
    assert (await api.call("GET", "/proxies", token=token)).status == 401
    assert api.plane.applies == applied + 1
    assert (await api.call("DELETE", f"/tokens/{made.body['id']}")).status == 404
    assert [row["actor"] for row in (await api.call("GET", "/audit")).body["items"][:2]] == ["token:t"] * 2


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"expires_in": 0.5}, "expires_in"),
        ({"expires_in": -1}, "expires_in"),
        ({"expires_in": 1e12}, "expires_in"),
        ({"claims": {"id": "x"}}, "claims"),
        ({"claims": {"x": "y" * 10_000}}, "claims"),
        ({"claims": []}, "claims"),
    ],
)
async def test_tokens_that_can_not_be(api: Api, change: dict[str, object], path: str) -> None:
    answer = await api.call("POST", "/tokens", {"name": "x"} | change)
    assert (answer.status, [f["path"] for f in answer.body["fields"]]) == (400, [path])


async def test_secrets(api: Api) -> None:
    put = await api.call("PUT", "/secrets/KEY", {"value": SECRET, "description": "upstream"})
    assert (put.status, put.body["masked_value"], put.body["version"]) == (200, "****5678", 1)
    proxy = {"name": "p", "path": "/p", "upstream": "http://h", "headers": {"X-Key": "{secret.KEY}"}}
    assert (await api.call("POST", "/proxies", proxy)).status == 201
    assert (await api.call("GET", "/secrets/KEY")).body["used_by"] == ["p"]
    assert (await api.call("GET", "/secrets")).body["items"][0]["description"] == "upstream"
    kept = await api.call("DELETE", "/secrets/KEY")
    assert (kept.status, kept.body["code"], "p" in kept.body["details"]) == (409, "in_use", True)
    assert (await api.call("DELETE", "/secrets/KEY?force=true")).status == 200
    assert (await api.call("DELETE", "/secrets/KEY")).status == 404
    assert (await api.call("GET", "/secrets/KEY")).status == 404


@pytest.mark.parametrize(
    ("key", "value", "path"),
    [
        ("1A", SECRET, "key"),
        ("a-b", SECRET, "key"),
        ("A" * 257, SECRET, "key"),
        ("A", "", "value"),
        ("A", "x" * 4097, "value"),
        ("A", SECRET + "\n", "value"),
        ("A", "\u20ac" * 2000, "value"),
    ],
)
async def test_secrets_that_can_not_be(api: Api, key: str, value: str, path: str) -> None:
    answer = await api.call("PUT", f"/secrets/{key}", {"value": value})
    assert (answer.status, [f["path"] for f in answer.body["fields"]]) == (400, [path])


async def test_no_secret_and_no_credential_shows_anywhere(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await api.call("PUT", "/secrets/KEY", {"value": SECRET})
    await api.call("PUT", "/secrets/KEY", {"value": SECRET, "colour": SECRET})
    await api.call("PUT", "/secrets/KEY", {"value": [SECRET]})
    await api.call("POST", "/superusers", {"email": SECRET, "password": PASSWORD})
    await api.call("POST", "/auth/login", {"email": "root@example.org", "password": PASSWORD + "x"})
    await api.call("POST", "/auth/login", {"email": PASSWORD, "password": "x"})
    bad = {"name": "p", "path": "/p", "upstream": f"http://u:{SECRET}@h", "headers": {"X-Key": SECRET}}
    await api.call("POST", "/proxies", bad)
    await api.call("POST", "/proxies", {"name": SECRET * 9, "path": SECRET, "upstream": SECRET})
    for path in ("/secrets", "/secrets/KEY", "/audit", "/proxies", "/tokens", "/superusers", "/openapi.json"):
        await api.call("GET", path)
    seen = "\n".join(api.texts) + caplog.text
    for hidden in (SECRET, PASSWORD, api.token, "$argon2"):
        assert hidden not in seen
