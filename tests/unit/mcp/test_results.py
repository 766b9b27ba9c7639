from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from gateway import errors
from gateway.errors import GatewayError
from gateway.ipc.calls import Called, Failure
from gateway.mcp.results import refusal, refused, result_of

FULL = "This tool is at its limit of 5 calls at once"


def called(
    body: bytes = b"", kind: str = "", status: int = 200, failure: Failure | None = None, **lines: str
) -> Called:
    fields = [(name.replace("_", "-"), value) for name, value in lines.items()]
    return {
        "action": "trn",
        "request_id": "r1",
        "failure": failure,
        "planned": None,
        "status": status,
        "headers": [("Content-Type", kind), *fields] if kind else fields,
        "body": body,
        "attempts": 1,
        "seconds": 0.1,
    }


def result(made: Called, *, modern: bool = False) -> dict[str, Any]:
    return result_of(made, 5, modern=modern)


def text_of(made: dict[str, Any]) -> str:
    (content,) = made["content"]
    assert content["type"] == "text"
    return str(content["text"])


@pytest.mark.parametrize(
    ("reason", "seconds", "sentence"),
    [
        (errors.CONCURRENCY_LIMIT, 2, f"{FULL}; try again in 2 s."),
        (
            errors.QUEUE_FULL,
            1,
            f"{FULL}, and so many wait already that no more may; try again in 1 s.",
        ),
        (
            errors.BREAKER_OPEN,
            7,
            "This tool is paused, because the service behind it has failed several times; try again in 7 s.",
        ),
        (errors.RATE_LIMIT, 0, "This tool is called too often (why)."),
        (errors.DRAINING, 0, "The gateway is about to stop."),
        (errors.TOTAL_TIMEOUT, 0, "Why."),
        (errors.DNS_FAILED, 0, "Why."),
    ],
)
def test_a_refusal_is_a_sentence(reason: errors.Reason, seconds: int, sentence: str) -> None:
    message = reason.details if "its limit of" in sentence else "why"
    failure: Failure = {"status": reason.status, "code": reason.code, "title": reason.title, "message": message}
    if seconds:
        failure["retry_after"] = seconds
    made = result(called(failure=failure))
    assert made["isError"] is True
    assert text_of(made) == sentence
    about = {"requestId": "r1", "reason": reason.code} | ({"retryAfter": seconds} if seconds else {})
    assert made["_meta"] == about


def test_a_limit_of_more_than_this_tool_says_itself_what_it_is() -> None:
    found = refusal("this tool", errors.CONCURRENCY_LIMIT.code, "3 calls run, which is governance.max_concurrent", 2, 5)
    assert found == "3 calls run, which is governance.max_concurrent; try again in 2 s."


def test_without_a_known_limit_the_details_are_the_sentence() -> None:
    assert refusal("this tool", "concurrency_limit", "all is in use", 1, 0) == "All is in use; try again in 1 s."


def test_wrong_input_is_named_by_its_place() -> None:
    failure: Failure = {
        "status": 400,
        "code": "validation.invalid_input",
        "title": "Validation failed",
        "message": "the input does not fit",
        "fields": [("id", "a value is no integer"), ("a.b", "is missing")],
    }
    made = result(called(failure=failure))
    assert text_of(made) == "The input does not fit:\n- id: a value is no integer\n- a.b: is missing"
    assert made["_meta"] == {"requestId": "r1", "reason": "validation.invalid_input"}


def test_what_the_door_itself_refuses() -> None:
    made = refused(GatewayError(errors.RATE_LIMIT, "Too many requests", retry_after=3), "r1", 0)
    assert text_of(made) == "This server is called too often (Too many requests); try again in 3 s."
    assert made["_meta"] == {"requestId": "r1", "reason": "rate_limit", "retryAfter": 3}


def test_json_is_text_and_structure() -> None:
    made = result(called(b'{"id": 1}', "application/json"))
    assert made == {
        "content": [{"type": "text", "text": '{"id": 1}'}],
        "isError": False,
        "_meta": {"requestId": "r1", "status": 200},
        "structuredContent": {"id": 1},
    }


def test_the_older_era_has_objects_alone_as_structure() -> None:
    rows = called(b"[1, 2]", "application/vnd.shop+json; charset=utf-8")
    assert "structuredContent" not in result(rows)
    assert result(rows, modern=True)["structuredContent"] == [1, 2]
    assert "structuredContent" not in result(called(b"{", "application/json"), modern=True)


@pytest.mark.parametrize("kind", ["", "text/html", "application/xml", "image/svg+xml", "text/plain"])
def test_text_is_text(kind: str) -> None:
    made = result(called("é".encode(), kind))
    assert made["content"] == [{"type": "text", "text": "é"}]


@pytest.mark.parametrize(("kind", "shown"), [("image/png", "image"), ("audio/wav", "audio")])
def test_pictures_and_sounds(kind: str, shown: str) -> None:
    made = result(called(b"\x89\xff", kind))
    assert made["content"] == [{"type": shown, "data": b64encode(b"\x89\xff").decode(), "mimeType": kind}]


@pytest.mark.parametrize(
    ("body", "kind", "lines", "shown"),
    [
        (b"\xff\x00", "", {}, "application/octet-stream"),
        (b"\xff\x00", "application/pdf", {}, "application/pdf"),
        (b"PK", "application/zip", {}, "application/zip"),
        (b"{}", "application/json", {"Content_Encoding": "gzip"}, "application/octet-stream"),
    ],
)
def test_other_bytes_are_a_resource(body: bytes, kind: str, lines: dict[str, str], shown: str) -> None:
    resource = {"uri": "urn:gateway:response:r1", "mimeType": shown, "blob": b64encode(body).decode()}
    assert result(called(body, kind, **lines))["content"] == [{"type": "resource", "resource": resource}]


def test_an_empty_body_is_said() -> None:
    assert text_of(result(called(status=204))) == "The response has no body (status 204)."


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_response_that_is_no_success_is_an_error(status: int) -> None:
    made = result(called(b'{"message": "no"}', "application/json", status))
    assert made["isError"] is True
    assert [each["text"] for each in made["content"]] == [
        f"The service responded with status {status}.",
        '{"message": "no"}',
    ]
    assert "structuredContent" not in made
    assert made["_meta"] == {"requestId": "r1", "status": status}
