"""Connections with their actions that a command makes: when one is rejected, those stored before are deleted again.

There is no route that stores them together, so that a command that is killed may leave a part of them.
"""

from __future__ import annotations

from collections.abc import Mapping

import click

from gateway.cli import call_files
from gateway.cli.call_files import Kind
from gateway.cli.client import Caller, Target, every_page, quoted
from gateway.cli.types import Json


def create(target: Target, wanted: Mapping[Kind, Mapping[str, Json]], tenant: str, *, dry_run: bool) -> None:
    """Create ``wanted``, by TRN, in the database, and show it. One that is there already is an error, and nothing is
    changed; when a later one is rejected, the earlier ones are deleted again."""

    async def work(caller: Caller) -> None:
        await _check_free(caller, wanted, tenant)
        applied = [] if dry_run else await _store(caller, wanted, tenant)
        created = [trn for kind in call_files.KINDS for trn in wanted[kind]]
        report = {"created": created, "dry_run": dry_run}
        target.show(report, lambda: "\n".join(f"+ {trn}" for trn in created))
        target.check_applied(applied[-1:])  # each response is about all that was stored before it

    target.run(work)


async def _check_free(caller: Caller, wanted: Mapping[Kind, Mapping[str, Json]], tenant: str) -> None:
    """Raises `AdminError` when the database has one of ``wanted``, or another connection of that name."""
    from gateway.admin.errors import conflict
    from gateway.core import trn

    for kind in call_files.KINDS:
        names = {(found.name, found.version) for found in map(trn.parse, wanted[kind])}
        for each in (await every_page(caller, f"/{kind}s", tenant=tenant))["items"]:
            found = trn.parse(each["trn"])
            if (found.name, found.version) in names:
                said = f"there is {each['trn']} already, so that nothing was changed; delete it, or choose another name"
                raise conflict("already_exists", said)


async def _store(caller: Caller, wanted: Mapping[Kind, Mapping[str, Json]], tenant: str) -> list[Json]:
    """The responses. Raises `AdminError`."""
    from gateway.admin.errors import AdminError

    answers: list[Json] = []
    made: list[tuple[Kind, str]] = []
    try:
        for kind in call_files.KINDS:
            for trn, settings in wanted[kind].items():
                answers.append(await caller.call("POST", f"/{kind}s", settings, tenant=tenant))
                made.append((kind, trn))
    except AdminError:
        # A connection goes with its actions.
        whole = [(kind, trn) for kind, trn in made if kind == "connection" or not wanted["connection"]]
        for kind, trn in reversed(whole):
            try:
                await caller.call("DELETE", f"/{kind}s/{quoted(trn)}", tenant=tenant)
            except AdminError as error:
                click.echo(f"! {trn} could not be deleted again: {error.details}", err=True)
        raise
    return answers
