"""`gateway db upgrade | downgrade | status | backup | rekey`."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import click

from gateway.cli.client import Target
from gateway.cli.options import acts_here


@click.group()
def db() -> None:
    """Upgrade, downgrade and back up the database."""


@db.command()
@click.option("--to", default="head", show_default=True, help="The revision, as in 0003.")
@acts_here
def upgrade(target: Target, to: str) -> None:
    """Upgrade the schema, as a whole or not at all; a SQLite file is backed up first."""
    from gateway.store import schema

    _show(target, target.finish(schema.upgrade(target.database_url(there=False), to)))


@db.command()
@click.argument("to")
@acts_here
def downgrade(target: Target, to: str) -> None:
    """Go back to revision TO ("base": nothing is left); a SQLite file is backed up first."""
    from gateway.store import schema

    _show(target, target.finish(schema.downgrade(target.database_url(), to)))


@db.command()
@acts_here
def status(target: Target) -> None:
    """Show the revision of the database, and what an upgrade would run."""
    from gateway.store import schema

    _show(target, target.finish(schema.status(target.database_url(there=False))))


@db.command()
@click.option("--to", type=click.Path(path_type=pathlib.Path), help="The file to write; else one beside the database.")
@acts_here
def backup(target: Target, to: pathlib.Path | None) -> None:
    """Copy a SQLite database while it is in use. Keep the key file as well: without it secrets are lost."""
    from gateway.store import schema

    made = target.finish(schema.backup(target.database_url(), to))
    target.show({"backup": str(made)}, lambda: str(made))


@db.command()
@acts_here
def rekey(target: Target) -> None:
    """Encrypt all secrets with the first key of GATEWAY_MASTER_KEY or of the key file."""
    from gateway.store.keys import KeyRing
    from gateway.store.store import Store

    url = target.database_url()

    async def work() -> int:
        store = await Store.open(url, KeyRing.for_database(url, os.environ))
        try:
            return await store.rekey("cli")
        finally:
            await store.aclose()

    count = target.finish(work())
    target.show({"rekeyed": count}, lambda: f"{count} secrets were encrypted again")


def _show(target: Target, status: Any) -> None:
    value = {"current": status.current, "head": status.head, "pending": list(status.pending)}
    pending = f"pending: {', '.join(status.pending)}" if status.pending else "nothing is pending"
    where = f"at {status.current} of {status.head}" if status.current else "empty"
    target.show(value, lambda: f"the database is {where}; {pending}")
