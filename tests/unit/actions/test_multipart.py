"""Bodies of multipart/form-data, read again by the parser of the standard library."""

from __future__ import annotations

import email
import email.message
import email.policy
from typing import Any

import pytest

from gateway.actions.errors import InvalidCallError
from gateway.actions.multipart import BOUNDARY, TYPE, encode, shown

PNG = b"\x89PNG\r\n\x1a\n\x00\xff"


def parts_of(body: bytes) -> list[email.message.Message]:
    text = f"Content-Type: {TYPE}\r\n\r\n".encode() + body
    found = email.message_from_bytes(text, policy=email.policy.HTTP).get_payload()
    assert isinstance(found, list)
    return found


def test_values_and_files() -> None:
    body = encode(
        {
            "title": "é",
            "pages": 3,
            "none": None,
            "tag": ["a", "b"],
            "logo": {"filename": "logo.png", "content_type": "image/png", "base64": "iVBORw0KGgoA/w=="},
            "note": {"text": "hello", "filename": None, "content_type": None},
        }
    )
    parts = parts_of(body)
    assert [part.get_param("name", header="content-disposition") for part in parts] == [
        *("title", "pages", "tag", "tag", "logo", "note")
    ]
    assert [part.get_payload(decode=True) for part in parts] == ["é".encode(), b"3", b"a", b"b", PNG, b"hello"]
    assert (parts[4].get_filename(), parts[4].get_content_type()) == ("logo.png", "image/png")
    assert (parts[5].get_filename(), parts[5]["content-type"]) == ("file", None), (
        "without a name it is no file for many"
    )
    assert body.endswith(f"--{BOUNDARY}--\r\n".encode())
    assert encode({"a": None}) == b"", "without a part there is no body"


def test_an_empty_filename_makes_a_plain_value_with_a_media_type() -> None:
    body = encode({"meta": {"text": "{}", "filename": "", "content_type": "application/json"}, "a": [{"text": ""}]})
    meta, listed = parts_of(body)
    assert (meta.get_filename(), meta.get_content_type()) == (None, "application/json")
    assert (listed.get_filename(), listed.get_payload()) == ("file", "")


def test_names_stay_in_their_quotes() -> None:
    (part,) = parts_of(encode({'a"\r\nX: 1': {"text": "v", "filename": '"; name="b\r\n'}}))
    assert part.keys() == ["Content-Disposition"]
    assert part["content-disposition"] == 'form-data; name="a%22%0D%0AX: 1"; filename="%22; name=%22b%0D%0A"'


@pytest.mark.parametrize(
    ("value", "place", "says"),
    [
        (f"\r\n--{BOUNDARY}--", "body.a", "holds the line that separates the parts"),
        ({"text": f"--{BOUNDARY}"}, "body.a", "holds the line that separates the parts"),
        ({"text": "a", "filename": f"--{BOUNDARY}"}, "body.a", "holds the line that separates the parts"),
        ({}, "body.a", "must be a text, or text or base64"),
        ({"text": "a", "base64": "YQ=="}, "body.a", "must be a text, or text or base64"),
        ({"text": "a", "color": "red"}, "body.a", "must be a text, or text or base64"),
        ({"base64": "a!"}, "body.a.base64", "is no base64"),
        ({"base64": "é"}, "body.a.base64", "is no base64"),
        ({"text": "a", "content_type": "text/plain\r\nX: 1"}, "body.a.content_type", "must be printable ASCII"),
        ({"text": "a", "content_type": ""}, "body.a.content_type", "must be printable ASCII"),
    ],
)
def test_what_is_no_part(value: Any, place: str, says: str) -> None:
    with pytest.raises(InvalidCallError, match=says) as caught:
        encode({"a": value})
    assert [path for path, _ in caught.value.fields] == [place]


def test_a_body_is_shown_part_by_part() -> None:
    body = encode({"user": "ann", "password": "s3cret", "logo": {"base64": "iVBORw0KGgoA/w==", "filename": "f"}})
    text = shown(body, lambda name, value: "[REDACTED]" if name == "password" else value)
    assert "s3cret" not in text
    assert '; name="password"\r\n\r\n[REDACTED]\r\n' in text
    assert '; name="user"\r\n\r\nann\r\n' in text
    assert "PNG" in text
    assert text.count(BOUNDARY) == 4


def test_a_text_that_only_looks_like_such_a_body_is_shown_too() -> None:
    text = f"before --{BOUNDARY}\r\nX: y\r\n\r\nvalue--{BOUNDARY} s3cret"
    assert shown(text.encode(), lambda name, value: value.replace("s3cret", "-")) == (
        f"before --{BOUNDARY}\r\nX: y\r\n\r\nvalue\r\n--{BOUNDARY} -"
    )
