"""`gateway export | import | sync`: proxies between a file and a database."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import click

from gateway.cli import files
from gateway.cli.client import Caller, Target, every_page, quoted
from gateway.cli.options import acts
from gateway.cli.types import Json
from gateway.core.text import counted

_EXTRA = ("id", "version", "created", "updated", "source", "shadowed_by", "state")


Step = tuple[str, str, str, Mapping[str, object] | None, Mapping[str, object]]
"""(how it is shown, method, path, body, query)"""


@dataclass(slots=True)
class Plan:
    """What has to be done, by name or TRN of the record."""

    create: dict[str, Json] = field(default_factory=dict)
    change: dict[str, tuple[int, Json, list[str]]] = field(default_factory=dict)
    """(version, settings, changed keys)"""
    delete: dict[str, int] = field(default_factory=dict)
    same: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    secrets: dict[str, files.Secret] = field(default_factory=dict)
    """Stored whatever was there: what it was cannot be compared."""

    def lines(self) -> list[str]:
        return [
            *(f"* secret {key}" for key in self.secrets),
            *(f"+ {name}" for name in self.create),
            *(f"~ {name}: {', '.join(keys)}" for name, (_, _, keys) in self.change.items()),
            *(f"- {name}" for name in self.delete),
            *(f"! {name}: differs, left as it is" for name in self.skipped),
            *(f"= {name}" for name in self.same),
        ]

    def report(self) -> dict[str, Json]:
        return {
            "created": [*self.create],
            "changed": [*self.change],
            "deleted": [*self.delete],
            "skipped": self.skipped,
            "unchanged": self.same,
            "secrets": [*self.secrets],
        }


ON_CONFLICT = click.option(
    "--on-conflict",
    type=click.Choice(["abort", "skip", "overwrite"]),
    default="abort",
    show_default=True,
    help="What to do with one that is there and differs.",
)
DRY_RUN = click.option("--dry-run", is_flag=True, help="Change nothing; show the difference.")
_SECRETS = click.option("--secrets", is_flag=True, help="The values of secrets too (locally only for an export).")
_FILE = click.argument("file", type=click.Path(path_type=pathlib.Path))


@click.command()
@_FILE
@_SECRETS
@acts
def export(target: Target, file: pathlib.Path, secrets: bool) -> None:
    """Write the proxies of the database to FILE (.yaml or .json), in the shape of the configuration file."""
    if secrets and target.remote is not None:
        raise click.UsageError("secrets never leave a gateway over its API; export them where the database is")

    async def work(caller: Caller) -> None:
        found: dict[str, Json] = {"proxies": list((await _stored(caller)).values())}
        for settings in found["proxies"]:
            settings.pop("version")
        if secrets:
            from gateway.cli.local import LocalCaller

            assert isinstance(caller, LocalCaller)
            bound = await caller.origins()
            found["secrets"] = {
                key: {"value": value, "origins": bound[key]} if key in bound else value
                for key, value in (await caller.reveal()).items()
            }
        files.write(file, found)
        count = len(found["proxies"])
        target.show({"file": str(file), "proxies": count}, lambda: f"{file}: {counted(count, 'proxy', 'proxies')}")

    target.run(work)


@click.command("import")
@_FILE
@ON_CONFLICT
@DRY_RUN
@_SECRETS
@acts
def import_(target: Target, file: pathlib.Path, on_conflict: str, dry_run: bool, secrets: bool) -> None:
    """Create the proxies of FILE in the database; what else is there stays."""
    _transfer(target, file, on_conflict, prune=False, dry_run=dry_run, secrets=secrets)


@click.command()
@_FILE
@ON_CONFLICT
@click.option("--prune", is_flag=True, help="Delete the proxies that FILE does not have.")
@DRY_RUN
@_SECRETS
@acts
def sync(target: Target, file: pathlib.Path, on_conflict: str, prune: bool, dry_run: bool, secrets: bool) -> None:
    """Make the database say what FILE says, and show the difference."""
    _transfer(target, file, on_conflict, prune=prune, dry_run=dry_run, secrets=secrets)


def _transfer(
    target: Target, file: pathlib.Path, on_conflict: str, *, prune: bool, dry_run: bool, secrets: bool
) -> None:
    given = files.read(file)
    wanted = files.proxies(file, given)
    values = files.secrets(file, given) if secrets else {}

    async def work(caller: Caller) -> None:
        plan = _plan(wanted, await _stored(caller), on_conflict, prune=prune)
        plan.secrets = values
        if on_conflict == "abort" and plan.skipped:
            target.show(plan.report(), lambda: "\n".join(plan.lines()))
            click.echo("Error: proxies differ; nothing was changed. Choose --on-conflict skip or overwrite", err=True)
            sys.exit(3)
        answers = [] if dry_run else await carry_out(caller, _steps(plan))
        target.show(plan.report() | {"dry_run": dry_run}, lambda: "\n".join(plan.lines()) or "nothing to do")
        target.check_applied(answers[-1:])  # each response is about all that was stored before it

    target.run(work)


async def carry_out(caller: Caller, steps: Iterable[Step]) -> list[Json]:
    """The responses to ``steps``. Raises `AdminError`, which names what was refused and what was done before it."""
    from gateway.admin.errors import AdminError

    done: list[str] = []
    answers: list[Json] = []
    for line, method, path, body, query in steps:
        try:
            answers.append(await caller.call(method, path, body, **query))
        except AdminError as error:
            before = f"done before it: {', '.join(done)}" if done else "nothing was changed"
            details = f"{line}: {error.details} ({before})"
            raise AdminError(
                error.status, error.code, error.title, details, error.fields, error.extra | {"done": done}
            ) from None
        done.append(line)
    return answers


def _steps(plan: Plan) -> Iterator[Step]:
    """Secrets first, which headers name; what goes before what comes, which may take its route."""
    for key, secret in plan.secrets.items():
        yield f"* secret {key}", "PUT", f"/secrets/{quoted(key)}", {"value": secret.value}, {}
    for name, version in plan.delete.items():
        yield f"- {name}", "DELETE", f"/proxies/{quoted(name)}", None, {"version": version}
    for name, (version, settings, _) in plan.change.items():
        yield f"~ {name}", "PUT", f"/proxies/{quoted(name)}", {**settings, "version": version}, {}
    for name, settings in plan.create.items():
        yield f"+ {name}", "POST", "/proxies", settings, {}
    # Last: a binding is refused while a proxy that changes above would send the secret elsewhere.
    for key, secret in plan.secrets.items():
        if secret.origins:
            yield f"* secret {key}: origins", "PATCH", f"/secrets/{quoted(key)}", {"origins": list(secret.origins)}, {}


def _plan(wanted: Mapping[str, Json], stored: Mapping[str, Json], on_conflict: str, *, prune: bool) -> Plan:
    plan = Plan()
    for name, settings in wanted.items():
        if name not in stored:
            plan.create[name] = settings
            continue
        version = stored[name]["version"]
        keys = sorted(key for key, value in settings.items() if stored[name].get(key) != value)
        if not keys:
            plan.same.append(name)
        elif on_conflict == "overwrite":
            plan.change[name] = (version, settings, keys)
        else:
            plan.skipped.append(name)
    if prune:
        plan.delete = {name: item["version"] for name, item in stored.items() if name not in wanted}
    return plan


async def _stored(caller: Caller) -> dict[str, Json]:
    """The database's proxies in the shape of the file, with their version."""
    found: dict[str, Json] = {}
    for item in (await every_page(caller, "/proxies"))["items"]:
        if item["source"] == "database":
            kept = {key: value for key, value in item.items() if key not in _EXTRA}
            found[item["name"]] = kept | {"version": item["version"]}
    return found
