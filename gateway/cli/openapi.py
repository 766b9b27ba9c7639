"""`gateway action import-openapi`: connections and actions from the description of an API."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

import click

from gateway.cli import call_files, files
from gateway.cli.client import BadFile, Target
from gateway.cli.imports import Destination, check, deliver, destined, remark, selection
from gateway.cli.options import acts
from gateway.cli.types import Json

if TYPE_CHECKING:
    from gateway.config.openapi.importer import Imported


@click.command("import-openapi")
@click.argument("file", type=click.Path(path_type=pathlib.Path))
@click.option("--connection", "name", metavar="NAME", help="The name of the connection; else from the title.")
@click.option("--base-url", metavar="URL", help="Where the API is, instead of the servers of the description.")
@click.option(
    "--only", multiple=True, metavar="PATTERN", help="Only operations whose name or path fits; * is any text."
)
@destined
@click.option("--tenant", metavar="NAME", help="With --create: whose they are; else `default`.")
@acts
def import_openapi(
    target: Target,
    file: pathlib.Path,
    name: str | None,
    base_url: str | None,
    only: tuple[str, ...],
    tenant: str | None,
    destination: Destination,
) -> None:
    """Make connections and actions of FILE, an OpenAPI 3.0 or 3.1 document in YAML or JSON.

    The result is a configuration file, or a part of one. Credentials are variables, which it names. What cannot be
    called, and what needs a person, is said on standard error. References to other documents are not followed.

    With --create the values of those variables are stored, and the options below say where.
    """
    if tenant is not None and not destination.create:
        raise click.UsageError("--tenant belongs to --create; add it")
    found = _found(file, name, base_url, only)
    document: dict[str, object] = {"connections": found.connections, "actions": found.actions}
    text = files.text_of(destination.place, document)
    check(f"{file}, as actions", text, destination.place)
    owner = tenant or "default"
    deliver(target, destination, found, document, lambda: _records(file, text, owner), owner)


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
