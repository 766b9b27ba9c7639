"""`gateway proxy list | get | set | delete | reset-breaker`."""

from __future__ import annotations

import pathlib
from typing import Any

import click
import orjson

from gateway.cli.assignments import assign, put
from gateway.cli.client import Caller, Target, every_page, quoted, table
from gateway.cli.files import complete, read
from gateway.cli.options import acts
from gateway.cli.types import Json

_TEXTS = frozenset({"name", "path", "upstream"})
"""Keys whose value is text also when it reads as a number, like the values of headers."""


@click.group()
def proxy() -> None:
    """List and change proxies."""


@proxy.command("list")
@click.option("--search", default="", help="Search in name, path, upstream and hosts.")
@acts
def list_(target: Target, search: str) -> None:
    """List the proxies of file and database, with what runs."""

    async def work(caller: Caller) -> None:
        found = await every_page(caller, "/proxies", search=search)
        target.show(found, lambda: _table(found["items"]))

    target.run(work)


@proxy.command()
@click.argument("name")
@acts
def get(target: Target, name: str) -> None:
    """Show a proxy."""

    async def work(caller: Caller) -> None:
        found = await caller.call("GET", f"/proxies/{quoted(name)}")
        target.show(found, lambda: orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())

    target.run(work)


@proxy.command("set")
@click.argument("name")
@click.argument("assignments", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--file", type=click.Path(path_type=pathlib.Path), help="YAML, JSON or TOML with the whole proxy.")
@click.option("--dry-run", is_flag=True, help="Change nothing; show what would be touched.")
@click.option(
    "--wait", is_flag=True, help="Refuse to act without a running gateway, which applies it (needs --server)."
)
@acts
def set_(
    target: Target, name: str, assignments: tuple[str, ...], file: pathlib.Path | None, dry_run: bool, wait: bool
) -> None:
    """Create a proxy, or change some keys of one that is there.

    KEY may be dotted, as in circuit_breaker.enabled=true; VALUE is JSON, or text; null takes the default again. With
    --server the change is active when the command ends, or its exit code is 1.
    """
    if wait and target.remote is None:
        raise click.UsageError("--wait needs --server: only the running gateway knows what is applied")
    if wait and dry_run:
        raise click.UsageError("--wait goes without --dry-run: nothing comes into force")
    if file is None and not assignments:
        raise click.UsageError("say what to set: KEY=VALUE, or --file FILE")
    changes = read(file) if file is not None else {}
    for assignment in assignments:
        _assign(changes, assignment)
    changes["name"] = changes.get("name", name)
    if file is not None:
        changes = complete(changes, str(file))

    async def work(caller: Caller) -> None:
        path = f"/proxies/{quoted(name)}"
        version = await _version(caller, name)
        if version is None:
            answer = await caller.call("POST", "/proxies", changes, dry_run=dry_run)
        elif file is not None:
            answer = await caller.call("PUT", path, {**changes, "version": version}, dry_run=dry_run)
        else:
            answer = await caller.call("PATCH", path, {**changes, "version": version}, dry_run=dry_run)
        target.show(answer, lambda: _summary(name, answer, dry_run=dry_run))
        target.check_applied([answer])

    target.run(work)


@proxy.command()
@click.argument("name")
@click.option("--version", type=int, help="Only if it is still this version.")
@click.option("--dry-run", is_flag=True, help="Change nothing; show what would be touched.")
@acts
def delete(target: Target, name: str, version: int | None, dry_run: bool) -> None:
    """Delete a proxy."""

    async def work(caller: Caller) -> None:
        answer = await caller.call("DELETE", f"/proxies/{quoted(name)}", version=version, dry_run=dry_run)
        target.show(answer, lambda: _summary(name, answer, dry_run=dry_run, done="deleted"))
        target.check_applied([answer])

    target.run(work)


@proxy.command("reset-breaker")
@click.argument("name")
@acts
def reset_breaker(target: Target, name: str) -> None:
    """Close the circuit breaker of a proxy by hand (needs --server)."""

    async def work(caller: Caller) -> None:
        answer = await caller.call("POST", f"/proxies/{quoted(name)}/breaker/reset")
        target.show(answer, lambda: f"the breaker of {name} is closed")

    target.run(work)


async def _version(caller: Caller, name: str) -> int | None:
    from gateway.admin.errors import AdminError, conflict

    try:
        found = await caller.call("GET", f"/proxies/{quoted(name)}")
    except AdminError as error:
        if error.status == 404:
            return None
        raise
    if found["source"] != "database":
        raise conflict("read_only", f"proxy {name} stands in {found['source'].removeprefix('file:')}; change it there")
    return int(found["version"])


def _assign(changes: dict[str, Any], assignment: str) -> None:
    key, sign, text = assignment.partition("=")
    if sign and key == "access_rule":
        put(changes, key, text)  # a rule may read as JSON, as true does
    else:
        assign(changes, assignment, _is_text)


def _is_text(key: str) -> bool:
    return key in _TEXTS or key.rpartition(".")[0] == "headers"


def _table(items: Json) -> str:
    rows = []
    for item in items:
        state = item["state"] or {}
        used = f"{state.get('in_flight', '-')}/{item['max_concurrent'] or '-'}"
        active = "yes" if item["active"] and not item["shadowed_by"] else "no"
        rows.append(
            [item["name"], item["path"], item["upstream"], active, used, state.get("breaker", "-"), item["source"]]
        )
    return table(rows, ["NAME", "PATH", "UPSTREAM", "ACTIVE", "IN FLIGHT", "BREAKER", "SOURCE"])


def _summary(name: str, answer: Json, *, dry_run: bool, done: str = "") -> str:
    verb = "would be changed" if dry_run else done or f"has version {answer.get('version')}"
    lines = [f"proxy {name} {verb}"]
    lines += [f"  route {r['host'] or '*'}{r['path']}: {r['change']}" for r in answer["impact"]["routes"]]
    for part in answer["impact"]["upstreams"]:
        lines.append(
            f"  {part['proxy']}: breaker {part['breaker']}, limiter {part['limiter']}, pool {part['pool']}, "
            f"{part['streams']} live"
        )
    return "\n".join(lines)
