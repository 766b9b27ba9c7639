"""Parses client input from text to checked values, before any model sees it. No message holds a value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import orjson

from gateway.admin.errors import Field, validation
from gateway.config.formats.json_text import STRING
from gateway.config.formats.tree import open_brackets

MAX_DEPTH: Final = 32
_MAX_DIGITS: Final = 20
_MAX_NAMED: Final = 20
"""Problems that one response reports; a body of a megabyte may have more."""
_MAX_SHOWN: Final = 200
_LARGEST: Final = 1_000_000_000
_WHOLE: Final = re.compile(r"[1-9][0-9]{0,9}")
_VERSION: Final = re.compile(r'"([1-9][0-9]{0,8})"|([1-9][0-9]{0,8})')

Path = tuple[str | int, ...]


class Count(int):
    """The kind of a parameter that may also be 0."""


class _Twice(dict[str, object]):
    """An object in which the key ``key`` stood more than once."""

    key: str = ""


class _TooLarge(int):
    """Stands for a whole number beyond 64 bits."""


def parse_body(text: bytes) -> Mapping[str, object]:
    """The JSON object that ``text`` is. Raises `AdminError` with the place or the path of what is wrong.

    Also rejected: what another parser could read differently (a duplicate key, whole numbers beyond 64 bits), what no
    database stores (NUL), and nesting deeper than `MAX_DEPTH`.
    """
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if open_brackets(STRING.sub("", text.decode(errors="replace"))) > MAX_DEPTH:
            raise validation([("", _deep())]) from None  # orjson has a bound of its own, in its own words
        raise validation([("", _not_json(text, error))]) from None
    if not isinstance(found, dict):
        raise validation([("", "the body must be a JSON object; write {...}")])
    if problems := [problem for problem, _ in zip(_problems(_tree(text), ()), range(_MAX_NAMED), strict=False)]:
        raise validation(problems)
    return found


def _not_json(text: bytes, error: orjson.JSONDecodeError) -> str:
    if not text:
        return "the body is empty; send a JSON object"
    try:
        text.decode()
    except UnicodeDecodeError:
        return "the body is not UTF-8; send it in this encoding"
    return f"the body is no JSON: {error.msg} at line {error.lineno}, column {error.colno}; fix it there"


def parse_query(given: Iterable[tuple[str, str]], kinds: Mapping[str, type]) -> dict[str, object]:
    """The parameters by name, as their kinds. Raises `AdminError` for unknown, doubled and malformed ones."""
    found: dict[str, object] = {}
    wrong: list[Field] = []
    for name, text in given:
        kind = kinds.get(name)
        if kind is None:
            wrong.append((name, f"unknown parameter; there are {', '.join(kinds) or 'none'}"))
        elif name in found:
            wrong.append((name, "stands twice; remove one of the two"))
        elif kind is bool and text not in ("true", "false"):
            wrong.append((name, "must be true or false"))
        elif issubclass(kind, int) and kind is not bool and not _counts(kind, text):
            least = 0 if kind is Count else 1
            wrong.append((name, f"must be a whole number from {least} to {_LARGEST}; write it in digits"))
        else:
            found[name] = text == "true" if kind is bool else kind(text)
    if wrong:
        raise validation(wrong[:_MAX_NAMED])
    return found


def _counts(kind: type, text: str) -> bool:
    return (kind is Count and text == "0") or (_WHOLE.fullmatch(text) is not None and int(text) <= _LARGEST)


def parse_version(if_match: str) -> int:
    """The version that an If-Match header names. Raises `AdminError`."""
    match = _VERSION.fullmatch(if_match.strip())
    if match is None:
        raise validation([("If-Match", 'must be a version in quotes, as in "3"')])
    return int(match[1] or match[2])


def _tree(text: bytes) -> object:
    """``text``, known to be JSON, with marks where it has what orjson drops in silence."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_whole)
    except RecursionError:
        raise validation([("", _deep())]) from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    twice = _Twice(made)
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            twice.key = key
            break
        seen.add(key)
    return twice


def _whole(text: str) -> int:
    if len(text) <= _MAX_DIGITS and -(1 << 63) <= (number := int(text)) < 1 << 64:
        return number
    return _TooLarge()


def _problems(value: object, path: Path) -> Iterator[Field]:
    if len(path) > MAX_DEPTH:
        yield _shown(path), _deep()
        return
    if isinstance(value, _Twice):
        yield _shown((*path, value.key)), "this key stands twice; remove one of the two"
    if isinstance(value, dict):
        for key, inner in value.items():
            if "\0" in key:
                yield _shown(path), "a key in it holds a NUL character; remove it"
            yield from _problems(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _problems(inner, (*path, index))
    elif isinstance(value, str):
        if "\0" in value:
            yield _shown(path), "holds a NUL character; remove it"
    elif isinstance(value, _TooLarge):
        yield _shown(path), "is a whole number beyond 64 bits; write it as a text"


def _shown(path: Path) -> str:
    return ".".join(map(str, path)).replace("\0", "")[:_MAX_SHOWN]


def _deep() -> str:
    return f"nested deeper than {MAX_DEPTH} levels; remove the inner levels"
