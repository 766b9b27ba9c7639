"""`gateway action import-openapi`: connections and actions from the description of an API."""

from __future__ import annotations

import fnmatch
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import click

from gateway.cli import files
from gateway.cli.client import BadFile

if TYPE_CHECKING:
    from gateway.config.openapi.importer import Imported


@click.command("import-openapi")
@click.argument("file", type=click.Path(path_type=pathlib.Path))
@click.option(
    "--output",
    type=click.Path(path_type=pathlib.Path),
    default="/dev/stdout",
    help="Write here, *.yaml or *.json, and replace what is there; else YAML to standard output.",
)
@click.option("--connection", "name", metavar="NAME", help="The name of the connection; else from the title.")
@click.option("--base-url", metavar="URL", help="Where the API is, instead of the servers of the description.")
@click.option(
    "--only", multiple=True, metavar="PATTERN", help="Only operations whose name or path fits; * is any text."
)
def import_openapi(
    file: pathlib.Path, output: pathlib.Path, name: str | None, base_url: str | None, only: tuple[str, ...]
) -> None:
    """Make connections and actions of FILE, an OpenAPI 3.0 or 3.1 document in YAML or JSON.

    The result is a configuration file, or a part of one. Credentials are variables, which it names. What cannot be
    called, and what needs a person, is said on standard error. References to other documents are not followed.
    """
    from gateway.config.errors import ConfigError
    from gateway.config.formats.read import text_of
    from gateway.config.openapi.importer import imported, plain_name
    from gateway.config.openapi.source import InvalidDescriptionError, read

    if name is not None and plain_name(name) != name:
        raise click.UsageError("--connection must be 1 to 40 letters, digits, `_`, `.` or `-`; choose such a name")
    try:
        source = read(text_of(file), str(file))
        found = imported(source, name=name or "", base_url=base_url or "", wanted=_selection(only))
    except ConfigError as error:
        raise BadFile(str(error)) from None
    except InvalidDescriptionError as error:
        raise BadFile(f"{file}: {error}") from None
    if not found.actions:
        _remark(found)
        raise BadFile(f"{file}: no operation can be called; name others with --only")
    document: dict[str, object] = {"connections": found.connections, "actions": found.actions}
    _check(file, files.text_of(output, document), output.suffix == ".json")
    try:
        files.write(output, document)
    except OSError as error:
        raise click.ClickException(f"{output}: {error.strerror}") from None
    _report(found)


def _selection(only: tuple[str, ...]) -> Callable[[str, str], bool]:
    def wanted(name: str, path: str) -> bool:
        return not only or any(fnmatch.fnmatchcase(each, pattern) for each in (name, path) for pattern in only)

    return wanted


def _check(file: pathlib.Path, text: str, is_json: bool) -> None:
    """Raises `BadFile` for what `gateway check` would reject: the description has what no action can have."""
    from gateway.config.errors import ConfigError
    from gateway.config.load import parse

    try:
        parse(text, "json" if is_json else "yaml", f"{file}, as actions", dict.fromkeys(variables(text), "value"))
    except ConfigError as error:
        raise BadFile(f"{error}\nselect others with --only, or correct the description") from None


def variables(text: str) -> list[str]:
    """The names of the variables that a written configuration needs, each once."""
    return list(dict.fromkeys(re.findall(r"(?<!\$)\$\{([A-Z0-9_]+)\}", text)))


def _remark(found: Imported) -> None:
    for remark in found.remarks:
        click.echo(f"! {remark}", err=True)


def _report(found: Imported) -> None:
    """On standard error, because standard output may be the file."""
    _remark(found)
    needed = [each for connection in found.connections.values() for each in _texts(connection)]
    counts = [
        f"{len(listed)} {what}{'' if len(listed) == 1 else 's'}"
        for listed, what in ((found.connections, "connection"), (found.actions, "action"))
    ]
    names = variables(" ".join(needed))
    click.echo(", ".join(counts) + (f"; set {', '.join(names)}" if names else ""), err=True)


def _texts(value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [text for each in value.values() for text in _texts(each)]
    return [value] if isinstance(value, str) else []
