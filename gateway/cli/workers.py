"""`gateway status`, `restart` and `upgrade`: the processes of a gateway that runs."""

from __future__ import annotations

import time

import click

from gateway.cli.client import Caller, Target, table
from gateway.cli.options import acts
from gateway.cli.types import Json

_HEADINGS = ["WORKER", "PID", "STATE", "AGE", "VERSION", "GENERATION", "REQUESTS", "IN FLIGHT", "MEMORY", "LOOP LAG"]


@click.command()
@acts
def status(target: Target) -> None:
    """Show the worker processes of a gateway that runs: on this machine with its --config, elsewhere with --server."""

    async def work(caller: Caller) -> None:
        show(await caller.call("GET", "/workers"))

    def show(found: Json) -> None:
        target.show(found, lambda: text(found, time.time()))

    if target.remote is not None:
        target.run(work)
        return
    if target.config is None:
        raise click.UsageError("say where: --config FILE, or --server URL")
    from gateway.control.status_socket import NoStatusError, read_status

    try:
        show(read_status(target.config))
    except NoStatusError as why:
        raise click.ClickException(str(why)) from None


@click.command()
@acts
def restart(target: Target) -> None:
    """Replace the worker processes of a gateway that runs, one after the other; no request fails for it.

    For new code, and for memory that a process does not give back. The control process and what is read at start stay
    as they are.
    """

    async def work(caller: Caller) -> None:
        done = await caller.call("POST", "/workers/restart")
        count = done["workers"]
        many = "1 worker is" if count == 1 else f"{count} workers are"
        target.show(done, lambda: f"{many} being replaced; gateway status shows how far that is")

    target.run(work)


@click.command()
@acts
def upgrade(target: Target) -> None:
    """Replace all programs of a gateway that runs by those that are installed now; no request fails for it.

    The installed version is tried first, with the configuration file. When it cannot take over, nothing changes, and
    the command says why.
    """

    async def work(caller: Caller) -> None:
        begun = await caller.call("POST", "/workers/upgrade")
        target.show(
            begun, lambda: f"version {begun['version']} takes over; gateway status shows how far the workers are"
        )

    target.run(work)


def text(found: Json, now: float) -> str:
    """The response of `GET /workers`, for people."""
    rows = table([_row(each, now) for each in found["items"]], _HEADINGS)
    return f"{rows}\n{_memory(found)}" if found["max_memory_bytes"] else rows


def _row(each: Json, now: float) -> list[str]:
    return [
        str(each["worker"]),
        str(each["pid"]),
        _state(each),
        _age(now - each["since"]),
        each["version"] or "-",
        str(each["generation"]),
        str(each["requests"]),
        str(each["in_flight"]),
        _mebibytes(each["memory_bytes"]),
        f"{each['loop_lag'] * 1000:.1f} ms",
    ]


def _state(each: Json) -> str:
    state = f"{each['state']}, crash loop" if each["crash_loop"] else str(each["state"])
    return f"{state}, refuses {each['shedding']:.0%}" if each.get("shedding") else state


def _memory(found: Json) -> str:
    """A line about `worker_max_memory`, which bounds another figure than the one in the table."""
    processes = [
        f"worker {each['worker']} has {_mebibytes(each['resident_bytes'])}, fresh {_mebibytes(each['fresh_bytes'])}, "
        f"replaced {each['recycled']} times"
        + (", and no more: a fresh one is above the bound" if each["memory_bound_too_small"] else "")
        for each in found["items"]
        if each["state"] != "draining"
    ]
    return f"worker_max_memory is {_mebibytes(found['max_memory_bytes'])} (RSS); {'; '.join(processes)}"


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB" if size else "-"


def _age(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
