"""``KEY=VALUE`` on the command line: a key of a record, dotted where it lies within another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from gateway.cli.files import value_of


def assign(changes: dict[str, Any], assignment: str, is_text: Callable[[str], bool]) -> None:
    """Put the value into ``changes``: JSON, or text. ``is_text``: whether the key takes a text that reads as JSON."""
    key, sign, text = assignment.partition("=")
    if not sign or not key:
        raise click.UsageError(f"{assignment} is no KEY=VALUE")
    put(changes, key, _value(text, is_text=is_text(key)))


def put(changes: dict[str, Any], key: str, value: object) -> None:
    """Set the dotted ``key``."""
    *parents, last = key.split(".")
    inner = changes
    for parent in parents:
        inner = inner.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise click.UsageError(f"{key}: {parent} has a value of its own already")
    inner[last] = value


def _value(text: str, *, is_text: bool) -> object:
    value = value_of(text)
    return text if is_text and value is not None and not isinstance(value, str) else value
