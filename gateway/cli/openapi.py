"""`gateway action import-openapi`: connections and actions from the description of an API."""

from __future__ import annotations

import fnmatch
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import click

from gateway.cli import call_files, files, new_calls
from gateway.cli.client import BadFile, Target
from gateway.cli.options import acts
from gateway.cli.types import Json

if TYPE_CHECKING:
    from gateway.config.formats.read import Format
    from gateway.config.openapi.importer import Imported


@click.command("import-openapi")
@click.argument("file", type=click.Path(path_type=pathlib.Path))
@click.option(
    "--output",
    type=click.Path(path_type=pathlib.Path),
    help="Write here, *.yaml or *.json, and replace what is there; else YAML to standard output.",
)
@click.option("--connection", "name", metavar="NAME", help="The name of the connection; else from the title.")
@click.option("--base-url", metavar="URL", help="Where the API is, instead of the servers of the description.")
@click.option(
    "--only", multiple=True, metavar="PATTERN", help="Only operations whose name or path fits; * is any text."
)
@click.option("--create", is_flag=True, help="Create them in the database instead, all or none.")
@click.option("--dry-run", is_flag=True, help="With --create: change nothing; show what would be created.")
@click.option("--tenant", metavar="NAME", help="With --create: whose they are; else `default`.")
@acts
def import_openapi(
    target: Target,
    file: pathlib.Path,
    output: pathlib.Path | None,
    name: str | None,
    base_url: str | None,
    only: tuple[str, ...],
    create: bool,
    dry_run: bool,
    tenant: str | None,
) -> None:
    """Make connections and actions of FILE, an OpenAPI 3.0 or 3.1 document in YAML or JSON.

    The result is a configuration file, or a part of one. Credentials are variables, which it names. What cannot be
    called, and what needs a person, is said on standard error. References to other documents are not followed.

    With --create the values of those variables are stored, and the options below say where.
    """
    if create and output is not None:
        raise click.UsageError("--create writes no file; leave --output out")
    if not create and (dry_run or tenant is not None):
        raise click.UsageError("--dry-run and --tenant belong to --create; add it")
    found = _found(file, name, base_url, only)
    place = output or pathlib.Path("/dev/stdout")
    document: dict[str, object] = {"connections": found.connections, "actions": found.actions}
    text = files.text_of(place, document)
    check(f"{file}, as actions", text, place)
    if create:
        remark(found)
        new_calls.create(target, _records(file, text, tenant or "default"), tenant or "default", dry_run=dry_run)
        return
    try:
        files.write(place, document)
    except OSError as error:
        raise click.ClickException(f"{place}: {error.strerror}") from None
    report(found)


def _records(file: pathlib.Path, text: str, tenant: str) -> dict[call_files.Kind, dict[str, Json]]:
    """What the configuration ``text`` has, by TRN, with the values of variables. Raises `BadFile`."""
    settings = files.data_of(text, "yaml", f"{file}, as actions")
    connections = settings["connections"]
    assert isinstance(connections, dict)
    owned = {name: {**each, "tenant": tenant} for name, each in connections.items()}
    return call_files.calls(file, {**settings, "connections": owned}, tenant)


def _found(file: pathlib.Path, name: str | None, base_url: str | None, only: tuple[str, ...]) -> Imported:
    """Raises `BadFile`."""
    from gateway.config.errors import ConfigError
    from gateway.config.formats.read import text_of
    from gateway.config.openapi.importer import imported, plain_name
    from gateway.config.openapi.source import InvalidDescriptionError, read

    if name is not None and plain_name(name) != name:
        raise click.UsageError("--connection must be 1 to 40 letters, digits, `_`, `.` or `-`; choose such a name")
    try:
        source = read(text_of(file), str(file))
        found = imported(source, name=name or "", base_url=base_url or "", wanted=selection(only))
    except ConfigError as error:
        raise BadFile(str(error)) from None
    except InvalidDescriptionError as error:
        raise BadFile(f"{file}: {error}") from None
    if not found.actions:
        remark(found)
        raise BadFile(f"{file}: no operation can be called; name others with --only")
    return found


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
        # What others have written stands in it, and a terminal must not obey that.
        click.echo("! " + "".join(char if char.isprintable() else " " for char in each), err=True)


def report(found: Imported) -> None:
    """What was made, and what it needs; on standard error, because standard output may be the file."""
    remark(found)
    needed = [each for connection in found.connections.values() for each in _texts(connection)]
    counts = [
        f"{len(listed)} {what}{'' if len(listed) == 1 else 's'}"
        for listed, what in ((found.connections, "connection"), (found.actions, "action"))
        if listed
    ]
    names = variables(" ".join(needed))
    click.echo(", ".join(counts) + (f"; set {', '.join(names)}" if names else ""), err=True)


def _texts(value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [text for each in value.values() for text in _texts(each)]
    return [value] if isinstance(value, str) else []
