"""Changes one member of a JSON object, and no other byte of it: numbers, order, blanks and escapes stay as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import orjson

_STRING: Final = rb'"(?:[^"\\]|\\.)*"'
_TOKEN: Final = re.compile(_STRING + rb"|[{}\[\]]", re.DOTALL)
_COLON: Final = re.compile(rb"\s*:\s*")
_PLAIN: Final = re.compile(_STRING + rb"|[^,}\]\s]+", re.DOTALL)
"""A value that is neither an object nor a list."""


def with_member(body: bytes, name: str, value: str) -> bytes | None:
    """``body`` with the text ``value`` as its member ``name``, which is added when there is none; None: it is no
    object. A name that stands there twice is changed twice, because readers differ in which one they take.
    """
    try:
        if not isinstance(orjson.loads(body), dict):
            return None
    except orjson.JSONDecodeError:
        return None
    new = orjson.dumps(value)
    made, done = b"", 0
    for start, end in _places(body, name):
        made += body[done:start] + new
        done = end
    if done:
        return made + body[done:]
    begin = body.index(b"{") + 1
    comma = b"" if body[begin:].lstrip().startswith(b"}") else b","
    return body[:begin] + orjson.dumps(name) + b":" + new + comma + body[begin:]


def _places(body: bytes, name: str) -> Iterator[tuple[int, int]]:
    """Where the values stand of the members ``name`` of the object ``body``, which is well formed."""
    depth, begun = 0, -1
    for token in _TOKEN.finditer(body):
        opens = token[0] in (b"{", b"[")
        if opens:
            depth += 1
        elif token[0] in (b"}", b"]"):
            depth -= 1
            if depth == 1 and begun >= 0:
                yield begun, token.end()
                begun = -1
        elif depth == 1 and (colon := _COLON.match(body, token.end())) and orjson.loads(token[0]) == name:
            plain = _PLAIN.match(body, colon.end())
            if plain is None or plain[0][:1] in (b"{", b"["):
                begun = colon.end()
            else:
                yield plain.span()
