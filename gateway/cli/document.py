"""A YAML, JSON or TOML file that a command reads, as plain data."""

from __future__ import annotations

import os
import pathlib
import sys
from typing import Any

import click
import orjson


def read(file: pathlib.Path) -> dict[str, Any]:
    """The mapping in the file, ``${VAR}`` put in. What is wrong with it ends the program: its lines, exit code 2."""
    from gateway.config import source
    from gateway.config.problem import ConfigError, Problem
    from gateway.config.variables import Substitution

    problems: list[Problem] = []
    try:
        root = source.tree_of(source.text_of(file), source.format_of(file), str(file), problems)
        substitution = Substitution(root, os.environ)
        data = substitution.data()
        problems += substitution.problems
        if problems:
            raise ConfigError(str(file), problems)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    return dict(orjson.loads(orjson.dumps(data, default=_resolved)))


def _resolved(value: object) -> object:
    return getattr(value, "resolved", None)
