"""`gateway connection | action export | import | sync`: those of one tenant, between a file and a database.

The commands of `connection` are about connections with their actions, those of `action` about actions alone.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import click

from gateway.cli import call_files, files
from gateway.cli.call_files import KINDS, Form, Kind
from gateway.cli.client import BadFile, Caller, Target, every_page, quoted
from gateway.cli.options import acts
from gateway.cli.transfer import DRY_RUN, ON_CONFLICT, Plan, Step, carry_out
from gateway.cli.types import Json
from gateway.core.text import counted

_tenant = click.option("--tenant", metavar="NAME", default="default", show_default=True, help="Whose they are.")
_file = click.argument("file", type=click.Path(path_type=pathlib.Path))
_SECRETS: Final = click.option("--secrets", is_flag=True, help="Secrets in the clear (locally only).")


def add(group: click.Group, *kinds: Kind) -> None:
    """Add the commands about ``kinds`` to ``group``."""
    what = " and ".join(f"{kind}s" for kind in kinds)
    _add_export(group, kinds, what)
    _add_import(group, kinds, what)
    _add_sync(group, kinds, what)


def _add_export(group: click.Group, kinds: Sequence[Kind], what: str) -> None:
    @group.command("export", help=f"Write the {what} of the database to FILE (.yaml or .json), secrets redacted.")
    @_file
    @click.option(
        "--form",
        type=click.Choice(["flat", "grouped"]),
        default="flat",
        show_default=True,
        help="The form of the file.",
    )
    @_SECRETS
    @_tenant
    @acts
    def export(target: Target, file: pathlib.Path, form: Form, secrets: bool, tenant: str) -> None:
        if secrets and target.remote is not None:
            raise click.UsageError("secrets never leave a gateway over its API; export them where the database is")

        async def work(caller: Caller) -> None:
            stored = {kind: await _stored(caller, kind, tenant) for kind in kinds}
            found = {kind: {trn: record["settings"] for trn, record in each.items()} for kind, each in stored.items()}
            if secrets:
                from gateway.cli.local import LocalCaller

                assert isinstance(caller, LocalCaller)
                found = {kind: await caller.reveal_calls(kind, tenant) for kind in kinds}
            made = call_files.document(found.get("connection", {}), found.get("action", {}), form)
            files.write(file, made, private=secrets)
            counts = {f"{kind}s": len(each) for kind, each in found.items()}
            target.show(
                {"file": str(file), **counts},
                lambda: f"{file}: {', '.join(counted(len(each), kind) for kind, each in found.items())}",
            )

        target.run(work)


def _add_import(group: click.Group, kinds: Sequence[Kind], what: str) -> None:
    @group.command("import", help=f"Create the {what} of FILE in the database; what else is there stays.")
    @_file
    @ON_CONFLICT
    @DRY_RUN
    @_tenant
    @acts
    def import_(target: Target, file: pathlib.Path, on_conflict: str, dry_run: bool, tenant: str) -> None:
        _transfer(target, file, kinds, tenant, on_conflict=on_conflict, prune=False, dry_run=dry_run)


def _add_sync(group: click.Group, kinds: Sequence[Kind], what: str) -> None:
    @group.command("sync", help=f"Make the {what} of the database those of FILE, and show the difference.")
    @_file
    @DRY_RUN
    @_tenant
    @acts
    def sync(target: Target, file: pathlib.Path, dry_run: bool, tenant: str) -> None:
        _transfer(target, file, kinds, tenant, on_conflict="overwrite", prune=True, dry_run=dry_run)


def _transfer(
    target: Target,
    file: pathlib.Path,
    kinds: Sequence[Kind],
    tenant: str,
    *,
    on_conflict: str,
    prune: bool,
    dry_run: bool,
) -> None:
    given = files.read(file)
    if prune and not given.keys() & {"connectors", *(f"{kind}s" for kind in kinds)}:
        # A key that is misspelt must not read as "none": all would be deleted.
        raise BadFile(f"{file}: has none of the keys connections, actions and connectors; write one of them")
    wanted = call_files.calls(file, given, tenant)

    async def work(caller: Caller) -> None:
        plans = {kind: await _plan(caller, kind, wanted[kind], tenant, on_conflict, prune=prune) for kind in kinds}
        report = {f"{kind}s": plan.report() for kind, plan in plans.items()}
        lines = [f"{line}" for plan in plans.values() for line in plan.lines()]
        if on_conflict == "abort" and any(plan.skipped for plan in plans.values()):
            target.show(report, lambda: "\n".join(lines))
            click.echo("Error: some differ; nothing was changed. Choose --on-conflict skip or overwrite", err=True)
            sys.exit(3)
        answers = [] if dry_run else await carry_out(caller, [*_steps(plans, tenant)])
        target.show({**report, "dry_run": dry_run}, lambda: "\n".join(lines) or "nothing to do")
        target.check_applied(answers[-1:])  # each response is about all that was stored before it

    target.run(work)


async def _stored(caller: Caller, kind: Kind, tenant: str) -> dict[str, Json]:
    """The records of the database by TRN."""
    items = (await every_page(caller, f"/{kind}s", tenant=tenant))["items"]
    return {each["trn"]: each["record"] for each in items if each["record"] is not None}


async def _plan(
    caller: Caller, kind: Kind, wanted: Mapping[str, Json], tenant: str, on_conflict: str, *, prune: bool
) -> Plan:
    """The gateway itself compares, because it alone knows the secrets."""
    stored = await _stored(caller, kind, tenant)
    plan = Plan()
    for trn, settings in wanted.items():
        if trn not in stored:
            plan.create[trn] = settings
            continue
        version = stored[trn]["version"]
        keys = _moved(stored[trn]["settings"], settings)
        if not keys:
            body = {**settings, "version": version}
            told = await caller.call("PUT", f"/{kind}s/{quoted(trn)}", body, tenant=tenant, dry_run=True)
            keys = told["changes"]
        if not keys:
            plan.same.append(trn)
        elif on_conflict == "overwrite":
            plan.change[trn] = (version, settings, keys)
        else:
            plan.skipped.append(trn)
    if prune:
        plan.delete = {trn: record["version"] for trn, record in stored.items() if trn not in wanted}
    return plan


def _moved(stored: Json, wanted: Json) -> list[str]:
    """The keys that differ of an action with another connection, which may not be there yet; else none."""
    if stored.get("connection") == wanted.get("connection"):
        return []
    return sorted(key for key in stored.keys() | wanted.keys() if stored.get(key) != wanted.get(key))


def _steps(plans: Mapping[Kind, Plan], tenant: str) -> Iterator[Step]:
    """An action comes after its connection, and goes before it: also one that moves to another connection."""
    query = {"tenant": tenant}
    for kind in KINDS:
        plan = plans.get(kind, Plan())
        for trn, (version, settings, _) in plan.change.items():
            yield f"~ {trn}", "PUT", f"/{kind}s/{quoted(trn)}", {**settings, "version": version}, query
        for trn, settings in plan.create.items():
            yield f"+ {trn}", "POST", f"/{kind}s", settings, query
    for kind in reversed(KINDS):
        for trn, version in plans.get(kind, Plan()).delete.items():
            yield f"- {trn}", "DELETE", f"/{kind}s/{quoted(trn)}", None, {**query, "version": version}
