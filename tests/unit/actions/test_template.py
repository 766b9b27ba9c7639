"""Texts with places for values."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from gateway.actions.errors import InvalidCallError
from gateway.actions.template import PathTemplate, Template, encoded, text


class Given:
    def __init__(self, **values: Any) -> None:
        self.values = values

    def named(self, name: str) -> Any:
        return self.values[name]


@pytest.mark.parametrize(
    ("template", "names", "whole", "filled"),
    [
        ("", (), "", ""),
        ("plain {", (), "", "plain {"),
        ("{a}", ("a",), "a", "1"),
        ("{a}{b-c}", ("a", "b-c"), "", "1true"),
        ("x{a}", ("a",), "", "x1"),
        ("{a}y{a}", ("a", "a"), "", "1y1"),
        ("{{a}}", ("a",), "", "{1}"),
    ],
)
def test_a_template(template: str, names: tuple[str, ...], whole: str, filled: str) -> None:
    made = Template(template)
    assert (made.names, made.whole) == (names, whole)
    for _ in range(2):
        assert made.filled(Given(a=1, **{"b-c": True})) == filled


@pytest.mark.parametrize(("value", "shown"), [("é", "é"), (True, "true"), (False, "false"), (2, "2"), (1.5, "1.5")])
def test_what_is_a_text(value: object, shown: str) -> None:
    assert text(value, "x") == shown


@pytest.mark.parametrize("value", [None, [], {}, b"x", "\ud800"])
def test_what_is_none(value: object) -> None:
    with pytest.raises(InvalidCallError) as caught:
        text(value, "query.x")
    assert [where for where, _ in caught.value.fields] == ["query.x"]


@pytest.mark.parametrize("value", ["", "aZ09-._~", "a b", "a/b", "é", "%41", "a\n", "a\r\n", "+"])
def test_a_value_is_encoded_as_the_standard_library_does(value: str) -> None:
    assert encoded(value) == quote(value, safe="")


@pytest.mark.parametrize(
    ("template", "base", "value", "path"),
    [
        ("/{a}/b", "/v1/", "x", "/v1/x/b"),
        ("{a}", "", "x/y", "/x%2Fy"),
        ("//a b/{", "/v1", "x", "/v1/a%20b/%7B"),
        ("/a.b/{a}.json", "", "c.d", "/a.b/c.d.json"),
        ("/%2525/{a}", "", "x", "/%2525/x"),
        ("/plain", "/v1", "x", "/v1/plain"),
        ("/{a}", "", "...", "/..."),
        ("/{a}", "", "%2e%2e", "/%252e%252e"),
    ],
)
def test_a_path(template: str, base: str, value: str, path: str) -> None:
    made = PathTemplate(template, base)
    for _ in range(2):
        assert made.filled(Given(a=value)) == path


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("/{a}", ".."),
        ("/.{a}", "."),
        ("/%2e{a}", "."),
        ("/{a}", ""),
        ("/..", "x"),
        ("/%2E%2e/x", "x"),
        ("/{a}", "x\\.."),
    ],
)
def test_a_path_that_leads_elsewhere_is_none(template: str, value: str) -> None:
    with pytest.raises(InvalidCallError):
        PathTemplate(template, "/v1").filled(Given(a=value))
