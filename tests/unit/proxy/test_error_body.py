from __future__ import annotations

import json

import pytest

from gateway import errors
from gateway.errors import GatewayError
from gateway.proxy.error_body import error_body, error_event

FACTS = {
    "error": "Too Many Requests",
    "details": "line one\nline two",
    "code": "queue_timeout",
    "request_id": "r\u00e9-1",
}


def made(retry_after: int = 0) -> GatewayError:
    return GatewayError(errors.QUEUE_TIMEOUT, "line one\nline two", retry_after=retry_after)


def test_a_body_is_one_line_of_json() -> None:
    body = error_body(made(), b"r\xe9-1")
    assert json.loads(body) == FACTS
    assert b"\n" not in body, "a line break would end the field of an event"


@pytest.mark.parametrize(("retry_after", "line"), [(0, b""), (7, b"retry: 7000\n")])
def test_an_event_says_in_milliseconds_when_to_come_back(retry_after: int, line: bytes) -> None:
    event = error_event(made(retry_after), b"r\xe9-1")
    assert event == b"event: error\n%bdata: %b\n\n" % (line, error_body(made(), b"r\xe9-1"))
