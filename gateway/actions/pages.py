"""Which page of an action comes next, and when to stop. Pure: what is called, and how, is decided elsewhere."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from gateway.config.actions import Pagination

_LINK: Final = re.compile(r'<([^>]*)>((?:\s*;\s*[^\s=;,]+(?:\s*=\s*(?:"[^"]*"|[^\s;,"]*))?)*)')  # RFC 8288 3
_RELATION: Final = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]*))', re.IGNORECASE)

LOOP, MAX_PAGES, MAX_ITEMS, MAX_BYTES = "loop", "max_pages", "max_items", "max_bytes"
PAGE_TOO_LARGE, NOT_JSON, NO_ITEMS, STATUS = "page_too_large", "not_json", "no_items", "status"
MESSAGES: Final = {
    LOOP: "the page names one that was read before; it was not read again",
    MAX_PAGES: "there are more pages than pagination.max_pages; read the rest with another start",
    MAX_ITEMS: "there are more items than pagination.max_items; read the rest with another start",
    MAX_BYTES: "the pages have more bytes than pagination.max_bytes; read fewer items a page, or another start",
    PAGE_TOO_LARGE: "the page has more bytes than pagination.max_mapped_bytes; read fewer items a page",
    NOT_JSON: "the body of the page is no JSON",
    NO_ITEMS: "the body of the page has no list at pagination.items",
    STATUS: "the page has a status that is no success",
}


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a walk has ended before the last page. ``page``: the one, from 1, at which it did."""

    page: int
    code: str
    message: str
    status: int = 0
    """Of the third party; 0: there is no response."""


@dataclass(slots=True)
class Walk:
    """The pages of one call. `take` the response to the request for ``given`` and ``link``, until it is ``ended``."""

    rules: Pagination
    given: Mapping[str, Any]
    """The input for the next page."""
    link: str = ""
    """The URL of the next page, of the kind ``link``; "": that of the action."""
    pages: int = 0
    items: int = 0
    size: int = 0
    """Bytes of the bodies of all pages."""
    ended: bool = False
    stop: Stop | None = None
    """None: there is no further page, or it has not ended."""
    _at: int = 0
    _full: int = 0
    """Items of a full page."""
    _seen: set[str] = field(default_factory=set)
    _before: bytes = b""
    """The digest of the items of the page before."""

    def __post_init__(self) -> None:
        rules, given = self.rules, dict(self.given)
        if rules.size_parameter:
            given.setdefault(rules.size_parameter, rules.size)
            self._full = _number(given[rules.size_parameter], 0)
        else:
            self._full = rules.size
        if rules.kind in ("page", "offset"):
            self._at = _number(given.get(rules.parameter), rules.start)
            given[rules.parameter] = self._at
        elif rules.kind == "cursor" and isinstance(cursor := given.get(rules.parameter), str):
            self._seen.add(cursor)
        self.given = given

    def take(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> list[object]:
        """The items of a page; sets what the next request is, or ``ended``."""
        page = self.pages + 1
        if status >= 300:
            return self._stopped(page, STATUS, status)
        if len(body) > self.rules.max_page_bytes:
            return self._stopped(page, PAGE_TOO_LARGE, status)
        if self.size + len(body) > self.rules.max_bytes:
            return self._stopped(page, MAX_BYTES, status)
        try:
            parsed = orjson.loads(body)
        except orjson.JSONDecodeError:
            return self._stopped(page, NOT_JSON, status)
        items = at(parsed, self.rules.items)
        if not isinstance(items, list):
            return self._stopped(page, NO_ITEMS, status)
        if self._repeats(items):
            return self._stopped(page, LOOP, status)
        self.pages, self.size = page, self.size + len(body)
        room = self.rules.max_items - self.items
        self.items += min(len(items), room)
        self._go_on(page, status, parsed, headers, len(items))
        if len(items) > room or (len(items) == room and not self.ended):
            self._stopped(page, MAX_ITEMS, status)
        return items[:room]

    def fail(self, code: str, message: str) -> None:
        """The request for the next page has no response."""
        self.ended, self.stop = True, Stop(self.pages + 1, code, message)

    def _stopped(self, page: int, code: str, status: int) -> list[object]:
        self.ended, self.stop = True, Stop(page, code, MESSAGES[code], status)
        return []

    def _repeats(self, items: list[object]) -> bool:
        """Whether a page is the one before again, because the third party ignores the parameter."""
        digest = hashlib.sha256(orjson.dumps(items)).digest() if items else b""
        before, self._before = self._before, digest
        return bool(digest) and digest == before and self.rules.kind in ("page", "offset")

    def _go_on(self, page: int, status: int, parsed: object, headers: Sequence[tuple[str, str]], count: int) -> None:
        rules = self.rules
        last = bool(rules.more) and not at(parsed, rules.more)
        match rules.kind:
            case "page" | "offset":
                self._at += 1 if rules.kind == "page" else count
                last = last or count == 0 or (count < self._full and not rules.more)
                self.given = {**self.given, rules.parameter: self._at}
            case "cursor":
                following = at(parsed, rules.cursor)
                last = last or following is None or following == ""
                self.given = {**self.given, rules.parameter: following}
                if not last and self._met(str(following)):
                    self._stopped(page, LOOP, status)
            case _:
                self.link = next_link(headers)
                last = last or not self.link
                if not last and self._met(self.link):
                    self._stopped(page, LOOP, status)
        self.ended = self.ended or last
        if not self.ended and page == rules.max_pages:
            self._stopped(page, MAX_PAGES, status)

    def _met(self, name: str) -> bool:
        met = name in self._seen
        self._seen.add(name)
        return met


def at(value: object, path: str) -> object:
    """What stands at a path of names with dots; None: nothing."""
    for name in filter(None, path.split(".")):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def next_link(headers: Sequence[tuple[str, str]]) -> str:
    """The target of the first link whose relation is ``next`` (RFC 8288 3.3); "": there is none."""
    return next(_links(headers), "")


def _links(headers: Sequence[tuple[str, str]]) -> Iterator[str]:
    for name, value in headers:
        if name.lower() != "link":
            continue
        for target, parameters in _LINK.findall(value):
            relation = _RELATION.search(parameters)
            if relation is not None and "next" in (relation[1] or relation[2] or "").lower().split():
                yield target


def _number(value: object, default: int) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else default
