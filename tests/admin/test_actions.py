"""Connections and actions over the API: lists, calls, errors, and a caller who leaves."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from admin.conftest import GET_USER, GITHUB, Api
from harness.patience import eventually

from gateway.ipc.calls import AdHoc, Asked, Called, Failure

TRN = quote(GET_USER["trn"], safe="")
CONNECTION = quote(GITHUB["trn"], safe="")
JSON = [("Content-Type", "application/json; charset=utf-8")]


def responds(body: bytes = b"{}", headers: list[tuple[str, str]] = JSON, status: int = 200, **more: Any) -> Any:
    def ending(asked: Asked) -> Called:
        made: Called = {
            "action": GET_USER["trn"],
            "request_id": asked.request_id,
            "failure": None,
            "planned": None,
            "status": status,
            "headers": headers,
            "body": body,
            "attempts": 1,
            "seconds": 0.25,
        }
        return made | more  # type: ignore[return-value]

    return ending


def fails(code: str, status: int, **more: Any) -> Any:
    failure: Failure = {"status": status, "code": code, "title": "A title", "message": "A sentence"}
    return responds(failure=failure | more)


@pytest.mark.parametrize("name", ["get-user", TRN])
async def test_an_action_by_name_and_by_trn(api: Api, name: str) -> None:
    shown = (await api.call("GET", f"/actions/{name}")).body
    assert (shown["trn"], shown["input_schema_digest"][:7]) == (GET_USER["trn"], "sha256:")
    assert (await api.call("GET", f"/actions/{name}/schema")).body == {"type": "object"}
    assert (await api.call("GET", "/actions")).body == {"items": [shown], "page": 1, "per_page": 50, "total": 1}


@pytest.mark.parametrize("name", ["github", CONNECTION])
async def test_a_connection_by_name_and_by_trn(api: Api, name: str) -> None:
    shown = {**GITHUB, "record": None}
    assert (await api.call("GET", f"/connections/{name}")).body == shown
    assert (await api.call("GET", "/connections")).body == {"items": [shown], "page": 1, "per_page": 50, "total": 1}


@pytest.mark.covers("ACT-04")
@pytest.mark.parametrize("path", ["/actions/no", f"/actions/{TRN}?tenant=b", f"/actions/{TRN}/schema?tenant=b"])
async def test_what_belongs_to_another_tenant_is_not_there(api: Api, path: str) -> None:
    answer = await api.call("GET", path)
    assert (answer.status, answer.body["code"]) == (404, "not_found.action")
    assert answer.body["message"] == answer.body["details"]
    connection = path.replace("action", "connection").replace("/schema", "")
    assert (await api.call("GET", connection)).status == 404
    assert (await api.call("GET", connection.replace("?", "/status?"))).status == 404


async def test_a_version_that_is_not_there_is_named(api: Api) -> None:
    answer = await api.call("GET", "/actions/get-user?version=7")
    assert answer.body["details"] == "there is no action get-user of version 7; gateway action list shows them"
    answer = await api.call("GET", "/actions/no?version=latest")
    assert answer.body["details"] == "there is no action no; gateway action list shows them"


@pytest.mark.parametrize(
    ("route", "says"),
    [
        ("authorize", "needs no person to agree; that is for oauth2_authorization_code and oauth2_device"),
        ("revoke", "gets no tokens that could be revoked; that is for oauth2_* and jwt"),
    ],
)
async def test_a_connection_without_tokens_says_which_have_some(api: Api, route: str, says: str) -> None:
    answer = await api.call("POST", f"/connections/{CONNECTION}/{route}", {})
    assert (answer.status, answer.body["code"]) == (409, "not_interactive")
    assert answer.body["details"] == f"github has auth bearer, which {says}"


@pytest.mark.covers("ACT-06")
async def test_a_call_and_its_response(api: Api) -> None:
    api.plane.ending = responds(b'{"login": "x"}')
    body = {"input": {"login": "x"}, "options": {"timeout_ms": 1500}}
    answer = await api.call("POST", f"/actions/{TRN}/execute", body, X_Request_Id="mine")
    assert answer.status == 200
    assert answer.body == {
        "status": 200,
        "headers": [list(field) for field in JSON],
        "body": {"login": "x"},
        "body_encoding": "json",
        "action_trn": GET_USER["trn"],
        "request_id": "mine",
        "attempts": 1,
        "execution_time_ms": 250.0,
    }
    assert api.plane.called == [Asked("default", GET_USER["trn"], {"login": "x"}, None, 1.5, False, "mine")]


async def test_the_same_call_with_its_name_in_the_body(api: Api) -> None:
    api.plane.ending = responds()
    assert (await api.call("POST", "/execute", {"action_trn": "get-user", "input": {"a": 1}})).status == 200
    (asked,) = api.plane.called
    assert (asked.action, asked.input, asked.tenant) == ("get-user", {"a": 1}, "default")


@pytest.mark.covers("ACT-08")
async def test_a_call_without_a_stored_action(api: Api) -> None:
    api.plane.ending = responds()
    body = {"connection_trn": "github", "method": "POST", "path": "/x", "query": {"q": "1"}, "body": [1]}
    assert (await api.call("POST", "/execute/adhoc?tenant=b", body)).status == 200
    (asked,) = api.plane.called
    assert (asked.tenant, asked.adhoc) == ("b", AdHoc("github", "POST", "/x", {}, {"q": "1"}, [1]))


@pytest.mark.parametrize(
    ("body", "headers", "shown", "encoding"),
    [
        (b"plain", [("content-type", "text/plain")], "plain", "text"),
        (b"\xff\x00", [], b64encode(b"\xff\x00").decode(), "base64"),
        (b"{broken", JSON, "{broken", "text"),
        (b"{}", [*JSON, ("Content-Encoding", "gzip")], b64encode(b"{}").decode(), "base64"),
        (b'{"a":1}', [("Content-Type", "application/problem+json")], {"a": 1}, "json"),
        (b"", JSON, "", "text"),
        (b'"' + b"a" * 300_000 + b'"', JSON, "a" * 300_000, "json"),
    ],
)
async def test_the_forms_of_a_body(
    api: Api, body: bytes, headers: list[tuple[str, str]], shown: object, encoding: str
) -> None:
    api.plane.ending = responds(body, headers, 404)
    answer = await api.call("POST", "/execute", {"action_trn": "get-user"})
    assert (answer.status, answer.body["status"]) == (200, 404), "any response of the upstream is a result"
    assert (answer.body["body"], answer.body["body_encoding"]) == (shown, encoding)


async def test_a_dry_run(api: Api) -> None:
    planned = {"method": "GET", "url": "https://x/", "headers": [], "body": "", "warnings": ["a"]}
    api.plane.ending = responds(planned=planned)
    answer = await api.call("POST", "/execute", {"action_trn": "get-user", "options": {"dry_run": True}})
    assert answer.body["request"] == planned
    assert api.plane.called[0].dry_run


@pytest.mark.covers("ACT-05")
async def test_errors_are_those_of_the_table(api: Api) -> None:
    api.plane.ending = fails("concurrency_limit", 429, retry_after=3)
    answer = await api.call("POST", "/execute", {"action_trn": "get-user"})
    assert (answer.status, answer.body["code"], answer.headers["Retry-After"]) == (429, "concurrency_limit", "3")
    assert (answer.body["error"], answer.body["message"]) == ("A title", "A sentence")
    api.plane.ending = fails("validation.invalid_input", 400, fields=[("login", "is missing")])
    answer = await api.call("POST", "/execute", {"action_trn": "get-user"})
    assert answer.body["fields"] == [{"path": "login", "message": "is missing"}]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"action_trn": ""},
        {"action_trn": "a", "input": []},
        {"action_trn": "a", "options": {"timeout_ms": -1}},
        {"action_trn": "a", "other": 1},
    ],
)
async def test_a_wrong_body(api: Api, body: dict[str, object]) -> None:
    answer = await api.call("POST", "/execute", body)
    assert (answer.status, answer.body["code"]) == (400, "validation")
    assert api.plane.called == []


@pytest.mark.parametrize(
    "path", ["/execute", "/execute/adhoc", "/actions/get-user/execute", "/connections/github/test"]
)
async def test_calls_are_for_superusers(api: Api, path: str) -> None:
    token = await api.make_token()
    body = {"action_trn": "get-user", "connection_trn": "github"}
    assert (await api.call("POST", path, body, token=token)).status == 403
    assert (await api.call("POST", path, body, token="")).status == 401
    assert api.plane.called == []


async def test_a_caller_who_leaves_ends_the_call(api: Api) -> None:
    api.plane.ending = None
    task = asyncio.create_task(api.call("POST", "/execute", {"action_trn": "get-user"}))
    await eventually(lambda: len(api.plane.called) == 1, "the call runs")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: api.plane.given_up == 1, "the call is given up")


async def test_a_caller_who_leaves_a_long_body_ends_the_call_while_the_third_party_stalls(api: Api) -> None:
    api.plane.ending = responds(bytes(1000), rest="the rest")
    headers = {"Authorization": f"Bearer {api.token}"}
    url = f"{api.base}/api/gateway/execute?raw=true"
    async with api.session.post(url, json={"action_trn": "get-user"}, headers=headers) as response:
        assert await response.content.readexactly(1000) == bytes(1000)
        await eventually(lambda: api.plane.pieces == 1, "the next piece is waited for")
        response.close()
    await eventually(lambda: api.plane.given_up == 1, "the call is given up")
    await eventually(lambda: api.plane.left == ["the rest"], "the body is left")


async def old_client(api: Api) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """One of HTTP/1.0 that has sent a call, whose long response it wants as it came."""
    url = urlsplit(api.base)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    body = b'{"action_trn": "get-user"}'
    lines = ("Host: localhost", f"Authorization: Bearer {api.token}", "Content-Type: application/json")
    head = "\r\n".join(("POST /api/gateway/execute?raw=true HTTP/1.0", *lines, f"Content-Length: {len(body)}"))
    writer.write(f"{head}\r\n\r\n".encode() + body)
    return reader, writer


@pytest.mark.covers("ACT-46")
async def test_a_client_that_could_not_see_a_body_break_off_gets_it_whole_or_not_at_all(api: Api) -> None:
    """One of HTTP/1.0, for which a body without a length is whole at the end of its connection."""
    cut: Failure = {"status": 502, "code": "upstream_reset", "title": "A title", "message": "A sentence"}
    for failure in (None, cut):
        api.plane.ending = responds(b"first ", [], rest="the rest")
        api.plane.following = [
            {"data": b"second", "done": False, "failure": None},
            {"data": b"", "done": True, "failure": failure},
        ]
        reader, writer = await old_client(api)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        assert b"\r\nContent-Length: %d" % len(body) in head
        if failure is None:
            assert (head[:12], body) == (b"HTTP/1.0 200", b"first second")
        else:
            assert (head[:12], json.loads(body)["code"]) == (b"HTTP/1.0 502", "upstream_reset")
    api.plane.ending = responds(b"first ", [], rest="another")
    reader, writer = await old_client(api)
    await eventually(lambda: api.plane.pieces == 1, "the rest is waited for")
    writer.transport.abort()
    await eventually(lambda: api.plane.left == ["another"], "the body is left")


@pytest.mark.covers("ACT-19")
@pytest.mark.parametrize("reached", [True, False])
async def test_a_test_of_a_connection(api: Api, reached: bool) -> None:
    api.plane.ending = responds(status=401) if reached else fails("dial_failed", 502)
    answer = await api.call("POST", "/connections/github/test", {})
    assert answer.status == 200
    assert (answer.body["reached"], answer.body["code"]) == (reached, "" if reached else "dial_failed")
    (asked,) = api.plane.called
    assert asked.adhoc == AdHoc(GITHUB["trn"], "GET", "", test=True)


@pytest.mark.covers("ACT-36")
async def test_the_tools_of_a_server(api: Api) -> None:
    listed = [
        {"name": "add", "title": "Add", "description": "Add two", "inputSchema": {"type": "object"}, "annotations": {}},
        {"name": "bad", "title": 5, "inputSchema": True},
    ]
    api.plane.ending = responds(json.dumps({"tools": listed}).encode(), action=GITHUB["trn"])
    expected = {
        "trn": GITHUB["trn"],
        "items": [
            {"name": "add", "title": "Add", "description": "Add two", "input_schema": {"type": "object"}},
            {"name": "bad", "title": "", "description": "", "input_schema": None},
        ],
        "total": 2,
    }
    for name in ("github", CONNECTION):
        answer = await api.call("GET", f"/connections/{name}/tools", X_Request_Id="mine")
        assert (answer.status, answer.body) == (200, expected)
        assert api.plane.called[-1].adhoc == AdHoc(GITHUB["trn"], tools=True)
        assert api.plane.called[-1].request_id == "mine"
    assert (await api.call("GET", "/connections/github/tools?tenant=b")).status == 404
    assert (await api.call("GET", "/connections/github/tools", token=await api.make_token())).status == 403
    assert len(api.plane.called) == 2


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (401, b"<html>", "status 401"),
        (401, b"[]", "status 401"),
        (502, b'{"error": null}', "status 502"),
        (502, b'{"error": {"code": "x"}}', "status 502"),
        (400, b'{"error": {"code": -32601, "message": "no such\\u001bmethod"}}', "the error -32601 (no such method)"),
    ],
)
async def test_a_server_that_lists_no_tools(api: Api, status: int, body: bytes, says: str) -> None:
    api.plane.ending = responds(body, status=status)
    answer = await api.call("GET", "/connections/github/tools")
    assert (answer.status, answer.body["code"]) == (502, "upstream_bad_response")
    assert f"it responds with {says}; see its log" in answer.body["message"]


async def test_a_list_of_tools_that_fails(api: Api) -> None:
    api.plane.ending = fails("breaker_open", 503, retry_after=7)
    answer = await api.call("GET", "/connections/github/tools")
    assert (answer.status, answer.body["code"], answer.body["retry_after"]) == (503, "breaker_open", 7)


async def test_two_of_one_name_are_told_apart_by_trn(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def two(tenant: str) -> list[Any]:
        return [GET_USER, GET_USER | {"trn": GET_USER["trn"].replace("/http/", "/sql/"), "connector": "sql"}]

    monkeypatch.setattr(api.plane, "actions", two)
    answer = await api.call("GET", "/actions/get-user")
    assert (answer.status, answer.body["code"]) == (409, "conflict.action")
    assert (await api.call("GET", f"/actions/{TRN}")).status == 200
