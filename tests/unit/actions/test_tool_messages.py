from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.actions import eras
from gateway.actions.tool_messages import Arrival, Session, discovery, initialization, request, response

CALL = {"name": "add", "arguments": {"a": 1}}


def test_a_request_of_the_newer_era_says_what_it_is() -> None:
    made = request(Session("2026-07-28"), "tools/call", CALL)
    assert made.fields == {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": "add",
    }
    params: Any = made.message["params"]
    assert (params["name"], params["_meta"][eras.VERSION_KEY]) == ("add", "2026-07-28")
    assert request(Session("2026-07-28"), "tools/call", {"name": "é"}).fields["Mcp-Name"].startswith("=?base64?")
    assert "Mcp-Name" not in discovery().fields


def test_a_request_of_the_older_era_belongs_to_its_session() -> None:
    made = request(Session("2025-11-25", "s1"), "tools/call", CALL)
    assert made.fields == {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-11-25",
        "Mcp-Session-Id": "s1",
    }
    assert made.message == {"jsonrpc": "2.0", "method": "tools/call", "id": 1, "params": CALL}
    assert "Mcp-Session-Id" not in request(Session("2025-11-25"), "tools/call", CALL).fields
    note = request(Session("2025-11-25"), "notifications/initialized", {}, notifies=True)
    assert note.message == {"jsonrpc": "2.0", "method": "notifications/initialized"}


def test_a_number_is_that_of_a_request_and_of_its_response() -> None:
    made = request(Session("2025-11-25"), "tools/call", CALL).numbered(7)
    assert made.message["id"] == 7
    note = request(Session("2025-11-25"), "notifications/initialized", {}, notifies=True)
    assert note.numbered(7) == note, "a notification has no id"
    assert response(GOOD, "application/json", 7) is None
    found = response(GOOD.replace(b'"id": 1', b'"id": 7'), "application/json", 7)
    assert found is not None


def test_a_session_begins_without_a_version_in_a_field() -> None:
    made = initialization()
    assert made.fields.keys() == {"Accept"}
    params: Any = made.message["params"]
    assert params["protocolVersion"] == "2025-11-25"


GOOD = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"content": []}}).encode()
NOTE = b'{"jsonrpc": "2.0", "method": "notifications/progress"}'


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (GOOD, "application/json"),
        (GOOD, ""),
        (b"event: message\ndata: " + GOOD + b"\n\n", "text/event-stream"),
        (b"\xef\xbb\xbfdata:" + GOOD + b"\r\n\r\n", "Text/Event-Stream; charset=utf-8"),
        (b": hello\n\ndata: " + NOTE + b"\n\nid: 7\ndata: " + GOOD + b"\n\n", "text/event-stream"),
        (b"data: {\n\ndata: " + GOOD.replace(b", ", b",\ndata: ") + b"\r\r", "text/event-stream"),
        (b"data: " + GOOD, "text/event-stream"),
    ],
)
def test_a_response_as_json_and_as_events(body: bytes, kind: str) -> None:
    found = response(body, kind)
    assert found is not None
    assert (found.result, found.error, found.modern) == ({"content": []}, None, False)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "application/json"),
        (b"", "text/event-stream"),
        (b"<p>", "text/html"),
        (b"[]", "application/json"),
        (GOOD.replace(b": 1", b": 2"), "application/json"),
        (NOTE, "application/json"),
        (b'{"jsonrpc": "2.0", "id": 1, "result": 3}', "application/json"),
    ],
)
def test_what_holds_no_response(body: bytes, kind: str) -> None:
    assert response(body, kind) is None


@pytest.mark.parametrize(("code", "modern"), [(-32020, True), (-32022, True), (-32600, False)])
def test_an_error_may_have_no_id(code: int, modern: bool) -> None:
    found = response(json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": code}}).encode(), "application/json")
    assert found is not None
    assert (found.result, found.modern) == (None, modern)


PING = b'data: {"jsonrpc":"2.0","id":"p","method":"ping"}'
OTHER = b'data: {"jsonrpc":"2.0","id":6,"result":{}}'
MINE = b'event: message\ndata: {"jsonrpc":"2.0",\ndata: "id":7,"result":{}}'


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n"])
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_a_response_arrives_with_the_end_of_its_event(end: bytes, size: int) -> None:
    before = b": hello\n\n" + PING + end + OTHER + end
    whole = before + MINE + end
    arrival, body = Arrival(7), bytearray()
    while not arrival(body):
        assert len(body) < len(whole), "it is found"
        body += whole[len(body) : len(body) + size]
    assert len(body) > len(before) + len(MINE)
    assert not arrival(bytearray(before)), "of another attempt"
    assert arrival(bytearray(whole))
