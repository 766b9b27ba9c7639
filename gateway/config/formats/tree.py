"""A configuration text as a tree with line numbers: what the readers of all three formats return."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from gateway.config.errors import ConfigError, Path, Problem

MAX_DEPTH = 32  # the contract needs 6 levels; the bound keeps recursion over a hostile file short


@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """``plain`` marks an unquoted YAML scalar: it is resolved once more after ``${VAR}`` was replaced."""

    value: object
    plain: bool = False


class Place(NamedTuple):
    """A child of a branch, and the line (from 1) of its key or of its item."""

    line: int
    node: Node


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """A mapping (keys are text) or, with ``is_list``, a list (keys are 0, 1, ...). YAML aliases share branches."""

    is_list: bool = False
    places: dict[str | int, Place] = field(default_factory=dict)

    def add(self, path: Path, place: Place, problems: list[Problem]) -> None:
        """Put ``place`` under the last key of ``path``; the second use of a key is a problem and changes nothing."""
        first = self.places.setdefault(path[-1], place)
        if first is not place:
            message = f"this key is already in line {first.line}; remove one of the two"
            problems.append(Problem(message, path, place.line))


Node: TypeAlias = Scalar | Branch


def locate(root: Node, path: Path) -> tuple[int, Path]:
    """The line of ``path`` or of its nearest parent that exists, and ``path`` cut where it leads into a scalar.

    A path that leads to a missing key of a branch is kept whole: that key is what the reader has to add. An index into
    what is no list is left out: the model reads one address as a list of one.
    """
    found: Path = ()
    line, node = 1, root
    for depth, key in enumerate(path):
        if isinstance(node, Scalar):
            return line, found
        if isinstance(key, int) and not node.is_list:
            continue
        if key not in node.places:
            return line, found + path[depth:]
        line, node = node.places[key]
        found = (*found, key)
    return line, found


def check_depth(name: str, path: Path, line: int) -> None:
    """Raises `ConfigError` when ``path`` is deeper than any configuration needs."""
    if len(path) > MAX_DEPTH:
        raise ConfigError(name, [too_deep(line)])


def too_deep(line: int = 1) -> Problem:
    """The message for a text nested deeper than `MAX_DEPTH`; each reader uses it."""
    return Problem(f"nested deeper than {MAX_DEPTH} levels; remove the inner levels", (), line)


def open_brackets(text: str) -> int:
    """The most brackets and braces of ``text`` that are open at one place; quotes mean nothing here.

    For a text that a library has rejected: each has its own bound on depth, or none, and its own message for it.
    """
    depth = deepest = 0
    for bracket in re.findall(r"[\[{\]}]", text):
        depth = depth + 1 if bracket in "[{" else max(0, depth - 1)
        deepest = max(deepest, depth)
    return deepest


def end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where what ``pattern`` matches at ``at`` ends; ``at`` itself when it matches nothing."""
    match = pattern.match(text, at)
    return at if match is None else match.end()


def grow(name: str, value: object, lines: Mapping[Path, int], path: Path = (), line: int = 1) -> Node:
    """The tree of plain data with the lines in ``lines``; what has no line gets its parent's."""
    check_depth(name, path, line)
    if not isinstance(value, dict | list):
        return Scalar(value)
    branch = Branch(is_list=isinstance(value, list))
    for key, child in value.items() if isinstance(value, dict) else enumerate(value):
        at = lines.get((*path, key), line)
        branch.places[key] = Place(at, grow(name, child, lines, (*path, key), at))
    return branch
