"""Files that commands read and write, as plain data; `read` is the inverse of `write`."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import click
import orjson

from gateway.cli.client import BadFile
from gateway.config.references import Reference

if TYPE_CHECKING:
    from gateway.config.formats.read import Format

_WRITTEN = (".yaml", ".yml", ".json", "")
"""Suffixes of files that are written; none, as in /dev/stdout, stands for YAML."""
_WORD = re.compile("[A-Za-z_][A-Za-z_-]*")


def read(file: pathlib.Path, at: tuple[str, ...] = ()) -> dict[str, object]:
    """The mapping in the file, ``${VAR}`` put in; ``at``: where it would stand in a configuration file. Raises
    `BadFile`."""
    from gateway.config.errors import ConfigError
    from gateway.config.formats import read

    try:
        text, form = read.text_of(file), read.format_of(file)
    except ConfigError as error:
        raise BadFile(str(error)) from None
    return data_of(text, form, str(file), at)


def data_of(text: str, form: Format, name: str, at: tuple[str, ...] = ()) -> dict[str, object]:
    """As `read`, of the ``text`` of a file. ``name``: in errors."""
    from gateway.config.errors import ConfigError, Problem
    from gateway.config.formats import read
    from gateway.config.variables import Substitution

    problems: list[Problem] = []
    try:
        root = read.tree_of(text, form, name, problems)
        substitution = Substitution(root, os.environ, at)
        data = substitution.data()
        problems += substitution.problems
        if problems:
            raise ConfigError(name, problems)
    except ConfigError as error:
        raise BadFile(str(error)) from None
    assert isinstance(data, dict)
    return data


def proxies(file: pathlib.Path, document: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """The proxies in a file by name, each with every key, so that they can be compared. Raises `BadFile`."""
    listed = document.get("proxies")
    if not isinstance(listed, list):
        # A key that is misspelt must not read as "no proxies": --prune would delete them all.
        raise BadFile(f"{file}: proxies: must be a list; write proxies: [] for none")
    found: dict[str, dict[str, object]] = {}
    for index, settings in enumerate(listed):
        made = complete(settings, f"{file}: proxies.{index}")
        if found.setdefault(str(made["name"]), made) is not made:
            raise BadFile(f"{file}: proxies.{index}.name: there is another {made['name']}; give each a name of its own")
    return found


class Secret(NamedTuple):
    """A secret in a file. ``origins``: where it may be sent to; (): the file does not say."""

    value: str
    origins: tuple[str, ...] = ()


def secrets(file: pathlib.Path, document: Mapping[str, object]) -> dict[str, Secret]:
    """The secrets in a file: a text each, or a mapping with value and origins. Raises `BadFile`, which quotes none."""
    listed = document.get("secrets", {})
    if not isinstance(listed, dict):
        raise BadFile(f"{file}: secrets: must be a mapping of keys and values")
    return {str(key): _secret(given, f"{file}: secrets.{key}") for key, given in listed.items()}


def _secret(given: object, place: str) -> Secret:
    if isinstance(given, str):
        return Secret(str(given))
    if not isinstance(given, dict) or not {"value"} <= given.keys() <= {"value", "origins"}:
        raise BadFile(f"{place}: must be text, or a mapping with value and origins; put the value in quotes")
    origins = given.get("origins", [])
    if not isinstance(given["value"], str):
        raise BadFile(f"{place}.value: must be text; put the value in quotes")
    if not isinstance(origins, list) or not all(isinstance(origin, str) for origin in origins):
        raise BadFile(f"{place}.origins: must be a list of origins; write [https://api.example.org]")
    return Secret(str(given["value"]), tuple(map(str, origins)))


def complete(settings: object, place: str) -> dict[str, object]:
    """A proxy of a file as the database stores it. Raises `BadFile`."""
    from gateway.config import single
    from gateway.config.errors import ConfigError

    if not isinstance(settings, dict):
        raise BadFile(f"{place}: must be a mapping with a name")
    try:
        return single.stored(settings, name=place).model_dump(mode="json")
    except ConfigError as error:
        raise BadFile(str(error)) from None


def write(file: pathlib.Path, document: Mapping[str, object], *, private: bool = False) -> None:
    """A new file is for its owner alone, and so is any with secrets, or that is ``private``.

    Raises OSError, and UsageError for its suffix.
    """
    text = text_of(file, document)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        if private or "secrets" in document:
            os.fchmod(descriptor, 0o600)
        stream.write(text)


def text_of(file: pathlib.Path, document: Mapping[str, object]) -> str:
    """``document`` as `write` writes it. Raises UsageError for the suffix of ``file``."""
    return _json(document) if _suffix(file) == ".json" else _yaml(document)


def _suffix(file: pathlib.Path) -> str:
    suffix = file.suffix.lower()
    if suffix not in _WRITTEN:
        raise click.UsageError(f"{file} is no file to write; name it *.yaml or *.json")
    return suffix


def value_of(text: str) -> object:
    """JSON where it is such, else the text."""
    try:
        return orjson.loads(text)
    except ValueError:
        return text


def _json(document: Mapping[str, object]) -> str:
    return orjson.dumps(_escaped(document), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def _yaml(document: Mapping[str, object]) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """PyYAML leaves text bare that other readers take for a number, as 1e3: values that are no words are quoted."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
        bare = _WORD.fullmatch(value) is not None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if bare else '"')

    Dumper.add_representer(str, text)
    return yaml.dump(_escaped(document), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1000)


def _escaped(value: object) -> object:
    """A dollar in a value is written twice, or ``read`` would take it for a reference to the environment."""
    if isinstance(value, Reference):
        return str(value)
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {key: _escaped(inner) for key, inner in value.items()}
    return [_escaped(inner) for inner in value] if isinstance(value, list) else value
