"""YAML, read from the parser's events: duplicate keys rejected, aliases safe, every value with its line.

PyYAML's own constructors are not used: they follow YAML 1.1 (``yes`` is a boolean), keep the last of two equal keys and
know neither lines nor a bound on depth.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from gateway.config.errors import ConfigError, Path, Problem
from gateway.config.formats import yaml_scalars
from gateway.config.formats.tree import MAX_DEPTH, Branch, Node, Place, Scalar, check_depth, open_brackets

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"


def read(text: str, name: str, problems: list[Problem]) -> Node:
    """The tree of the one document in ``text``; a text without a document is an empty scalar.

    Duplicate keys are added to ``problems``; raises `ConfigError` when no tree results.
    """
    try:
        return _Composer(name, yaml.parse(text, Loader=_LOADER), problems).document()
    except yaml.MarkedYAMLError as error:
        _check_depth(text, name, error.problem_mark)
        problem = _syntax_problem(text, error)
    except yaml.YAMLError:
        problem = Problem("not valid YAML; check for characters that do not belong in a text file")
    raise ConfigError(name, [problem])


def _check_depth(text: str, name: str, mark: yaml.Mark | None) -> None:
    """Raises `ConfigError` when ``text`` is nested too deeply up to ``mark``, where the parser rejected it.

    libyaml has its own bound, and reads a thousand brackets ahead before it reports the first. PyYAML's parser in
    Python reports one level after the other; it is slow, so it is used only where the text can have that many levels.
    """
    if mark and (mark.column >= MAX_DEPTH or open_brackets(text[: mark.index]) > MAX_DEPTH):
        with contextlib.suppress(yaml.YAMLError):
            _Composer(name, yaml.parse(text, Loader=yaml.SafeLoader), []).document()


def _syntax_problem(text: str, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    lines = text.splitlines() or [""]
    line, column = (mark.line, mark.column) if mark else (0, 0)
    if line >= len(lines):  # the parser reports the end of the text as a line of its own
        line, column = len(lines) - 1, len(lines[-1])
    begun = f" (line {error.context_mark.line + 1})" if error.context and error.context_mark else ""
    what = "; ".join(filter(None, (f"{error.context or ''}{begun}", error.problem)))
    return Problem(f"not valid YAML: {what}; {_hint(lines[line], column)}", (), line + 1, column + 1)


def _hint(source: str, column: int) -> str:
    if "\t" in source[: column + 1]:
        return "indent with spaces, not with tabs"
    if "${" in source:
        return 'put quotes around a value with ${...}: "${NAME}"'
    return "check the indentation, the quotes and the colons before this place"


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


@dataclass(slots=True)
class _Composer:
    name: str
    events: Iterator[yaml.Event]
    problems: list[Problem]
    anchors: dict[str, Node | None] = field(default_factory=dict)  # None: begun and not yet complete

    def document(self) -> Node:
        next(self.events)  # the stream starts
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return Scalar(None)
        root = self.node(next(self.events), ())
        next(self.events)  # the document ends
        if not isinstance(after := next(self.events), yaml.StreamEndEvent):
            raise self.refusal(after, (), "a second document begins here; keep one document in the file")
        return root

    def refusal(self, event: yaml.Event, path: Path, message: str) -> ConfigError:
        return ConfigError(self.name, [Problem(message, path, _line(event))])

    def node(self, event: yaml.Event, path: Path) -> Node:
        check_depth(self.name, path, _line(event))
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, path)
        anchor = getattr(event, "anchor", None)
        if anchor:
            self.anchors[anchor] = None
        node = self.scalar(event, path) if isinstance(event, yaml.ScalarEvent) else self.branch(event, path)
        if anchor:
            self.anchors[anchor] = node
        return node

    def alias(self, event: yaml.AliasEvent, path: Path) -> Node:
        if event.anchor not in self.anchors:
            raise self.refusal(event, path, f"no anchor &{event.anchor} stands before *{event.anchor}; define it first")
        node = self.anchors[event.anchor]
        if node is None:
            raise self.refusal(event, path, f"*{event.anchor} refers to itself; remove the loop")
        return node

    def scalar(self, event: yaml.ScalarEvent, path: Path) -> Scalar:
        if event.tag not in (None, "!", _TAG + "str"):
            raise self.refusal(event, path, "tags are not supported; remove the word that begins with !")
        plain = event.implicit[0] and not event.style and event.tag is None
        return Scalar(yaml_scalars.resolve(event.value) if plain else event.value, plain)

    def branch(self, event: yaml.Event, path: Path) -> Branch:
        if getattr(event, "tag", None) not in (None, "!", _TAG + "map", _TAG + "seq"):
            raise self.refusal(event, path, "tags are not supported; remove the word that begins with !")
        branch = Branch(is_list=isinstance(event, yaml.SequenceStartEvent))
        while not isinstance(child := next(self.events), yaml.CollectionEndEvent):
            key: str | int = len(branch.places) if branch.is_list else self.key(child, path)
            value = child if branch.is_list else next(self.events)
            branch.add((*path, key), Place(_line(child), self.node(value, (*path, key))), self.problems)
        return branch

    def key(self, event: yaml.Event, path: Path) -> str:
        """The text of a key, as written: ``true`` and ``1`` are names here."""
        if not isinstance(event, yaml.ScalarEvent):
            raise self.refusal(event, path, "a key must be a plain word; write `key: value`")
        key = str(event.value)
        if key == "<<" and not event.style:
            raise self.refusal(event, path, "merge keys (<<) are not supported; write the keys out")
        return key
