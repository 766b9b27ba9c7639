"""Requests as the two eras of the protocol write them, and everything that one of them may not be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.actions import eras
from gateway.core.message import RequestHead
from gateway.mcp.message import Fields, Message, ProtocolError, check_form, decoded, read

CALL = {"name": "find", "arguments": {"id": 1}}
META = {eras.VERSION_KEY: "2026-07-28", eras.CAPABILITIES_KEY: {}}
NEWER = ("MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: find")


def fields(*lines: str) -> Fields:
    encoded_lines = [line.encode("latin-1") for line in lines]
    return Fields(RequestHead(b"POST", b"/", 1, encoded_lines, {}, 0, keep_alive=True))


def body(**changes: Any) -> bytes:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": CALL} | changes
    return json.dumps({name: value for name, value in message.items() if value is not ...}).encode()


def newer(meta: Any = META, params: dict[str, Any] = CALL, method: str = "tools/call") -> bytes:
    return body(params={**params, "_meta": meta}, method=method)


def rejected(text: bytes, *lines: str) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        read(text, fields(*lines))
    return caught.value


@pytest.mark.parametrize("line", [(), ("mcp-protocol-version: 2025-11-25",), ("MCP-Protocol-Version: 2025-03-26",)])
def test_a_request_of_the_older_era(line: tuple[str, ...]) -> None:
    assert read(body(), fields(*line)) == Message(1, "tools/call", CALL, modern=False)
    assert read(body(id="a", params=...), fields(*line)) == Message("a", "tools/call", {}, modern=False)


def test_a_request_of_the_newer_era() -> None:
    assert read(newer(), fields(*NEWER)) == Message(1, "tools/call", {**CALL, "_meta": META}, modern=True)
    listing = read(newer(params={}, method="tools/list"), fields(NEWER[0], "Mcp-Method: tools/list"))
    assert listing is not None
    assert listing.modern


def test_a_name_may_be_encoded() -> None:
    assert read(newer(params={"name": "é"}), fields(*NEWER[:2], f"Mcp-Name: {eras.encoded('é')}")) is not None


@pytest.mark.parametrize("message", [{"id": ...}, {"id": ..., "method": "notifications/initialized"}])
def test_what_needs_no_response(message: dict[str, Any]) -> None:
    assert read(body(**message), fields()) is None
    assert read(body(**message), fields(NEWER[0])) is None


def test_a_response_was_never_asked_for() -> None:
    response = b'{"jsonrpc":"2.0","id":1,"result":{}}'
    assert read(response, fields()) is None
    assert rejected(response, NEWER[0]).code == eras.INVALID_REQUEST


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", eras.PARSE_ERROR),
        (b"{", eras.PARSE_ERROR),
        (b"\xff", eras.PARSE_ERROR),
        (b"[" * 5000, eras.PARSE_ERROR),
        (b"[]", eras.INVALID_REQUEST),
        (b"[" + body() + b"]", eras.INVALID_REQUEST),
        (b"1", eras.INVALID_REQUEST),
        (body(jsonrpc="1.0"), eras.INVALID_REQUEST),
        (body(jsonrpc=...), eras.INVALID_REQUEST),
        (body(method=...), eras.INVALID_REQUEST),
        (body(method=1), eras.INVALID_REQUEST),
        (body(id=None), eras.INVALID_REQUEST),
        (body(id=True), eras.INVALID_REQUEST),
        (body(id=1.5), eras.INVALID_REQUEST),
        (body(id=[]), eras.INVALID_REQUEST),
    ],
)
def test_what_is_no_message(text: bytes, code: int) -> None:
    error = rejected(text)
    assert (error.code, error.status, error.id) == (code, 400, None)


@pytest.mark.parametrize("params", [[], None, "a"])
def test_params_are_an_object(params: object) -> None:
    error = rejected(body(params=params))
    assert (error.code, error.status, error.id) == (eras.INVALID_PARAMS, 200, 1)
    assert rejected(body(params=params), NEWER[0]).status == 400


@pytest.mark.parametrize(
    ("lines", "text", "said"),
    [
        (NEWER[1:], newer(), "mcp-protocol-version is missing"),
        (("MCP-Protocol-Version: 2025-11-25", *NEWER[1:]), newer(), "mcp-protocol-version says something else"),
        ((NEWER[0], NEWER[2]), newer(), "mcp-method is missing"),
        ((NEWER[0], "Mcp-Method: tools/list", NEWER[2]), newer(), "mcp-method says something else"),
        (NEWER[:2], newer(), "mcp-name is missing"),
        ((*NEWER[:2], "Mcp-Name: delete"), newer(), "mcp-name says something else"),
        ((*NEWER[:2], "Mcp-Name: =?base64?***?="), newer(), "no valid base64"),
        ((*NEWER, "Mcp-Name: delete"), newer(), "more than once"),
        ((NEWER[0], *NEWER), newer(), "more than once"),
    ],
)
def test_fields_must_say_what_the_body_says(lines: tuple[str, ...], text: bytes, said: str) -> None:
    error = rejected(text, *lines)
    assert (error.code, error.status) == (eras.HEADER_MISMATCH, 400)
    assert said in error.message


@pytest.mark.parametrize(
    "meta", [None, [], {}, {eras.VERSION_KEY: "2026-07-28"}, {eras.VERSION_KEY: 1, eras.CAPABILITIES_KEY: {}}]
)
def test_a_newer_request_says_what_it_speaks(meta: object) -> None:
    error = rejected(newer(meta), *NEWER)
    assert (error.code, error.status, error.id) == (eras.INVALID_PARAMS, 400, 1)


def test_a_version_that_is_not_spoken_gets_those_that_are() -> None:
    later = {**META, eras.VERSION_KEY: "2099-01-01"}
    lines = ("MCP-Protocol-Version: 2099-01-01", *NEWER[1:])
    for error in (rejected(newer(later), *lines), rejected(body(), lines[0])):
        assert (error.code, error.status, error.id) == (eras.UNSUPPORTED_VERSION, 400, 1)
        assert error.data == {"supported": list(eras.SUPPORTED), "requested": "2099-01-01"}


@pytest.mark.parametrize("value", ["find", "", "é", " a", "a ", "a\nb", "=?base64?x?=", "=?base64?"])
def test_values_of_fields_travel_in_ascii(value: str) -> None:
    assert eras.encoded(value).isascii()
    assert "\n" not in eras.encoded(value)
    assert decoded(eras.encoded(value)) == value


def test_a_field_that_is_not_there_has_no_value() -> None:
    assert decoded(None) is None
    with pytest.raises(ProtocolError):
        decoded("=?base64?/w==?=")


@pytest.mark.parametrize(
    ("method", "lines", "status"),
    [
        (b"GET", ("Accept: text/event-stream",), 405),
        (b"DELETE", (), 405),
        (b"POST", (), 415),
        (b"POST", ("Content-Type: text/plain",), 415),
        (b"POST", ("Content-Type: application/json", "Content-Type: application/json"), 415),
        (b"POST", ("Content-Type: application/json", "Content-Encoding: gzip"), 415),
        (b"POST", ("Content-Type: application/json", "Accept: text/html"), 406),
        (b"POST", ("Content-Type: application/json", "Accept: text/event-stream"), 406),
    ],
)
def test_what_is_no_post_of_json(method: bytes, lines: tuple[str, ...], status: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        check_form(method, fields(*lines))
    assert caught.value.status == status


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("Accept: application/json, text/event-stream",),
        ("Accept: text/event-stream", "Accept: Application/JSON;q=0.5"),
        ("Accept: */*",),
        ("Accept: application/*", "Content-Encoding: identity"),
    ],
)
def test_a_post_of_json(lines: tuple[str, ...]) -> None:
    check_form(b"POST", fields("content-type: Application/json; charset=utf-8", *lines))
