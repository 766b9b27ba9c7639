"""Pagination in the file: what becomes of it, and what is rejected."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.config.actions import Pagination
from gateway.config.load import ConfigError, parse


def read(parameters: list[Any] | None = None, **pagination: Any) -> Pagination | None:
    action = {"connection": "c", "pagination": pagination, "parameters": parameters or []}
    written = {"connections": {"c": {"base_url": "http://h"}}, "actions": {"a": action}}
    return parse(orjson.dumps(written).decode(), "json", "f", {}).actions[0].pagination


@pytest.mark.covers("ACT-45")
def test_each_type_has_its_defaults() -> None:
    assert read(type="page") == Pagination("page", parameter="page", start=1)
    assert read(type="offset") == Pagination("offset", parameter="offset", start=0)
    assert read(type="link") == Pagination("link")
    cursor = read(
        type="cursor",
        items="data.items",
        parameter="after",
        next_cursor="meta.next",
        has_more="meta.more",
        size_parameter="n",
        page_size=5,
        max_pages=2,
        max_items=3,
        max_bytes=4,
        max_mapped_bytes=5,
    )
    assert cursor == Pagination("cursor", "data.items", "after", 1, "n", 5, "meta.next", "meta.more", 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("pagination", "says"),
    [
        ({"type": "cursor"}, "next_cursor is for the type cursor"),
        ({"type": "page", "next_cursor": "a"}, "next_cursor is for the type cursor"),
        ({"type": "link", "parameter": "a"}, "a link says all"),
        ({"type": "link", "start": 1}, "a link says all"),
        ({"type": "cursor", "next_cursor": "a", "start": 1}, "the first page has no cursor"),
        ({"type": "page", "size_parameter": "n"}, "sends page_size"),
        ({"type": "page", "items": "a..b"}, "items"),
        ({"type": "page", "max_mapped_bytes": 2_000_000}, "max_mapped_bytes"),
    ],
)
def test_what_does_not_fit_together_is_rejected(pagination: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read(**pagination)


def test_what_it_sets_is_a_parameter_where_there_are_some() -> None:
    with pytest.raises(ConfigError, match="pagination sets page, which is no parameter"):
        read([{"name": "q"}], type="page")
    assert read([{"name": "page", "type": "integer"}], type="page") is not None
