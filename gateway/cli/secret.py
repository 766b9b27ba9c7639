"""`gateway secret set | list | delete`."""

from __future__ import annotations

import click

from gateway.cli.client import Caller, Target, hidden_input, quoted, table
from gateway.cli.options import acts


@click.group()
def secret() -> None:
    """Store what header templates name as {secret.KEY}; values are never shown again."""


@secret.command("set")
@click.argument("key")
@click.option("--value-stdin", is_flag=True, help="Read the value from standard input, without its last line break.")
@click.option("--description", default="", help="What it is for.")
@click.option("--origin", "origins", multiple=True, help="An upstream origin that it may be sent to, and no other one.")
@acts
def set_(target: Target, key: str, value_stdin: bool, description: str, origins: tuple[str, ...]) -> None:
    """Store a secret; its value is asked for, or read from standard input.

    Without --origin a secret that is there stays bound as it is.
    """
    value = hidden_input("Value", piped=value_stdin)

    async def work(caller: Caller) -> None:
        body = {"value": value, "description": description, "origins": list(origins) or None}
        stored = await caller.call("PUT", f"/secrets/{quoted(key)}", body)
        target.show(stored, lambda: f"secret {key} is stored, {stored['masked_value']}")
        target.check_applied([stored])

    target.run(work)


@secret.command()
@click.argument("key")
@click.argument("origins", nargs=-1)
@click.option("--any", "any_", is_flag=True, help="Every origin: bind it to none.")
@acts
def bind(target: Target, key: str, origins: tuple[str, ...], any_: bool) -> None:
    """Say to which upstream ORIGINS, as in https://api.example.org, a secret may be sent."""
    if any_ == bool(origins):
        raise click.UsageError("name the origins, or write --any for every one")

    async def work(caller: Caller) -> None:
        stored = await caller.call("PATCH", f"/secrets/{quoted(key)}", {"origins": list(origins)})
        target.show(stored, lambda: f"secret {key} may be sent to {', '.join(stored['origins']) or 'every origin'}")
        target.check_applied([stored])

    target.run(work)


@secret.command("list")
@acts
def list_(target: Target) -> None:
    """List secrets, masked."""

    async def work(caller: Caller) -> None:
        found = await caller.call("GET", "/secrets")
        rows = [
            [s["key"], s["masked_value"], str(s["version"]), ", ".join(s["origins"]) or "any", s["description"]]
            for s in found["items"]
        ]
        target.show(found, lambda: table(rows, ["KEY", "VALUE", "VERSION", "ORIGINS", "DESCRIPTION"]))

    target.run(work)


@secret.command()
@click.argument("key")
@click.option("--force", is_flag=True, help="Even while proxies name it; they then respond with 500.")
@acts
def delete(target: Target, key: str, force: bool) -> None:
    """Delete a secret."""

    async def work(caller: Caller) -> None:
        answer = await caller.call("DELETE", f"/secrets/{quoted(key)}", force=force)
        target.show(answer, lambda: f"secret {key} is deleted")
        target.check_applied([answer])

    target.run(work)
