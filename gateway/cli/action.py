"""`gateway connection list | show | test | status ...` and `gateway action list | show | call`."""

from __future__ import annotations

import asyncio
import sys
from typing import Final

import click
import orjson

from gateway.cli.action_call import call_action
from gateway.cli.client import Caller, Target, every_page, quoted, table
from gateway.cli.openapi import import_openapi
from gateway.cli.options import calls
from gateway.cli.tools import import_mcp, list_tools
from gateway.cli.types import Json

_USABLE: Final = ("ready", "expiring_soon", "not_issued", "expired")
"""Statuses of a connection whose next call may well get a token."""
_LONGEST_PAUSE: Final = 30.0
_tenant = click.option("--tenant", metavar="NAME", help="The tenant that they belong to; else `default`.")


@click.group()
def connection() -> None:
    """List the connections of a configuration file or of a gateway, and test one.

    NAME is a name or a TRN. With --config the command works without a gateway.
    """


connection.add_command(list_tools)


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


@connection.command("status")
@click.argument("name")
@_tenant
@calls
def connection_status(target: Target, name: str, tenant: str | None) -> None:
    """Show whether calls of NAME can authenticate, and why not. Exit code 1 when they cannot."""

    async def work(caller: Caller) -> None:
        found = await caller.call("GET", f"/connections/{quoted(name)}/status", tenant=tenant)
        target.show(found, lambda: f"{found['trn']}: {found['status']}; {found['message']}")
        if found["status"] not in _USABLE:
            sys.exit(1)

    target.run_calls(work)


@connection.command("authorize")
@click.argument("name")
@_tenant
@calls
def authorize_connection(target: Target, name: str, tenant: str | None) -> None:
    """Have a person authorize NAME: print the page to open, and wait until that is done.

    With --config the gateway has to run on the same database: the browser comes back to it.
    """

    async def work(caller: Caller) -> None:
        place = f"/connections/{quoted(name)}/authorize"
        begun = await caller.call("POST", place, {}, tenant=tenant)
        code = f"\nand type there: {begun['user_code']}" if begun["user_code"] else ""
        click.echo(f"Open in a browser: {begun['complete_url'] or begun['url']}{code}", err=target.json)
        ended = await _awaited(caller, f"{place}/{begun['id']}", tenant)
        target.show(ended, lambda: f"{ended['trn']}: {' '.join(filter(None, (ended['status'], ended['message'])))}")
        if ended["status"] != "authorized":
            sys.exit(1)

    target.run_calls(work)


@connection.command("revoke")
@click.argument("name")
@_tenant
@calls
def revoke_connection(target: Target, name: str, tenant: str | None) -> None:
    """Forget the tokens of NAME, and revoke them at the provider where `revoke_url` says how."""

    async def work(caller: Caller) -> None:
        done = await caller.call("POST", f"/connections/{quoted(name)}/revoke", {}, tenant=tenant)
        target.show(done, lambda: f"{done['trn']}: {done['message']}")

    target.run_calls(work)


async def _awaited(caller: Caller, place: str, tenant: str | None) -> Json:
    """What came of an authorization, which ends by itself."""
    while True:
        found = await caller.call("GET", place, tenant=tenant)
        if found["status"] != "pending":
            return found
        await asyncio.sleep(min(found["poll_seconds"], _LONGEST_PAUSE))


@click.group()
def action() -> None:
    """List the actions of a configuration file or of a gateway, and call one.

    NAME is a name or a TRN. With --config the command works without a gateway.
    """


action.add_command(call_action)
action.add_command(import_openapi)
action.add_command(import_mcp)


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


def _source(record: Json) -> str:
    if record is None:
        return "file"
    if record["problem"]:
        return "database, not usable"
    if record["shadowed_by"]:
        return "database, hidden by the file"
    return "database" if record["settings"].get("enabled", True) else "database, switched off"


def _facts(found: Json) -> str:
    """One fact on a line; what is nested as JSON."""
    width = max(map(len, found))
    return "\n".join(
        f"{key.ljust(width)}  {value if isinstance(value, str) else orjson.dumps(value).decode()}".rstrip()
        for key, value in found.items()
    )
