"""`gateway export | import | sync`: proxies between a file and a database."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import click
import orjson

from gateway.cli.caller import Caller, Json, Target, acts, quoted
from gateway.cli.document import read

_EXTRA = ("id", "version", "created", "updated", "source", "shadowed_by", "state")


@dataclass(slots=True)
class Plan:
    """What has to be done, by name of the proxy."""

    create: dict[str, Json] = field(default_factory=dict)
    change: dict[str, tuple[int, Json, list[str]]] = field(default_factory=dict)
    """(version, settings, changed keys)"""
    delete: dict[str, int] = field(default_factory=dict)
    same: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        return [
            *(f"+ {name}" for name in self.create),
            *(f"~ {name}: {', '.join(keys)}" for name, (_, _, keys) in self.change.items()),
            *(f"- {name}" for name in self.delete),
            *(f"! {name}: differs, left as it is" for name in self.skipped),
            *(f"= {name}" for name in self.same),
        ]

    def told(self) -> dict[str, Json]:
        return {
            "created": [*self.create],
            "changed": [*self.change],
            "deleted": [*self.delete],
            "skipped": self.skipped,
            "unchanged": self.same,
        }


_ON_CONFLICT = click.option(
    "--on-conflict",
    type=click.Choice(["abort", "skip", "overwrite"]),
    default="abort",
    show_default=True,
    help="What to do with a proxy that is there and differs.",
)
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Change nothing; show the difference.")
_SECRETS = click.option("--secrets", is_flag=True, help="The values of secrets too (locally only for an export).")
_FILE = click.argument("file", type=click.Path(path_type=pathlib.Path))


@click.command()
@_FILE
@_SECRETS
@acts
def export(target: Target, file: pathlib.Path, secrets: bool) -> None:
    """Write the proxies of the database to FILE (.yaml or .json), in the shape of the configuration file."""
    if secrets and target.server is not None:
        raise click.UsageError("secrets never leave a gateway over its API; export them where the database is")

    async def work(caller: Caller) -> None:
        document: dict[str, Json] = {"proxies": list((await _stored(caller)).values())}
        for settings in document["proxies"]:
            settings.pop("version")
        if secrets:
            from gateway.cli.local import LocalCaller

            assert isinstance(caller, LocalCaller)
            document["secrets"] = await caller.reveal()
        _write(file, document)
        count = len(document["proxies"])
        target.show({"file": str(file), "proxies": count}, lambda: f"{file}: {count} proxies")

    target.run(work)


@click.command("import")
@_FILE
@_ON_CONFLICT
@_DRY_RUN
@_SECRETS
@acts
def import_(target: Target, file: pathlib.Path, on_conflict: str, dry_run: bool, secrets: bool) -> None:
    """Create the proxies of FILE in the database; what else is there stays."""
    _transfer(target, file, on_conflict, prune=False, dry_run=dry_run, secrets=secrets)


@click.command()
@_FILE
@_ON_CONFLICT
@click.option("--prune", is_flag=True, help="Delete the proxies that FILE does not have.")
@_DRY_RUN
@_SECRETS
@acts
def sync(target: Target, file: pathlib.Path, on_conflict: str, prune: bool, dry_run: bool, secrets: bool) -> None:
    """Make the database say what FILE says, and show the difference."""
    _transfer(target, file, on_conflict, prune=prune, dry_run=dry_run, secrets=secrets)


def _transfer(
    target: Target, file: pathlib.Path, on_conflict: str, *, prune: bool, dry_run: bool, secrets: bool
) -> None:
    document = read(file)

    async def work(caller: Caller) -> None:
        plan = _plan(_wanted(file, document), await _stored(caller), on_conflict, prune=prune)
        if on_conflict == "abort" and plan.skipped:
            target.show(plan.told(), lambda: "\n".join(plan.lines()))
            click.echo("Error: proxies differ; nothing was changed. Choose --on-conflict skip or overwrite", err=True)
            sys.exit(3)
        if not dry_run:
            if secrets:
                for key, value in document.get("secrets", {}).items():
                    await caller.call("PUT", f"/secrets/{quoted(key)}", {"value": value})
            await _carry_out(caller, plan)
        target.show(plan.told() | {"dry_run": dry_run}, lambda: "\n".join(plan.lines()) or "nothing to do")

    target.run(work)


async def _carry_out(caller: Caller, plan: Plan) -> None:
    for name, version in plan.delete.items():
        await caller.call("DELETE", f"/proxies/{quoted(name)}", version=version)
    for name, (version, settings, _) in plan.change.items():
        await caller.call("PUT", f"/proxies/{quoted(name)}", {**settings, "version": version})
    for settings in plan.create.values():
        await caller.call("POST", "/proxies", settings)


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
    page = 1
    while True:
        answer = await caller.call("GET", "/proxies", page=page, per_page=1000)
        for item in answer["items"]:
            if item["source"] == "database":
                kept = {key: value for key, value in item.items() if key not in _EXTRA}
                found[item["name"]] = kept | {"version": item["version"]}
        if page * 1000 >= answer["total"]:
            return found
        page += 1


def _wanted(file: pathlib.Path, document: Mapping[str, Any]) -> dict[str, Json]:
    """The proxies of the file with every key, so that they can be compared."""
    from gateway.config import single
    from gateway.config.problem import ConfigError

    wanted: dict[str, Json] = {}
    for index, settings in enumerate(document.get("proxies", [])):
        try:
            wanted[settings["name"]] = single.stored(settings, name=f"{file}: proxies.{index}").model_dump(mode="json")
        except ConfigError as error:
            click.echo(str(error), err=True)
            sys.exit(2)
        except (KeyError, TypeError):
            click.echo(f"{file}: proxies.{index}: must be a mapping with a name", err=True)
            sys.exit(2)
    return wanted


def _write(file: pathlib.Path, document: Mapping[str, Json]) -> None:
    import yaml

    as_json = file.suffix == ".json"
    text = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() if as_json else yaml.safe_dump(document)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        if "secrets" in document:
            os.fchmod(descriptor, 0o600)
        stream.write(text)
