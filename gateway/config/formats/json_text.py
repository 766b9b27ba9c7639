"""JSON, strict (RFC 8259), with the line of every key and item; duplicate keys are rejected."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import dataclass, field

from gateway.config.errors import ConfigError, Path, Problem
from gateway.config.formats import yaml_scalars
from gateway.config.formats.tree import (
    MAX_DEPTH,
    Branch,
    Node,
    Place,
    Scalar,
    check_depth,
    end_of,
    open_brackets,
    too_deep,
)

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
STRING = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_WORD = re.compile(r"[-+.A-Za-z0-9]+")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")


def read(text: str, name: str, problems: list[Problem]) -> Node:
    """The tree of ``text``; a text of spaces alone is an empty scalar.

    Duplicate keys are added to ``problems``; raises `ConfigError` when no tree results.
    """
    if not text.strip(" \t\n\r"):
        return Scalar(None)
    try:
        json.loads(text, parse_int=len)  # the syntax alone: `len` converts no number of a thousand digits
    except (json.JSONDecodeError, RecursionError) as error:
        raise ConfigError(name, [_syntax_problem(text, error)]) from None
    return _Walker(name, text, problems).node(())


def _syntax_problem(text: str, error: json.JSONDecodeError | RecursionError) -> Problem:
    """json's only bound on depth is the stack of the interpreter."""
    if isinstance(error, RecursionError) or open_brackets(STRING.sub("", text)) > MAX_DEPTH:
        return too_deep()
    message = f"not valid JSON: {error.msg}; check the commas, the quotes and the brackets before this place"
    return Problem(message, (), error.lineno, error.colno)


@dataclass(slots=True)
class _Walker:
    """A second walk over a text that is known to be JSON, this time for the lines."""

    name: str
    text: str
    problems: list[Problem]
    at: int = 0
    breaks: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.breaks = [match.start() for match in re.finditer("\n", self.text)]

    def line(self) -> int:
        return bisect_right(self.breaks, self.at) + 1

    def peek(self) -> str:
        self.at = end_of(_SPACE, self.text, self.at)
        return self.text[self.at]

    def node(self, path: Path) -> Node:
        check_depth(self.name, path, self.line())
        if (first := self.peek()) in "{[":
            return self.branch(path, is_list=first == "[")
        return Scalar(self.string() if first == '"' else self.word(path))

    def branch(self, path: Path, *, is_list: bool) -> Branch:
        branch = Branch(is_list)
        while self.text[self.at] not in "]}":
            self.at += 1  # the opening bracket, or the comma
            if self.peek() in "]}":
                break  # only an empty branch
            line = self.line()
            key: str | int = len(branch.places) if is_list else self.key()
            branch.add((*path, key), Place(line, self.node((*path, key))), self.problems)
            self.peek()
        self.at += 1
        return branch

    def key(self) -> str:
        key = self.string()
        self.peek()
        self.at += 1  # the colon
        return key

    def string(self) -> str:
        value, self.at = _DECODER.raw_decode(self.text, self.at)
        return str(value)

    def word(self, path: Path) -> object:
        word = self.text[self.at : end_of(_WORD, self.text, self.at)]
        if not _NUMBER.fullmatch(word) and word not in ("true", "false", "null"):
            message = "NaN and Infinity are not JSON; write a number"
            raise ConfigError(self.name, [Problem(message, path, self.line())])
        self.at += len(word)
        return yaml_scalars.resolve(word)
