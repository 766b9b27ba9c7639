"""`gateway connection list | show | test` and `gateway action list | show | call`."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable
from typing import Final

import click
import orjson

from gateway.cli.client import Caller, Target, every_page, quoted, standard_input, table
from gateway.cli.options import calls
from gateway.cli.types import Json

_OUTPUTS: Final = ("full", "body-only", "headers-only", "status-only")
_MILLISECONDS: Final = click.IntRange(1, 600_000)
_tenant = click.option("--tenant", metavar="NAME", help="The tenant that they belong to; else `default`.")


@click.group()
def connection() -> None:
    """List the connections of a configuration file or of a gateway, and test one.

    NAME is a name or a TRN. With --config the command works without a gateway.
    """


@connection.command("list")
@_tenant
@calls
def list_connections(target: Target, tenant: str | None) -> None:
    """List the connections."""

    async def work(caller: Caller) -> None:
        found = await every_page(caller, "/connections", tenant=tenant)
        rows = [
            [each["name"], each["base_url"], each["auth"], str(len(each["actions"])), _source(each["record"])]
            for each in found["items"]
        ]
        target.show(found, lambda: table(rows, ["NAME", "BASE URL", "AUTH", "ACTIONS", "SOURCE"]))

    target.run_calls(work)


@connection.command("show")
@click.argument("name")
@_tenant
@calls
def show_connection(target: Target, name: str, tenant: str | None) -> None:
    """Show connection NAME, without its secrets."""

    async def work(caller: Caller) -> None:
        found = await caller.call("GET", f"/connections/{quoted(name)}", tenant=tenant)
        target.show(found, lambda: _facts(found))

    target.run_calls(work)


@connection.command("test")
@click.argument("name")
@_tenant
@calls
def test_connection(target: Target, name: str, tenant: str | None) -> None:
    """Send a GET with the credentials of NAME to its base URL. Exit code 1 when there is no response."""

    async def work(caller: Caller) -> None:
        found = await caller.call("POST", f"/connections/{quoted(name)}/test", {}, tenant=tenant)
        said = f"it responds with status {found['status']}" if found["reached"] else found["message"]
        target.show(found, lambda: f"{found['trn']}: {said}")
        if not found["reached"]:
            sys.exit(1)

    target.run_calls(work)


@click.group()
def action() -> None:
    """List the actions of a configuration file or of a gateway, and call one.

    NAME is a name or a TRN. With --config the command works without a gateway.
    """


@action.command("list")
@_tenant
@calls
def list_actions(target: Target, tenant: str | None) -> None:
    """List the actions."""

    async def work(caller: Caller) -> None:
        found = await every_page(caller, "/actions", tenant=tenant)
        rows = [
            [each["name"], each["connection"], each["method"], each["path"], _source(each["record"])]
            for each in found["items"]
        ]
        target.show(found, lambda: table(rows, ["NAME", "CONNECTION", "METHOD", "PATH", "SOURCE"]))

    target.run_calls(work)


@action.command("show")
@click.argument("name")
@_tenant
@calls
def show_action(target: Target, name: str, tenant: str | None) -> None:
    """Show action NAME, with the JSON Schema of its input."""

    async def work(caller: Caller) -> None:
        found = await caller.call("GET", f"/actions/{quoted(name)}", tenant=tenant)
        target.show(found, lambda: _facts(found))

    target.run_calls(work)


@action.command("call")
@click.argument("name")
@click.option(
    "--input",
    "given",
    multiple=True,
    metavar="K=V|JSON|@FILE",
    help="The input: a key and its value, which is text; a JSON object, as for numbers; a file with one; or @- for "
    "standard input.",
)
@click.option("--timeout-ms", type=_MILLISECONDS, help="Less time than the action has.")
@click.option("--dry-run", is_flag=True, help="Send nothing, and show what would be sent, without secrets.")
@click.option("--output", type=click.Choice(_OUTPUTS), default="full", show_default=True, help="What is printed.")
@_tenant
@calls
def call_action(
    target: Target,
    name: str,
    given: tuple[str, ...],
    timeout_ms: int | None,
    dry_run: bool,
    output: str,
    tenant: str | None,
) -> None:
    """Call action NAME and print the response as JSON: status, headers and body.

    Exit code 1 when the response has a status of 400 or more.
    """
    options = {"dry_run": dry_run} | ({"timeout_ms": timeout_ms} if timeout_ms else {})
    body = {"action_trn": name, "input": read_input(given), "options": options}

    async def work(caller: Caller) -> None:
        found = await caller.call("POST", "/execute", body, tenant=tenant)
        click.echo(rendered(found, output))
        if not dry_run and found["status"] >= 400:
            sys.exit(1)

    target.run_calls(work)


def _source(record: Json) -> str:
    if record is None:
        return "file"
    if record["problem"]:
        return "database, not usable"
    if record["shadowed_by"]:
        return "database, hidden by the file"
    return "database" if record["settings"].get("enabled", True) else "database, switched off"


def read_input(given: tuple[str, ...]) -> dict[str, Json]:
    """The input of all options together; a later one wins."""
    made: dict[str, Json] = {}
    for text in given:
        made |= _object(text)
    return made


def _object(text: str) -> dict[str, Json]:
    if text.startswith("@"):
        text = _text_of(text[1:])
    elif not text.lstrip().startswith("{"):
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.UsageError("--input is none of key=value, a JSON object and @file; write one of these")
        return {key: value}
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise click.UsageError(f"--input is no JSON: {error.msg} at {where}; fix it there") from None
    if not isinstance(found, dict):
        raise click.UsageError("--input must be a JSON object; write {...}")
    return found


def _text_of(name: str) -> str:
    if name == "-":
        return standard_input()
    try:
        return pathlib.Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise click.UsageError(f"--input: {name}: {why}") from None


def rendered(found: Json, output: str) -> str:
    """The response of `POST /execute` as it is printed."""
    if "request" in found and found.get("dry_run"):
        return _json(found["request"])
    parts: dict[str, Callable[[], str]] = {
        "full": lambda: _json({key: found[key] for key in ("status", "headers", "body")}),
        "body-only": lambda: found["body"] if found["body_encoding"] != "json" else _json(found["body"]),
        "headers-only": lambda: _json(found["headers"]),
        "status-only": lambda: str(found["status"]),
    }
    return parts[output]()


def _json(value: Json) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _facts(found: Json) -> str:
    """One fact on a line; what is nested as JSON."""
    width = max(map(len, found))
    return "\n".join(
        f"{key.ljust(width)}  {value if isinstance(value, str) else orjson.dumps(value).decode()}".rstrip()
        for key, value in found.items()
    )
