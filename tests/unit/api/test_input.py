"""What a client sends is checked before any model sees it."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admin.errors import AdminError
from gateway.api.input import MAX_DEPTH, Count, parse_body, parse_query, parse_version

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=20,
)


def refused(text: bytes) -> list[tuple[str, str]]:
    with pytest.raises(AdminError) as raised:
        parse_body(text)
    assert (raised.value.status, raised.value.code) == (400, "validation")
    return list(raised.value.fields)


@given(st.dictionaries(_TEXT, _JSON, max_size=4).filter(lambda d: _depth(d) <= MAX_DEPTH))
def test_sane_json_arrives_as_it_is(sent: dict[str, Any]) -> None:
    if any(isinstance(v, float) and v in (float("inf"), float("-inf")) for v in _leaves(sent)):
        return
    assert parse_body(json.dumps(sent).encode()) == orjson.loads(orjson.dumps(sent)) == sent


def _depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


def _leaves(value: object) -> list[object]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return [value] if inner is None else [leaf for each in inner for leaf in _leaves(each)]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (b"", "the body is empty; send a JSON object"),
        (b'{"a": 1', "line 1, column"),
        (b'{"a":\n nul}', "line 2, column"),
        (b'\xef\xbb\xbf{"a": 1}', "line 1, column"),
        (b'{"a": NaN}', "line 1, column"),
        (b'{"a": 1e999}', "line 1, column"),
        (b'{"a": "\\ud800"}', "line 1, column"),
        (b'{"a": "\xff"}', "the body is not UTF-8; send it in this encoding"),
        (b'{"a": 1} {}', "line 1, column"),
        (b"[]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "nested deeper than 32 levels; remove the inner levels"),
        (b'{"a": ' * 5000, "nested deeper than 32 levels; remove the inner levels"),
        (b'{"a": "' + b"[" * 50 + b'", }', "the body is no JSON"),
    ],
)
def test_what_is_no_object_is_refused_with_its_place(text: bytes, hint: str) -> None:
    ((path, message),) = refused(text)
    assert (path, hint in message) == ("", True)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b'{"a": 1, "a": 1}', "a"),
        (b'{"a": 1, "\\u0061": 2}', "a"),
        (b'{"a": [{}, {"b": {"c": 1, "c": 2}}]}', "a.1.b.c"),
        (b'{"x": 1, "a": {"b": 1, "b": {"c": 1}}}', "a.b"),
    ],
)
def test_a_key_that_stands_twice_is_named(text: bytes, path: str) -> None:
    assert refused(text) == [(path, "this key stands twice; remove one of the two")]


@pytest.mark.parametrize(
    ("text", "path", "hint"),
    [
        (b'{"a": {"b": "x\\u0000y"}}', "a.b", "NUL"),
        (b'{"a": {"x\\u0000y": 1}}', "a", "NUL"),
        (b'{"a": [18446744073709551616]}', "a.0", "64 bits"),
        (b'{"a": -9223372036854775809}', "a", "64 bits"),
        (b'{"a": ' + b"9" * 300 + b"}", "a", "64 bits"),
        (b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}", "a" + ".0" * 32, "32 levels"),
    ],
)
def test_what_can_not_be_stored_as_it_is_is_refused(text: bytes, path: str, hint: str) -> None:
    ((shown, message),) = refused(text)
    assert (shown, hint in message) == (path, True)


def test_the_bounds_themselves_are_taken() -> None:
    deepest = b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1)
    found = parse_body(b'{"least": -9223372036854775808, "most": 18446744073709551615, "deep": ' + deepest + b"}")
    assert (found["least"], found["most"]) == (-(1 << 63), (1 << 64) - 1)


def test_a_refusal_stays_short_and_holds_no_value() -> None:
    text = orjson.dumps({"k" * 5000 + str(n): "secret\0" for n in range(100)})
    fields = refused(text)
    assert len(fields) == 20
    assert all(len(path) <= 200 for path, _ in fields)
    assert "secret" not in str(fields)


_KINDS: dict[str, type] = {"page": int, "search": str, "dry_run": bool}


def test_parameters_become_their_kinds() -> None:
    given_ = [("page", "1000000000"), ("search", "a b"), ("dry_run", "false")]
    assert parse_query(given_, _KINDS) == {"page": 1_000_000_000, "search": "a b", "dry_run": False}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("page", "0"),
        ("page", "-1"),
        ("page", "01"),
        ("page", "1.0"),
        ("page", " 1"),
        ("page", "1\n"),
        ("page", "\u0663"),
        ("page", "1000000001"),
        ("page", "00000000000199999999999999999999"),
        ("page", "9" * 5000),
        ("dry_run", "True"),
        ("dry_run", ""),
        ("colour", "red"),
        ("", ""),
    ],
)
def test_parameters_that_can_not_be(name: str, text: str) -> None:
    with pytest.raises(AdminError) as raised:
        parse_query([(name, text)], _KINDS)
    assert [path for path, _ in raised.value.fields] == [name]


def test_a_parameter_stands_once() -> None:
    with pytest.raises(AdminError, match="stands twice"):
        parse_query([("page", "1"), ("page", "1")], _KINDS)


@pytest.mark.parametrize(("text", "version"), [('"3"', 3), ("3", 3), (' "12" ', 12), ('"999999999"', 999_999_999)])
def test_a_version(text: str, version: int) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize("text", ["", '""', '"3', '3"', 'W/"3"', "*", '"0"', '"3", "4"', "\u0663", '"1000000000"'])
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(AdminError, match="If-Match"):
        parse_version(text)


@pytest.mark.parametrize(("text", "found"), [("0", 0), ("7", 7), ("1000000000", 1_000_000_000)])
def test_a_count_may_be_nothing(text: str, found: int) -> None:
    assert parse_query([("offset", text)], {"offset": Count}) == {"offset": found}


@pytest.mark.parametrize("text", ["-1", "00", "", "1000000001", "x"])
def test_what_is_no_count(text: str) -> None:
    with pytest.raises(AdminError) as caught:
        parse_query([("offset", text)], {"offset": Count})
    assert "from 0 to 1000000000" in caught.value.details
