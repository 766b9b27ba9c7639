"""Which page comes next, by all four kinds; when to stop; and what is said about it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.actions.pages import MESSAGES, Stop, Walk, at, next_link
from gateway.config.actions import Pagination

pytestmark = pytest.mark.covers("ACT-45")


def taken(walk: Walk, body: object, status: int = 200, link: str = "") -> list[object]:
    return walk.take(status, [("Link", link)] if link else [], orjson.dumps(body))


def stopped(walk: Walk) -> str:
    assert walk.ended
    return "" if walk.stop is None else walk.stop.code


def test_pages_by_number_until_one_is_short() -> None:
    walk = Walk(Pagination("page", "data", "page", size_parameter="n", size=2), {"q": "x"})
    assert walk.given == {"q": "x", "page": 1, "n": 2}
    assert taken(walk, {"data": [1, 2]}) == [1, 2]
    assert (walk.ended, walk.given) == (False, {"q": "x", "page": 2, "n": 2})
    assert taken(walk, {"data": [3]}) == [3]
    assert (stopped(walk), walk.pages, walk.items) == ("", 2, 3)


def test_pages_by_number_until_one_is_empty() -> None:
    walk = Walk(Pagination("page", "", "page", 0), {})
    assert [walk.given["page"], *taken(walk, [1]), walk.given["page"], walk.ended] == [0, 1, 1, False]
    assert (taken(walk, []), stopped(walk)) == ([], "")


def test_pages_by_offset_count_what_came() -> None:
    walk = Walk(Pagination("offset", "", "skip", 0), {"skip": "5"})
    assert walk.given == {"skip": 5}
    taken(walk, [1, 2, 3])
    assert walk.given == {"skip": 8}


def test_what_a_caller_gives_wins_over_the_rules() -> None:
    walk = Walk(Pagination("page", "", "page", size_parameter="n", size=50), {"page": 3, "n": 1})
    assert walk.given == {"page": 3, "n": 1}
    taken(walk, [1])
    assert (walk.ended, walk.given["page"]) == (False, 4)
    assert Walk(Pagination("page", "", "page"), {"page": True}).given == {"page": 1}


@pytest.mark.parametrize("last", [{"next": None}, {"next": ""}, {}])
def test_pages_by_cursor(last: dict[str, Any]) -> None:
    walk = Walk(Pagination("cursor", "items", "after", cursor="meta.next"), {})
    assert walk.given == {}
    taken(walk, {"items": [1], "meta": {"next": "b"}})
    assert (walk.ended, walk.given) == (False, {"after": "b"})
    taken(walk, {"items": [2], "meta": last})
    assert (stopped(walk), walk.items) == ("", 2)


def test_pages_by_link() -> None:
    walk = Walk(Pagination("link"), {"q": "x"})
    taken(walk, [1], link='<https://h/x?page=2>; rel="next", <https://h/x?page=9>; rel="last"')
    assert (walk.ended, walk.link, walk.given) == (False, "https://h/x?page=2", {"q": "x"})
    taken(walk, [2], link='<https://h/x?page=1>; rel="prev"')
    assert stopped(walk) == ""


@pytest.mark.parametrize(
    ("value", "target"),
    [
        ('<a>; rel="next"', "a"),
        ("<a>; rel=next", "a"),
        ('<a>; title="x, <b>; rel=next"; REL="prev Next"', "a"),
        ('<a>; rel="prev", <b>;rel="next"', "b"),
        ('<a>; rel="nextone"', ""),
        ("<a>", ""),
        ("", ""),
        ("nonsense; rel=next", ""),
    ],
)
def test_the_link_field(value: str, target: str) -> None:
    assert next_link([("X", "<z>; rel=next"), ("link", value)]) == target


def test_a_field_that_says_there_is_no_more() -> None:
    walk = Walk(Pagination("page", "data", "page", size=2, more="more"), {})
    taken(walk, {"data": [1], "more": True})
    assert not walk.ended, "a short page is not the last one where the body says so"
    taken(walk, {"data": [2, 3], "more": False})
    assert (stopped(walk), walk.pages) == ("", 2)


def test_what_was_read_before_is_not_read_again() -> None:
    cursor = Walk(Pagination("cursor", "", "after", cursor="n"), {"after": "a"})
    cursor.rules = Pagination("cursor", "i", "after", cursor="n")
    assert taken(cursor, {"i": [1], "n": "b"}) == [1]
    assert taken(cursor, {"i": [2], "n": "a"}) == [2], "the page itself was read"
    assert (stopped(cursor), cursor.pages) == ("loop", 2)
    link = Walk(Pagination("link"), {})
    taken(link, [1], link="<x>; rel=next")
    taken(link, [2], link="<x>; rel=next")
    assert stopped(link) == "loop"
    page = Walk(Pagination("page", "", "page"), {})
    taken(page, [1])
    assert taken(page, [1]) == [], "the third party ignores the parameter"
    assert (stopped(page), page.items, page.pages) == ("loop", 1, 1)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"[1]", 500, "status"),
        (b"[1]", 302, "status"),
        (b"{", 200, "not_json"),
        (b'{"data": {}}', 200, "no_items"),
        (b'[1, "' + b"x" * 100 + b'"]', 200, "page_too_large"),
    ],
)
def test_a_page_that_cannot_be_used_is_said(body: bytes, status: int, code: str) -> None:
    walk = Walk(Pagination("page", "", "page", max_page_bytes=50), {})
    assert walk.take(200, [], b"[0]") == [0]
    assert walk.take(status, [], body) == []
    assert walk.stop == Stop(2, code, MESSAGES[code], status)
    assert (walk.pages, walk.items) == (1, 1)


def test_caps() -> None:
    pages = Walk(Pagination("page", "", "page", max_pages=2), {})
    taken(pages, [1])
    taken(pages, [2])
    assert (stopped(pages), pages.pages) == ("max_pages", 2)
    items = Walk(Pagination("page", "", "page", max_items=3), {})
    taken(items, [1, 2])
    assert taken(items, [3, 4]) == [3]
    assert (stopped(items), items.items) == ("max_items", 3)
    full = Walk(Pagination("page", "", "page", max_items=2), {})
    taken(full, [1, 2])
    assert stopped(full) == "max_items", "nothing is known of a next page"
    exact = Walk(Pagination("page", "", "page", size=3, max_items=2), {})
    taken(exact, [1, 2])
    assert stopped(exact) == "", "a short page is the last one"
    size = Walk(Pagination("page", "", "page", max_bytes=10), {})
    assert taken(size, ["aaa"]) == ["aaa"]
    assert taken(size, ["bbb"]) == []
    assert (stopped(size), size.size) == ("max_bytes", 7)


def test_a_page_without_a_response() -> None:
    walk = Walk(Pagination("page", "", "page"), {})
    taken(walk, [1])
    walk.fail("breaker_open", "a sentence")
    assert walk.stop == Stop(2, "breaker_open", "a sentence")


def test_a_path_of_names() -> None:
    assert at({"a": {"b": [1]}}, "a.b") == [1]
    assert at([1], "") == [1]
    assert at({"a": 1}, "a.b") is None
