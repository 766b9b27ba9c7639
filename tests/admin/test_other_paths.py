"""The other paths to named calls: the forms of their requests, results and errors; and what one call may ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from admin.conftest import GET_USER, GITHUB, Answer, Api
from admin.test_actions import JSON, fails, responds
from harness.patience import eventually

from gateway.config.actions import Pagination
from gateway.ipc.calls import AdHoc, Asked, Called, Overrides

TRN = quote(GET_USER["trn"], safe="")
DUPLICATES = [*JSON, ("X-A", "1"), ("x-a", "2"), ("Set-Cookie", "a=1"), ("set-cookie", "b=2")]
MAPPED = {"content-type": JSON[0][1], "x-a": "1, 2", "set-cookie": ["a=1", "b=2"]}


async def send(api: Api, method: str, path: str, body: object = None, **headers: str) -> Answer:
    given = {"Authorization": f"Bearer {api.token}", "X-Request-Id": "id"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.send(method, path, body, given)


@pytest.mark.covers("ACT-31", "ACT-37")
@pytest.mark.parametrize("word", ["tasks", "actions"])
async def test_a_call_of_a_task(api: Api, word: str) -> None:
    api.plane.ending = responds(b'{"a":1}', DUPLICATES, 404)
    answer = await send(api, "POST", f"/api/v1/{word}/{TRN}/execute", {"input": {"x": 1}})
    assert (answer.status, answer.body) == (200, {"status": 404, "headers": MAPPED, "body": {"a": 1}})
    for output, shown in (("status-only", {"status": 404}), ("body-only", {"body": {"a": 1}})):
        answer = await send(api, "POST", "/api/v1/execute", {"action_trn": "get-user", "output": output})
        assert answer.body == shown
    answer = await send(api, "POST", f"/api/v1/{word}/{TRN}/execute", {"output": "headers-only"})
    assert answer.body == {"headers": MAPPED}


@pytest.mark.covers("ACT-07")
async def test_overrides_of_a_task(api: Api) -> None:
    api.plane.ending = responds()
    overrides = {"method": "PUT", "endpoint": "/x", "headers": {"A": "b"}, "query": {"q": "1"}, "body": {"c": [1]}}
    retry = {"retry_policy": {"max_retries": 7}}
    assert (await send(api, "POST", f"/api/v1/tasks/{TRN}/execute", {"overrides": overrides | retry})).status == 200
    (asked,) = api.plane.called
    assert asked.overrides is not None
    assert asked.overrides.retry is not None
    assert asked.overrides.retry.retries == 7
    assert asked.overrides == Overrides("PUT", "/x", {"A": "b"}, {"q": "1"}, {"c": [1]}, asked.overrides.retry)


@pytest.mark.covers("ACT-08")
async def test_a_call_without_a_stored_task(api: Api) -> None:
    api.plane.ending = responds()
    body = {"connection_trn": "github", "method": "POST", "endpoint": "/x", "body": "text", "output": "status-only"}
    answer = await send(api, "POST", "/api/v1/execute/adhoc", body)
    assert (answer.status, answer.body) == (200, {"status": 200})
    assert api.plane.called[0].adhoc == AdHoc("github", "POST", "/x", {}, {}, "text")


async def test_lists_of_tasks(api: Api) -> None:
    shown = (await api.call("GET", "/actions/get-user")).body
    for path, total, items in (
        ("tasks", 1, [shown]),
        ("tasks?pattern=user", 1, [shown]),
        ("tasks?pattern=order", 0, []),
        ("tasks?limit=1&offset=0", 1, [shown]),
        ("tasks?limit=1&offset=1", 1, []),
        ("actions?connector=sql", 0, []),
        ("tasks?connection=github", 1, [shown]),
        (f"tasks?connection={quote(GITHUB['trn'])}", 1, [shown]),
        ("tasks?connection=hub", 0, []),
        ("connections?pattern=hub", 1, [GITHUB | {"record": None}]),
        ("connections?connector=sql", 0, []),
    ):
        answer = await send(api, "GET", f"/api/v1/{path}")
        assert (answer.status, answer.body) == (200, {"items": items, "total": total}), path


@pytest.mark.covers("ACT-31")
async def test_a_call_in_an_envelope(api: Api) -> None:
    api.plane.ending = responds(b'{"a":1}', DUPLICATES, 404)
    answer = await send(api, "POST", f"/actions/{TRN}/execute", {"input": {}})
    metadata = {"request_id": "id", "execution_time_ms": 250.0, "action_trn": GET_USER["trn"], "version": 1}
    assert answer.body == {
        "success": True,
        "data": {"status": 404, "headers": MAPPED, "body": {"a": 1}},
        "metadata": metadata | {"attempts": 1},
    }
    planned = {"method": "GET", "url": "https://x/", "headers": [], "body": "", "warnings": ["careful"]}
    api.plane.ending = responds(planned=planned)
    answer = await send(api, "POST", "/execute", {"action_trn": GET_USER["trn"], "options": {"dry_run": True}})
    assert answer.body["data"] == {"dry_run": True, "request": planned}
    assert answer.body["metadata"]["warnings"] == ["this was a dry run: nothing was sent", "careful"]


async def test_lists_in_envelopes(api: Api) -> None:
    shown = (await api.call("GET", "/actions/get-user")).body
    answer = await send(api, "GET", "/actions?kind=http&q=get&page=1&page_size=5")
    assert answer.body["data"] == {"items": [shown], "total": 1, "page": 1, "page_size": 5}
    assert (await send(api, "GET", "/actions?page=2")).body["data"]["items"] == []
    assert (await send(api, "GET", f"/actions/{TRN}/schema")).body["data"] == {"type": "object"}
    assert (await send(api, "GET", "/actions", X_Tenant="b")).body["data"]["total"] == 0


@pytest.mark.covers("ACT-34")
async def test_kinds_have_the_schemas_of_their_connections_and_actions(api: Api) -> None:
    found = (await send(api, "GET", "/kinds")).body["data"]["items"]
    keys = {
        "http": ("base_url", "path"),
        "mcp": ("base_url", "tool"),
        "mongodb": ("url", "collection"),
        "redis": ("url", "command"),
        "sql": ("url", "statement"),
    }
    assert [kind["name"] for kind in found] == sorted(keys)
    for kind in found:
        of_connection, of_action = keys[kind["name"]]
        assert of_connection in kind["connection_schema"]["properties"]
        assert of_action in kind["action_schema"]["properties"]
        assert kind["description"]
    assert (await api.call("GET", "/kinds")).body == {"items": found, "total": len(keys)}


@pytest.mark.covers("ACT-28")
async def test_the_state_of_the_system(api: Api) -> None:
    assert (await send(api, "GET", "/api/v1/system/health")).body["status"] == "ready"
    assert (await api.send("GET", "/health", None, {})).body["data"] == {"status": "ready"}
    stats = await send(api, "GET", "/api/v1/system/stats")
    assert stats.body == {"connections": 1, "actions": 1, "idempotency_keys": 0}
    api.plane.error = "no configuration"
    answer = await send(api, "GET", "/health")
    assert (answer.status, answer.body["success"]) == (503, False)


ERRORS: Mapping[str, tuple[Any, int, str, str]] = {
    "input": (fails("validation.invalid_input", 400), 400, "validation.invalid_input", "INVALID_INPUT"),
    "forbidden": (fails("forbidden.action", 403), 403, "forbidden.action", "FORBIDDEN"),
    "missing": (fails("not_found.action", 404), 404, "not_found.action", "NOT_FOUND"),
    "conflict": (fails("conflict.action", 409), 409, "conflict.action", "CONFLICT"),
    "busy": (fails("concurrency_limit", 429, retry_after=3), 429, "internal.concurrency_limit", "RATE_LIMITED"),
    "crash": (fails("internal", 500), 500, "internal.internal", "INTERNAL"),
    "away": (fails("dial_failed", 502), 502, "internal.dial_failed", "UPSTREAM_ERROR"),
    "breaker": (fails("breaker_open", 503), 503, "internal.breaker_open", "UPSTREAM_ERROR"),
    "late": (fails("total_timeout", 504), 504, "internal.total_timeout", "TIMEOUT"),
}


@pytest.mark.covers("ACT-05")
@pytest.mark.parametrize("name", ERRORS)
async def test_one_error_in_the_form_of_each_set_of_paths(api: Api, name: str) -> None:
    api.plane.ending, status, code, word = ERRORS[name]
    own = await api.call("POST", f"/actions/{TRN}/execute", {})
    task = await send(api, "POST", f"/api/v1/tasks/{TRN}/execute", {})
    plain = await send(api, "POST", f"/actions/{TRN}/execute", {})
    assert {each.status for each in (own, task, plain)} == {status}
    assert (task.body["code"], task.body["message"]) == (code, own.body["message"])
    assert plain.body["success"] is False
    assert (plain.body["error"]["code"], plain.body["error"]["message"]) == (word, own.body["message"])
    assert plain.body["error"]["details"]["reason"] == own.body["code"] == own.headers["X-Gateway-Reason"]
    assert plain.body["metadata"] == {"request_id": "id"}
    assert task.body["details"]["request_id"] == "id"
    retry_after = own.headers.get("Retry-After")
    assert {each.headers.get("Retry-After") for each in (task, plain)} == {retry_after}
    if retry_after:
        assert task.body["details"]["retry_after"] == plain.body["error"]["details"]["retry_after"] == 3


async def test_errors_without_a_route_have_the_form_of_their_paths(api: Api) -> None:
    task = await send(api, "GET", "/api/v1/nothing")
    assert (task.status, task.body["code"]) == (404, "not_found.not_found")
    plain = await send(api, "PUT", "/kinds")
    assert (plain.status, plain.body["error"]["code"]) == (405, "INVALID_INPUT")
    assert (await send(api, "GET", "/nothing")).body["code"] == "not_found"
    wrong = await send(api, "POST", f"/api/v1/tasks/{TRN}/execute", {"input": []})
    assert (wrong.body["code"], wrong.body["details"]["fields"][0]["path"]) == ("validation.validation", "input")


@pytest.mark.covers("ACT-04")
async def test_the_tenant_in_the_query_and_in_a_field(api: Api) -> None:
    assert (await send(api, "GET", "/api/gateway/actions", X_Tenant="b")).body["total"] == 0
    assert (await send(api, "GET", "/api/gateway/actions?tenant=b", X_Tenant="b")).body["total"] == 0
    answer = await send(api, "GET", "/api/gateway/actions?tenant=default", X_Tenant="b")
    assert (answer.status, answer.body["fields"][0]["path"]) == (400, "tenant")
    assert (await send(api, "GET", "/api/gateway/actions", X_Tenant="a b")).status == 400


@pytest.mark.covers("ACT-03")
async def test_the_version_of_an_action(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, tenth = ({**GET_USER, "trn": GET_USER["trn"].replace("v1", f"v{n}")} for n in (1, 2, 10))

    async def three(tenant: str) -> list[Any]:
        return [first, second, tenth]

    monkeypatch.setattr(api.plane, "actions", three)
    for query, name, called in (
        ("latest", "get-user", tenth),
        ("2", "get-user", second),
        ("latest", second["trn"].removesuffix("@v2"), tenth),
        ("2", second["trn"], second),
    ):
        path = f"/api/gateway/actions/{quote(name, safe='')}"
        assert (await send(api, "POST", f"{path}/execute?version={query}", {})).status == 200
        assert api.plane.called[-1].action == called["trn"]
        assert (await send(api, "GET", f"{path}?version={query}")).body["trn"] == called["trn"]
    for query, status in (("3", 404), ("x", 400), ("-1", 400)):
        assert (await send(api, "POST", f"/api/gateway/actions/get-user/execute?version={query}", {})).status == status
    assert (await send(api, "POST", "/actions/get-user/execute", {})).body["error"]["code"] == "INVALID_INPUT"
    assert (await send(api, "POST", "/execute", {"action_trn": "get-user"})).status == 400
    assert (await send(api, "POST", "/actions/get-user/execute?version=latest", {})).status == 200


@pytest.mark.covers("ACT-46")
@pytest.mark.parametrize("asks", ["query", "accept"])
@pytest.mark.parametrize("path", [f"/api/gateway/actions/{TRN}/execute", f"/api/v1/tasks/{TRN}/execute"])
async def test_the_bytes_of_a_response_as_they_came(api: Api, path: str, asks: str) -> None:
    body = bytes(range(256))
    api.plane.ending = responds(body, [("content-type", "text/html"), ("Set-Cookie", "a=b"), ("ETag", '"x"')], 404)
    headers = {"Authorization": f"Bearer {api.token}"}
    headers |= {"Accept": "application/octet-stream"} if asks == "accept" else {}
    url = f"{api.base}{path}{'?raw=true' if asks == 'query' else ''}"
    async with api.session.post(url, json={}, headers=headers) as answer:
        assert (answer.status, await answer.read()) == (200, body)
    assert (answer.headers["Content-Type"], answer.headers["X-Upstream-Status"]) == ("text/html", "404")
    assert answer.headers["ETag"] == '"x"'
    assert "Set-Cookie" not in answer.headers
    # No page of a third party runs in the origin of the API.
    assert answer.headers["Content-Security-Policy"].startswith("sandbox;")
    assert (answer.headers["X-Content-Type-Options"], answer.headers["Content-Disposition"]) == (
        "nosniff",
        "attachment",
    )


async def test_bytes_have_errors_as_json(api: Api) -> None:
    api.plane.ending = fails("dial_failed", 502)
    answer = await send(api, "POST", f"/api/gateway/actions/{TRN}/execute?raw=true", {})
    assert (answer.status, answer.body["code"]) == (502, "dial_failed")
    for options in ({"dry_run": True}, {"all_pages": True}):
        answer = await send(api, "POST", f"/api/gateway/actions/{TRN}/execute?raw=true", {"options": options})
        assert answer.status == 400
    adhoc = {"connection_trn": "github"}
    api.plane.ending = responds(b"\xff", [])
    url = f"{api.base}/api/gateway/execute/adhoc?raw=true"
    async with api.session.post(url, json=adhoc, headers={"Authorization": f"Bearer {api.token}"}) as raw:
        assert await raw.read() == b"\xff"


@pytest.mark.covers("ACT-43")
async def test_calls_with_one_key_are_one_call(api: Api) -> None:
    release = asyncio.Event()
    ending, begun = responds(b'{"a":1}'), []

    async def slow(asked: Asked) -> Called:
        begun.append(asked)
        await release.wait()
        return ending(asked)  # type: ignore[no-any-return]

    api.plane.call = slow  # type: ignore[method-assign]
    path, key = f"/api/gateway/actions/{TRN}/execute", {"Idempotency_Key": "k-1"}
    tasks = [asyncio.create_task(send(api, "POST", path, {"input": {"x": 1}}, **key)) for _ in range(4)]
    tasks.append(
        asyncio.create_task(send(api, "POST", "/actions/get-user/execute?version=latest", {"input": {"x": 1}}, **key))
    )
    await eventually(lambda: len(begun) == 1, "one call runs")
    other = await send(api, "POST", path, {"input": {"x": 2}}, **key)
    assert (other.status, other.body["code"]) == (409, "conflict.idempotency_key")
    release.set()
    *answers, enveloped = await asyncio.gather(*tasks)
    assert (
        sum(answer.body.get("replayed", False) for answer in answers)
        + enveloped.body["metadata"].get("replayed", False)
        == 4
    )
    assert {answer.status for answer in answers} == {200}
    assert (await send(api, "POST", path, {"input": {"x": 1}}, **key)).body["replayed"] is True
    assert len(begun) == 1
    await send(api, "POST", path, {"input": {"x": 2}, "options": {"dry_run": True}}, **key)
    assert len(begun) == 2, "a dry run does nothing that would have to be done once"


@pytest.mark.parametrize("status", [429, 500, 503, 408])
async def test_a_result_that_calls_for_another_try_is_not_kept(api: Api, status: int) -> None:
    api.plane.ending = responds(status=status)
    for _ in range(2):
        answer = await send(api, "POST", f"/api/gateway/actions/{TRN}/execute", {}, Idempotency_Key="k")
        assert "replayed" not in answer.body
    adhoc = {"connection_trn": "github", "body": {"a": 1}}
    api.plane.ending = responds()
    for _ in range(2):
        answer = await send(api, "POST", "/api/gateway/execute/adhoc", adhoc, Idempotency_Key="k")
    assert answer.body["replayed"] is True
    assert len(api.plane.called) == 3


def paged(api: Api, monkeypatch: pytest.MonkeyPatch, rules: Pagination, pages: list[Any]) -> None:
    async def actions(tenant: str) -> list[Any]:
        return [{**GET_USER, "pagination": rules}]

    def ending(asked: Asked) -> Called:
        page = pages[len(api.plane.called) - 1]
        made = page if callable(page) else responds(orjson.dumps(page))
        return made(asked)  # type: ignore[no-any-return]

    monkeypatch.setattr(api.plane, "actions", actions)
    api.plane.ending = ending


@pytest.mark.covers("ACT-45")
async def test_all_pages_of_an_action(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    paged(api, monkeypatch, Pagination("page", "data", "page"), [{"data": [1, 2]}, {"data": [3]}, {"data": []}])
    body = {"input": {"q": "x"}, "options": {"all_pages": True, "timeout_ms": 60000}}
    found = (await send(api, "POST", f"/api/gateway/actions/{TRN}/execute", body)).body
    assert (found["items"], found["pages"], found["complete"], found["stopped"]) == ([1, 2, 3], 3, True, None)
    assert (found["attempts"], found["request_id"]) == (3, "id")
    assert [each.input for each in api.plane.called] == [{"q": "x", "page": number} for number in (1, 2, 3)]
    assert [each.request_id for each in api.plane.called] == ["id", "id-2", "id-3"]
    first, *rest = (each.timeout for each in api.plane.called)
    assert first == 60 > max(rest), "the time is for all pages together"
    task = await send(api, "GET", "/api/gateway/actions/get-user")
    assert task.body["pagination"]["kind"] == "page"


@pytest.mark.covers("ACT-45")
async def test_a_part_of_the_pages_says_which_page_failed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    paged(api, monkeypatch, Pagination("page", "", "page"), [[1], fails("breaker_open", 503)])
    body = {"options": {"all_pages": True}}
    for path, part in (("/api/gateway/execute", None), ("/api/v1/execute", None), ("/execute", "data")):
        api.plane.called.clear()
        answer = await send(api, "POST", path, {"action_trn": GET_USER["trn"], **body})
        found = answer.body if part is None else answer.body[part]
        assert (answer.status, found["items"], found["complete"]) == (200, [1], False)
        assert found["stopped"] == {"page": 2, "code": "breaker_open", "message": "A sentence", "status": 0}
    api.plane.called.clear()
    paged(api, monkeypatch, Pagination("page", "", "page"), [fails("breaker_open", 503)])
    assert (await send(api, "POST", "/api/gateway/execute", {"action_trn": "get-user", **body})).status == 503


@pytest.mark.covers("ACT-45")
async def test_links_lead_the_next_call(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [responds(b"[1]", [("Link", "<https://h/2>; rel=next")]), responds(b"[2]", [])]
    paged(api, monkeypatch, Pagination("link"), pages)
    body = {"options": {"all_pages": True}}
    path = f"/api/gateway/actions/{TRN}/execute"
    assert (await send(api, "POST", path, body, Idempotency_Key="k")).body["items"] == [1, 2]
    assert (await send(api, "POST", path, body, Idempotency_Key="k")).body["replayed"] is True
    assert [each.link for each in api.plane.called] == ["", "https://h/2"]


async def test_all_pages_need_a_pagination(api: Api) -> None:
    answer = await send(api, "POST", f"/api/gateway/actions/{TRN}/execute", {"options": {"all_pages": True}})
    assert (answer.status, answer.body["fields"][0]["path"]) == (400, "options.all_pages")
    adhoc = {"connection_trn": "github", "options": {"all_pages": True}}
    assert (await send(api, "POST", "/api/gateway/execute/adhoc", adhoc)).status == 400
    assert api.plane.called == []
