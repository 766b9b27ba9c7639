"""`gateway connection | action create | update | delete`: those of the database."""

from __future__ import annotations

import pathlib
from typing import Any, Final

import click

from gateway.cli.assignments import assign, put
from gateway.cli.client import Caller, Target, quoted, standard_input
from gateway.cli.files import read
from gateway.cli.options import acts
from gateway.cli.types import Json

_TEXTS: Final = frozenset(
    {"name", "base_url", "collection", "connection", "description", "path", "statement", "tenant", "url"}
)
"""Keys whose value is text also when it reads as a number, as are those in `auth`, `headers` and `query`."""
_tenant = click.option("--tenant", metavar="NAME", help="The tenant that it belongs to; else `default`.")
_dry_run = click.option("--dry-run", is_flag=True, help="Change nothing; show what would change.")
_file = click.option(
    "--file", type=click.Path(path_type=pathlib.Path), help="YAML, JSON or TOML with its keys, where ${VAR} is put in."
)
_secret = click.option(
    "--value-stdin",
    metavar="KEY",
    help="Read the value of this key, as auth.token, from standard input: others see what stands on the command line.",
)
_assignments = click.argument("assignments", nargs=-1, metavar="[KEY=VALUE]...")


def _changes(
    noun: str, assignments: tuple[str, ...], file: pathlib.Path | None, value_stdin: str | None
) -> dict[str, Any]:
    if file is None and not assignments and value_stdin is None:
        raise click.UsageError("say what to set: KEY=VALUE, --file FILE or --value-stdin KEY")
    changes: dict[str, Any] = read(file, (f"{noun}s", "-")) if file is not None else {}
    for assignment in assignments:
        assign(changes, assignment, _is_text)
    if value_stdin is not None:
        put(changes, value_stdin, standard_input())
    return changes


def _is_text(key: str) -> bool:
    return key in _TEXTS or key.partition(".")[0] in ("auth", "headers", "query")


def add(group: click.Group, noun: str, key: str) -> None:
    """Add the commands to ``group``; both kinds have the same ones, and the same routes. ``key``: an example."""
    _add_create(group, noun, key)
    _add_update(group, noun)
    _add_delete(group, noun)


def _add_create(group: click.Group, noun: str, key: str) -> None:
    @group.command(
        "create",
        help=f"Create {noun} NAME in the database.\n\nKEY may be dotted, as in {key}; VALUE is JSON, or text.",
    )
    @click.argument("name")
    @_assignments
    @_file
    @_secret
    @_dry_run
    @_tenant
    @acts
    def create(
        target: Target,
        name: str,
        assignments: tuple[str, ...],
        file: pathlib.Path | None,
        value_stdin: str | None,
        dry_run: bool,
        tenant: str | None,
    ) -> None:
        changes = {"name": name} | _changes(noun, assignments, file, value_stdin)

        async def work(caller: Caller) -> None:
            made = await caller.call("POST", f"/{noun}s", changes, tenant=tenant, dry_run=dry_run)
            _show(target, made, noun, "created")

        target.run(work)


def _add_update(group: click.Group, noun: str) -> None:
    @group.command(
        "update",
        help=f"Change some keys of {noun} NAME in the database; with --file all of it.\n\nnull takes the default "
        "again. Secrets that are not named stay as they are.",
    )
    @click.argument("name")
    @_assignments
    @_file
    @_secret
    @click.option("--version", type=int, help="Only if it is still this version.")
    @_dry_run
    @_tenant
    @acts
    def update(
        target: Target,
        name: str,
        assignments: tuple[str, ...],
        file: pathlib.Path | None,
        value_stdin: str | None,
        version: int | None,
        dry_run: bool,
        tenant: str | None,
    ) -> None:
        changes = _changes(noun, assignments, file, value_stdin)
        method = "PATCH" if file is None else "PUT"

        async def work(caller: Caller) -> None:
            trn, known = (name, version) if version is not None else await _version(caller, noun, name, tenant)
            body = {**changes, "version": known}
            made = await caller.call(method, f"/{noun}s/{quoted(trn)}", body, tenant=tenant, dry_run=dry_run)
            _show(target, made, noun, "" if dry_run else f"has version {made['record']['version']}")

        target.run(work)


def _add_delete(group: click.Group, noun: str) -> None:
    @group.command("delete", help=f"Delete {noun} NAME from the database.")
    @click.argument("name")
    @click.option("--version", type=int, help="Only if it is still this version.")
    @_dry_run
    @_tenant
    @acts
    def delete(target: Target, name: str, version: int | None, dry_run: bool, tenant: str | None) -> None:
        async def work(caller: Caller) -> None:
            path = f"/{noun}s/{quoted(name)}"
            gone = await caller.call("DELETE", path, tenant=tenant, version=version, dry_run=dry_run)
            _show(target, gone, noun, "deleted")

        target.run(work)


async def _version(caller: Caller, noun: str, name: str, tenant: str | None) -> tuple[str, int]:
    """Its TRN, and the version that is stored."""
    from gateway.admin.errors import conflict

    found = await caller.call("GET", f"/{noun}s/{quoted(name)}", tenant=tenant)
    if found["record"] is None:
        raise conflict("read_only", f"{noun} {name} stands in the configuration file; change it there")
    return str(found["trn"]), int(found["record"]["version"])


def _show(target: Target, answer: Json, noun: str, done: str) -> None:
    def text() -> str:
        if not answer.get("dry_run"):
            gone = [f"  with {trn}" for trn in answer.get("removed", [])]
            return "\n".join([f"{noun} {answer['trn']} {done}", *gone])
        changes = f"would change: {', '.join(answer['changes'])}" if answer["changes"] else "would change nothing"
        if not answer["changes"] and done == "deleted":
            changes = "would be deleted"
        if answer["removes"]:
            changes = f"would be deleted with {', '.join(answer['removes'])}"
        return f"{noun} {answer['trn']} {changes}"

    target.show(answer, text)
    target.check_applied([answer])
