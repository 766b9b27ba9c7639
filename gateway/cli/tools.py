"""`gateway connection tools` and `gateway action import-mcp`: what servers of MCP offer, and actions of it."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Final

import click

from gateway.cli import call_files, files, new_calls
from gateway.cli.client import BadFile, Caller, Target, quoted, table
from gateway.cli.openapi import check, remark, report, selection
from gateway.cli.options import calls
from gateway.cli.types import Json

if TYPE_CHECKING:
    from gateway.config.openapi.importer import Imported

_MOST_SHOWN: Final = 80
"""Characters of a description in a table."""


@click.command("tools")
@click.argument("name")
@click.option("--tenant", metavar="NAME", help="The tenant that it belongs to; else `default`.")
@calls
def list_tools(target: Target, name: str, tenant: str | None) -> None:
    """Ask NAME, a server of MCP, for its tools. With --json each has its input schema."""

    async def work(caller: Caller) -> None:
        found = await caller.call("GET", f"/connections/{quoted(name)}/tools", tenant=tenant)
        target.show(found, lambda: table_of(found["items"]))

    target.run_calls(work)


@click.command("import-mcp")
@click.argument("name")
@click.option(
    "--output",
    type=click.Path(path_type=pathlib.Path),
    help="Write here, *.yaml or *.json, and replace what is there; else YAML to standard output.",
)
@click.option("--only", multiple=True, metavar="PATTERN", help="Only tools whose name fits; * is any text.")
@click.option("--create", is_flag=True, help="Create them in the database instead, all or none.")
@click.option("--dry-run", is_flag=True, help="With --create: change nothing; show what would be created.")
@click.option("--tenant", metavar="NAME", help="The tenant that NAME and the actions belong to; else `default`.")
@calls
def import_mcp(
    target: Target,
    name: str,
    output: pathlib.Path | None,
    only: tuple[str, ...],
    create: bool,
    dry_run: bool,
    tenant: str | None,
) -> None:
    """Make actions of the tools of connection NAME, a server of MCP.

    The result is a part of a configuration file, beside the connection. What is left out, and what needs a person, is
    said on standard error.

    With --create the actions are stored in the database of --config, or by the gateway at --server.
    """
    if create and output is not None:
        raise click.UsageError("--create writes no file; leave --output out")
    if not create and dry_run:
        raise click.UsageError("--dry-run belongs to --create; add it")
    listed = _listed(target, name, tenant)
    own = _own_name(listed["trn"])
    found = _found(own, listed["items"], only)
    place = output or pathlib.Path("/dev/stdout")
    source = f"the tools of {own}"
    whole = {"connections": {own: _stand_in(tenant)}, "actions": found.actions}
    check(f"{source}, as actions", files.text_of(place, whole), place)
    if create:
        remark(found)
        wanted = call_files.calls(pathlib.Path(source), {"actions": found.actions}, tenant or "default")
        new_calls.create(target, wanted, tenant or "default", dry_run=dry_run)
        return
    try:
        files.write(place, {"actions": found.actions})
    except OSError as error:
        raise click.ClickException(f"{place}: {error.strerror}") from None
    report(found)


def _listed(target: Target, name: str, tenant: str | None) -> Json:
    answers: list[Json] = []

    async def work(caller: Caller) -> None:
        answers.append(await caller.call("GET", f"/connections/{quoted(name)}/tools", tenant=tenant))

    target.run_calls(work)
    return answers[0]


def _own_name(text: str) -> str:
    from gateway.core import trn

    return trn.parse(text).name


def _found(connection: str, tools: Json, only: tuple[str, ...]) -> Imported:
    """Raises `BadFile`."""
    from gateway.config.tools import SameNameError, imported_tools

    try:
        found = imported_tools(connection, tools, selection(only))
    except SameNameError as error:
        raise BadFile(str(error)) from None
    if not found.actions:
        remark(found)
        raise BadFile(f"the server {connection} has no tool that can be called; name others with --only")
    return found


def _stand_in(tenant: str | None) -> dict[str, object]:
    """The connection, which stands elsewhere, where a file is checked that lacks it."""
    return {"kind": "mcp", "base_url": "http://localhost", **({} if tenant is None else {"tenant": tenant})}


def table_of(tools: Json) -> str:
    """One line for each tool."""
    rows = [[_line(each["name"]), _inputs(each), _line(each["description"] or each["title"])] for each in tools]
    return table(rows, ["NAME", "INPUT", "DESCRIPTION"])


def _inputs(tool: Json) -> str:
    """The names of the input; those that are required first, the others in brackets."""
    schema = tool["input_schema"] or {}
    properties, required = schema.get("properties"), schema.get("required")
    names = list(properties) if isinstance(properties, dict) else []
    needed = [each for each in names if isinstance(required, list) and each in required]
    return _line(" ".join([*needed, *(f"[{each}]" for each in names if each not in needed)])) or "-"


def _line(text: str) -> str:
    """Text of a server on one line, without characters that a terminal would obey."""
    line = "".join(each if each.isprintable() else " " for each in " ".join(text.split()))
    return line if len(line) <= _MOST_SHOWN else f"{line[: _MOST_SHOWN - 3]}..."
