"""TOML 1.0 by tomllib, with the line of every key: a second, simple walk over the text finds them."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field

from gateway.config.errors import ConfigError, Path, Problem
from gateway.config.formats.tree import MAX_DEPTH, Node, Scalar, check_depth, end_of, grow, open_brackets, too_deep

_PLACE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")
_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_KEY = re.compile(r"""[ \t]*(?:([A-Za-z0-9_-]+)|'([^'\n]*)'|("(?:[^"\\\n]|\\.)*"))[ \t]*""")
_STRING = re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}|\'{3}.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL)
_BARE = re.compile(r"[^,\]}#\n]*")


def read(text: str, name: str, _problems: list[Problem]) -> Node:
    """The tree of ``text``; a text without a key is an empty scalar.

    Raises `ConfigError` for everything that is not TOML, duplicate keys included.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = _syntax_problem(text, str(error))
    except RecursionError:
        problem = too_deep()
    except ValueError:  # Python refuses to read a number of thousands of digits
        problem = Problem("a number has too many digits; write a smaller one", (), 1)
    else:
        return grow(name, data, _Locator(name, text).document()) if data else Scalar(None)
    raise ConfigError(name, [problem])


def _syntax_problem(text: str, told: str) -> Problem:
    """tomllib reports the place only in its sentence, and only before the end of the document."""
    if open_brackets(_STRING.sub("", text)) > MAX_DEPTH:
        return too_deep()
    place = _PLACE.search(told)
    line, column = (int(place[1]), int(place[2])) if place and place[1] else (text.count("\n") + 1, 0)
    message = f"not valid TOML: {_PLACE.sub('', told)}; check the quotes, the brackets and the keys before this place"
    return Problem(message, (), line, column)


@dataclass(slots=True)
class _Locator:
    """Finds the lines of keys and items in a text that tomllib has accepted; it checks nothing itself."""

    name: str
    text: str
    at: int = 0
    lines: dict[Path, int] = field(default_factory=dict)
    arrays: dict[Path, int] = field(default_factory=dict)  # [[header]] -> index of its latest table
    _counted: tuple[int, int] = (0, 1)

    def line(self) -> int:
        position, line = self._counted
        self._counted = (self.at, line + self.text.count("\n", position, self.at))
        return self._counted[1]

    def skip(self) -> str:
        """The next significant character, "" at the end."""
        self.at = end_of(_BLANK, self.text, self.at)
        return self.text[self.at : self.at + 1]

    def document(self) -> dict[Path, int]:
        table: Path = ()
        while first := self.skip():
            if first == "[":
                table = self.header()
            else:
                self.pair(table)
        return self.lines

    def header(self) -> Path:
        double = self.text.startswith("[[", self.at)
        line = self.line()
        self.at += 2 if double else 1
        path = self.key((), line)
        self.at += 2 if double else 1
        if double:
            index = self.arrays[path] = self.arrays.get(path, -1) + 1
            path = (*path, index)
        else:
            path = self.entered(path)
        self.lines.setdefault(path, line)
        return path

    def entered(self, path: Path) -> Path:
        """A path that names an array of tables means the latest of them."""
        return (*path, self.arrays[path]) if path in self.arrays else path

    def key(self, table: Path, line: int) -> Path:
        path = table
        while match := _KEY.match(self.text, self.at):
            bare, literal, basic = match.groups()
            path = (*self.entered(path), bare or (literal if basic is None else _unquoted(basic)) or "")
            check_depth(self.name, path, line)
            self.lines.setdefault(path, line)
            self.at = match.end()
            if self.text[self.at] != ".":
                break
            self.at += 1
        return path

    def pair(self, table: Path) -> None:
        path = self.key(table, self.line())
        self.at += 1  # the equals sign
        self.value(path)

    def value(self, path: Path) -> None:
        first = self.skip()
        if first in "[{":
            self.branch(path, is_list=first == "[")
        elif first in "\"'":
            self.at = end_of(_STRING, self.text, self.at)
        else:
            self.at = end_of(_BARE, self.text, self.at)

    def branch(self, path: Path, *, is_list: bool) -> None:
        check_depth(self.name, path, self.line())
        self.at += 1
        index = 0
        while (first := self.skip()) not in "]}":
            if first == ",":
                self.at += 1
            elif is_list:
                self.lines[(*path, index)] = self.line()
                self.value((*path, index))
                index += 1
            else:
                self.pair(path)
        self.at += 1


def _unquoted(basic: str) -> str:
    return next(iter(tomllib.loads(f"{basic} = 0")))
