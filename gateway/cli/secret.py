"""`gateway secret set | list | delete`."""

from __future__ import annotations

import click

from gateway.cli.caller import Caller, Target, quoted, standard_input, table
from gateway.cli.options import acts


@click.group()
def secret() -> None:
    """Store what header templates name as {secret.KEY}; values are never shown again."""


@secret.command("set")
@click.argument("key")
@click.option("--value-stdin", is_flag=True, help="Read the value from standard input, without its last line break.")
@click.option("--description", default="", help="What it is for.")
@acts
def set_(target: Target, key: str, value_stdin: bool, description: str) -> None:
    """Store a secret; its value is asked for, or read from standard input."""
    value = standard_input() if value_stdin else click.prompt("Value", hide_input=True)

    async def work(caller: Caller) -> None:
        body = {"value": value, "description": description}
        stored = await caller.call("PUT", f"/secrets/{quoted(key)}", body)
        target.show(stored, lambda: f"secret {key} is stored, {stored['masked_value']}")

    target.run(work)


@secret.command("list")
@acts
def list_(target: Target) -> None:
    """List secrets, masked."""

    async def work(caller: Caller) -> None:
        found = await caller.call("GET", "/secrets")
        rows = [[s["key"], s["masked_value"], str(s["version"]), s["description"]] for s in found["items"]]
        target.show(found, lambda: table(rows, ["KEY", "VALUE", "VERSION", "DESCRIPTION"]))

    target.run(work)


@secret.command()
@click.argument("key")
@click.option("--force", is_flag=True, help="Even while proxies name it; they answer 500 then.")
@acts
def delete(target: Target, key: str, force: bool) -> None:
    """Delete a secret."""

    async def work(caller: Caller) -> None:
        answer = await caller.call("DELETE", f"/secrets/{quoted(key)}", force=force)
        target.show(answer, lambda: f"secret {key} is deleted")

    target.run(work)
