"""Who gets in: table-driven over the OpenAPI document, so that no route can be forgotten."""

from __future__ import annotations

import io
import re
import socket
import time

import pytest
from admin.conftest import EMAIL, PASSWORD, Api

from gateway.api.table import ROUTES
from gateway.identity.tokens import mint
from gateway.store.errors import StoreUnavailable

OPEN = {
    ("post", "/auth/login"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/openapi.json"),
    ("get", "/oauth/callback"),  # a browser comes with a state
}
OPEN = {(method, f"/api/gateway{path}") for method, path in OPEN}
OPEN |= {("get", "/health"), ("get", "/api/v1/system/health")}
CODES = {401: {"unauthenticated", "auth.unauthenticated"}, 403: {"forbidden", "auth.forbidden"}}


async def operations(api: Api) -> list[tuple[str, str]]:
    document = (await api.call("GET", "/openapi.json", token="")).body
    assert document["openapi"] == "3.1.0"
    return [(method, path) for path, methods in document["paths"].items() for method in methods]


@pytest.mark.covers("T047")
async def test_every_route_is_closed_to_who_is_no_superuser(api: Api) -> None:
    revoked = await api.make_token(superuser=True)
    await api.store.tokens.delete((await api.store.tokens.list())[-1].id, "test")
    callers = {
        "": 401,
        "nonsense": 401,
        mint(): 401,
        revoked: 401,
        await api.make_token(superuser=True, expires_at=time.time() - 1): 401,
        await api.make_token(): 403,
    }
    found = await operations(api)
    assert len(found) == len(ROUTES)
    for method, path in found:
        if (method, path) in OPEN:
            continue
        for token, status in callers.items():
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            answer = await api.send(method.upper(), re.sub(r"\{\w+\}", "x", path), {}, headers)
            assert answer.status == status, (method, path, token[:4])
            code = answer.body["error"]["code"] if answer.body.get("success") is False else answer.body["code"]
            assert code == "FORBIDDEN" or code in CODES[status]
            assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    assert api.plane.applies == 0


async def test_a_token_ends_by_the_clock(api: Api) -> None:
    token = await api.make_token(superuser=True, expires_at=api.clock.now + 10)
    assert (await api.call("GET", "/tokens", token=token)).status == 200
    api.clock.now += 10
    assert (await api.call("GET", "/tokens", token=token)).status == 401


async def test_login_and_logout(api: Api) -> None:
    session = await api.call("POST", "/auth/login", {"email": EMAIL.upper(), "password": PASSWORD}, token="")
    assert session.status == 200
    token = session.body["token"]
    assert (await api.call("GET", "/superusers", token=token)).body["items"][0]["email"] == EMAIL
    assert (await api.call("POST", "/auth/logout", token=token)).status == 204
    assert (await api.call("GET", "/superusers", token=token)).status == 401


async def test_a_login_ends_by_itself(api: Api) -> None:
    session = await api.call("POST", "/auth/login", {"email": EMAIL, "password": PASSWORD}, token="")
    api.clock.now += 600
    assert (await api.call("GET", "/superusers", token=session.body["token"])).status == 401


async def test_a_wrong_password_and_an_unknown_email_are_answered_alike(api: Api) -> None:
    answers = [
        await api.call("POST", "/auth/login", {"email": email, "password": password}, token="")
        for email, password in ((EMAIL, "wrong password"), ("nobody@example.org", PASSWORD), ("not an email", PASSWORD))
    ]
    assert [(a.status, a.body["details"]) for a in answers] == [(401, "The email or the password is wrong")] * 3
    rows = (await api.store.audit.list())[0]
    assert [row.subject for row in rows if row.action == "login.failed"] == ["unknown", "unknown", EMAIL]
    assert {row.client for row in rows if row.action == "login.failed"} == {"127.0.0.1"}
    assert PASSWORD not in str(rows)


@pytest.mark.parametrize("header", ["Basic cm9vdDp4", "Bearer", "", "bearer  "])
async def test_other_schemes_prove_nothing(api: Api, header: str) -> None:
    assert (await api.call("GET", "/proxies", token="", Authorization=header)).status == 401


async def test_a_foreign_name_is_not_answered(api: Api) -> None:
    """DNS rebinding: a page of a stranger's that resolves its own name to this machine."""
    answer = await api.call("GET", "/healthz", Host="evil.example")
    assert (answer.status, answer.body["code"]) == (421, "misdirected")
    for host in ("localhost", "127.0.0.1:99", "[::1]:99"):
        assert (await api.call("GET", "/healthz", Host=host)).status == 200


async def test_health_tells_strangers_no_details(api: Api) -> None:
    """Versions, generations and errors help who looks for a weakness; an orchestrator reads the status alone."""
    metrics_reader = (await api.call("POST", "/tokens", {"name": "m", "metrics": True})).body["token"]
    for token in ("", "nonsense", mint(), metrics_reader, await api.make_token()):
        assert (await api.call("GET", "/healthz", token=token)).body == {"status": "healthy"}
        assert (await api.call("GET", "/readyz", token=token)).body == {"status": "ready"}
    assert (await api.call("GET", "/healthz")).body == {"status": "healthy", "version": "1"}
    assert (await api.call("GET", "/readyz")).body == {"status": "ready", "generation": api.plane.applies}
    api.plane.error = "no configuration"
    answer = await api.call("GET", "/readyz", token="")
    assert (answer.status, answer.body) == (503, {"status": "not ready"})
    assert (await api.call("GET", "/readyz")).body["status"] == "not ready"


async def test_health_is_told_while_the_database_is_away(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away() -> int:
        raise StoreUnavailable("the database cannot be reached")

    monkeypatch.setattr(api.store, "revision", away)
    for path, body in (("/healthz", {"status": "healthy"}), ("/readyz", {"status": "ready"})):
        answer = await api.call("GET", path)
        assert (answer.status, answer.body) == (200, body)


async def test_every_answer_is_ours(api: Api) -> None:
    for method, path, status, code in (
        ("GET", "/nothing", 404, "not_found"),
        ("PUT", "/proxies", 405, "method_not_allowed"),
        ("GET", "/proxies", 200, ""),
    ):
        answer = await api.call(method, path, X_Request_Id="abc")
        assert answer.status == status
        assert answer.headers["X-Request-Id"] == "abc"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Server"] == "breakwater"
        assert answer.headers.get("X-Gateway-Reason", "") == code
        if code:
            assert answer.body["request_id"] == "abc"
    assert "GET" in (await api.call("PUT", "/proxies")).headers["Allow"]


async def test_a_body_that_is_too_large(api: Api) -> None:
    headers = {"Authorization": f"Bearer {api.token}", "Content-Type": "application/json"}
    body = io.BytesIO(b'{"value": "' + b"x" * (1 << 20) + b'"}')
    async with api.session.put(f"{api.base}/api/gateway/secrets/K", data=body, headers=headers) as answer:
        told = await answer.json()
    assert (answer.status, told["code"]) == (413, "content_too_large")


@pytest.mark.parametrize(
    ("body", "kind", "status", "hint"),
    [
        (b'{"a": 1', "application/json", 400, "line 1, column"),
        (b"[]", "application/json", 400, "must be a JSON object"),
        (b"", "application/json", 400, "the body is empty"),
        (b"{}", "text/plain", 415, "Content-Type: application/json"),
    ],
)
async def test_bodies_that_are_no_json(api: Api, body: bytes, kind: str, status: int, hint: str) -> None:
    headers = {"Authorization": f"Bearer {api.token}", "Content-Type": kind}
    async with api.session.post(f"{api.base}/api/gateway/tokens", data=body, headers=headers) as answer:
        told = await answer.json()
    assert (answer.status, hint in told["details"]) == (status, True)


async def test_garbage_does_not_end_the_listener(api: Api) -> None:
    host, port = api.base.removeprefix("http://").split(":")
    for junk in (b"\x16\x03\x01\x00", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 50):
        with socket.create_connection((host, int(port)), 5) as raw:
            raw.sendall(junk)
    assert (await api.call("GET", "/healthz")).status == 200
