"""`gateway connection tools` and `gateway action import-mcp`: what servers of MCP offer, and actions of it."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Final

import click

from gateway.cli import call_files, files
from gateway.cli.client import BadFile, Caller, Target, quoted, table
from gateway.cli.imports import Destination, check, deliver, destined, remark, selection
from gateway.cli.options import calls
from gateway.cli.types import Json
from gateway.core.text import printable

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
@click.option("--only", multiple=True, metavar="PATTERN", help="Only tools whose name fits; * is any text.")
@destined
@click.option("--tenant", metavar="NAME", help="The tenant that NAME and the actions belong to; else `default`.")
@calls
def import_mcp(
    target: Target,
    name: str,
    only: tuple[str, ...],
    tenant: str | None,
    destination: Destination,
) -> None:
    """Make actions of the tools of connection NAME, a server of MCP.

    The result is a part of a configuration file, beside the connection. What is left out, and what needs a person, is
    said on standard error.

    With --create the actions are stored in the database of --config, or by the gateway at --server.
    """
    listed = _listed(target, name, tenant)
    own = _own_name(listed["trn"])
    found = _found(own, listed["items"], only)
    source, owner = f"the tools of {own}", tenant or "default"
    whole = {"connections": {own: _stand_in(tenant)}, "actions": found.actions}
    check(f"{source}, as actions", files.text_of(destination.place, whole), destination.place)
    document: dict[str, object] = {"actions": found.actions}
    deliver(
        target, destination, found, document, lambda: call_files.calls(pathlib.Path(source), document, owner), owner
    )


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
    line = printable(" ".join(text.split()))
    return line if len(line) <= _MOST_SHOWN else f"{line[: _MOST_SHOWN - 3]}..."
