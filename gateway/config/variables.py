"""``${VAR}`` and ``${VAR:-default}`` in the values of a configuration; ``$$`` is a dollar."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.config import header_template, placeholders
from gateway.config.errors import Path, Problem
from gateway.config.formats import yaml_scalars
from gateway.config.formats.tree import Node, Scalar, locate

_REFERENCE = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|(\{))")

_TEMPLATES_OF_ACTIONS: Final = frozenset(("body", "config", "headers", "path", "query", "query_params", "request_body"))
"""Keys of an action whose texts have places for parameters."""


class Substituted(str):
    """Text made of references alone: a field that needs a number, a boolean or null takes `resolved`."""

    __slots__ = ()

    @property
    def resolved(self) -> object:
        return yaml_scalars.resolve(str(self))


def _as_it_is(text: str) -> str:
    return text


def expand(text: str, env: Mapping[str, str], quoted: Callable[[str], str] = _as_it_is) -> str:
    """``text`` with its references replaced. The default serves when the variable is unset or empty, as in a shell.

    ``quoted`` writes the value of a variable so that the field reads it as text; a default is a part of the file.

    Raises ValueError with a sentence that names the variable and quotes no value.
    """

    def replacement(match: re.Match[str]) -> str:
        name, default, malformed = match.groups()
        if malformed:
            raise ValueError("a reference is not complete; write ${NAME} or ${NAME:-default}, and $${ for a plain ${")
        if name is None:
            return "$"
        value = env.get(name)
        if value is None and default is None:
            raise ValueError(f"${{{name}}} is not set; set it in the environment or write ${{{name}:-default}}")
        return quoted(value) if value else default or ""

    return _REFERENCE.sub(replacement, text)


def _quoting(path: Path) -> Callable[[str], str]:
    """How the value at ``path`` reads what a variable holds as text: what is put in is no part of a template."""
    where = path[2:] if path[:1] == ("connectors",) else path
    if where[:1] == ("actions",):
        return placeholders.quoted if _TEMPLATES_OF_ACTIONS.intersection(map(str, where[2:3])) else _as_it_is
    in_template = where[:1] != ("connections",) and "headers" in path[-2:-1]
    return header_template.quoted if in_template else _as_it_is


def _is_reference(text: str) -> bool:
    match = _REFERENCE.fullmatch(text)
    return match is not None and match[1] is not None


@dataclass(slots=True)
class Substitution:
    """One pass over a tree: gives plain data and gathers the references that cannot be replaced.

    A branch that YAML aliases share is visited once and shared in the data too, so that aliases of aliases stay small.
    """

    root: Node
    env: Mapping[str, str]
    at: Path = ()
    """Where the tree would stand in a configuration file."""
    problems: list[Problem] = field(default_factory=list)
    inserted: dict[tuple[str, str], set[str]] = field(default_factory=dict, repr=False)
    """What variables have put into connections and actions, by ``connections`` or ``actions`` and the name there."""
    _done: dict[int, object] = field(default_factory=dict)

    def data(self) -> object:
        return self._value(self.root, ())

    def _value(self, node: Node, path: Path) -> object:
        if isinstance(node, Scalar):
            return self._scalar(node, path)
        if id(node) not in self._done:
            children = {key: self._value(place.node, (*path, key)) for key, place in node.places.items()}
            self._done[id(node)] = list(children.values()) if node.is_list else children
        return self._done[id(node)]

    def _scalar(self, node: Scalar, path: Path) -> object:
        text = node.value
        if not isinstance(text, str) or "$" not in text:
            return text
        try:
            value = expand(text, self.env, _quoting((*self.at, *path)))
            self._remember(text, (*self.at, *path))
        except ValueError as error:
            self.problems.append(Problem(str(error), path, locate(self.root, path)[0]))
            return text
        return Substituted(value) if node.plain or _is_reference(text) else value

    def _remember(self, text: str, path: Path) -> None:
        where = path[2:] if path[:1] == ("connectors",) else path
        if where[:1] in (("connections",), ("actions",)) and len(where) > 1:
            found = {self.env.get(match[1], "") for match in _REFERENCE.finditer(text) if match[1]} - {""}
            self.inserted.setdefault((str(where[0]), str(where[1])), set()).update(found)
