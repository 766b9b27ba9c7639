"""What commands do with the connections and actions that they make: write them to a file, or create them in the
database."""

from __future__ import annotations

import fnmatch
import functools
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import click

from gateway.cli import files, new_calls
from gateway.cli.call_files import Kind
from gateway.cli.client import BadFile, Target
from gateway.cli.types import Json
from gateway.core.text import counted, printable

if TYPE_CHECKING:
    from gateway.config.formats.read import Format
    from gateway.config.openapi.importer import Imported

Records = Mapping[Kind, Mapping[str, Json]]
"""Connections and actions as the API takes them, by TRN."""


class Destination(NamedTuple):
    """Where they go: into the database where ``create`` is set, and only in a dry run; else into the file ``place``."""

    place: pathlib.Path
    create: bool
    dry_run: bool


_OPTIONS = (
    click.option(
        "--output",
        type=click.Path(path_type=pathlib.Path),
        help="Write here, *.yaml or *.json, and replace what is there; else YAML to standard output.",
    ),
    click.option(
        "--create", is_flag=True, help="Create them in the database instead; one that is rejected undoes all."
    ),
    click.option("--dry-run", is_flag=True, help="With --create: change nothing; show what would be created."),
)


def destined(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say where to; the command gets them as its argument ``destination``."""

    @functools.wraps(command)
    def with_destination(
        *given: object, output: pathlib.Path | None, create: bool, dry_run: bool, **rest: object
    ) -> None:
        if create and output is not None:
            raise click.UsageError("--create writes no file; leave --output out")
        if dry_run and not create:
            raise click.UsageError("--dry-run belongs to --create; add it")
        place = output or pathlib.Path("/dev/stdout")
        command(*given, destination=Destination(place, create, dry_run), **rest)

    for option in reversed(_OPTIONS):
        with_destination = option(with_destination)
    return with_destination


def deliver(
    target: Target,
    destination: Destination,
    found: Imported,
    document: dict[str, object],
    records: Callable[[], Records],
    tenant: str,
) -> None:
    """Write ``document``, or create ``records`` for ``tenant``, and say what ``found`` has and needs."""
    if destination.create:
        remark(found)
        new_calls.create(target, records(), tenant, dry_run=destination.dry_run)
        return
    try:
        files.write(destination.place, document)
    except OSError as error:
        raise click.ClickException(f"{destination.place}: {error.strerror}") from None
    _report(found)


def selection(only: tuple[str, ...]) -> Callable[[str, str], bool]:
    """Whether one of two names fits one of the patterns ``only``; all do where there is none."""

    def wanted(name: str, path: str) -> bool:
        return not only or any(fnmatch.fnmatchcase(each, pattern) for each in (name, path) for pattern in only)

    return wanted


def check(name: str, text: str, place: pathlib.Path) -> None:
    """Raises `BadFile` for ``text``, which would be written to ``place``, when `gateway check` would reject it: it was
    made of what no action can have. ``name``: in errors."""
    from gateway.config.errors import ConfigError
    from gateway.config.load import parse

    try:
        form: Format = "json" if place.suffix == ".json" else "yaml"
        parse(text, form, name, dict.fromkeys(variables(text), "value"))
    except ConfigError as error:
        raise BadFile(f"{error}\nselect others with --only, or correct the source") from None


def variables(text: str) -> list[str]:
    """The names of the variables that a written configuration needs, each once."""
    return list(dict.fromkeys(re.findall(r"(?<!\$)\$\{([A-Z0-9_]+)\}", text)))


def remark(found: Imported) -> None:
    """Say on standard error what is left out or needs a person."""
    for each in found.remarks:
        click.echo(f"! {printable(each)}", err=True)  # it holds what others have written


def _report(found: Imported) -> None:
    """What was made, and what it needs; on standard error, because standard output may be the file."""
    remark(found)
    needed = [each for connection in found.connections.values() for each in _texts(connection)]
    listed = (found.connections, "connection"), (found.actions, "action")
    counts = [counted(len(items), noun) for items, noun in listed if items]
    names = variables(" ".join(needed))
    click.echo(", ".join(counts) + (f"; set {', '.join(names)}" if names else ""), err=True)


def _texts(value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [text for each in value.values() for text in _texts(each)]
    return [value] if isinstance(value, str) else []
