"""Where a configuration comes from: a file's bytes, its format by suffix, its text, its tree."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from gateway.config.errors import ConfigError, Problem
from gateway.config.formats import json_text, toml_text, yaml_text
from gateway.config.formats.tree import Branch, Node, Scalar

Format: TypeAlias = Literal["yaml", "json", "toml"]

_SUFFIXES: Mapping[str, Format] = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}
_READERS: Mapping[Format, Callable[[str, str, list[Problem]], Node]] = {
    "yaml": yaml_text.read,
    "json": json_text.read,
    "toml": toml_text.read,
}
# YAML 1.2.2, 5.1: the printable characters; JSON and TOML gain nothing from the others either.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def format_of(path: pathlib.Path) -> Format:
    """Raises `ConfigError` for the suffix of no known format."""
    found = _SUFFIXES.get(path.suffix.lower())
    if found is None:
        message = f"the suffix is that of no known format; name the file *{', *'.join(_SUFFIXES)}"
        raise ConfigError(str(path), [Problem(message)])
    return found


def text_of(path: pathlib.Path) -> str:
    """The file as text. Raises `ConfigError` when it cannot be read or is not UTF-8."""
    name = str(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        problem = Problem(_unreadable(error))
    else:
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = content[: error.start]
            line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
            problem = Problem("not UTF-8; save the file in the encoding UTF-8", (), line, column)
    raise ConfigError(name, [problem])


def _unreadable(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file; check the path"
    if isinstance(error, IsADirectoryError):
        return "this is a directory; name the file in it"
    return f"the file cannot be read ({error.strerror}); check its owner and its mode"


def tree_of(text: str, format: Format, name: str, problems: list[Problem]) -> Branch:  # noqa: A002 - the contract's word
    """The tree of ``text``; errors that do not prevent further checks are added to ``problems``.

    Raises `ConfigError` for broken syntax and when there is no mapping at the top.
    """
    if stray := _UNPRINTABLE.search(text):
        at = stray.start()
        message = f"the character U+{ord(stray[0]):04X} does not belong in a configuration; remove it"
        line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
        raise ConfigError(name, [Problem(message, (), line, column)])
    node = _READERS[format](text, name, problems)
    if isinstance(node, Scalar) and node.value is None:
        raise ConfigError(name, [Problem("the file is empty; begin with a list of `proxies`", (), 1)])
    if isinstance(node, Scalar) or node.is_list:
        raise ConfigError(name, [Problem("the top level must be a mapping; begin with `proxies:`", (), 1)])
    return node
