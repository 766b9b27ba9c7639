"""`gateway endpoint list | drain | undrain`."""

from __future__ import annotations

import click

from gateway.cli.client import Caller, Target, quoted, table
from gateway.cli.options import acts
from gateway.cli.types import Json

_STANDINGS = {"leaving": "draining by its own report"}
"""Where the word of the API is not that of the documentation."""


@click.group()
def endpoint() -> None:
    """List the endpoints of an upstream, drain one and give it requests again.

    NAME is that of a proxy or of an entry of `upstreams`; for those of the file say --config or --server.
    """


@endpoint.command("list")
@click.argument("name")
@acts
def list_(target: Target, name: str) -> None:
    """List the endpoints of NAME, who has drained them, and how they stand (with --server)."""

    async def work(caller: Caller) -> None:
        found = await caller.call("GET", f"/upstreams/{quoted(name)}/endpoints")
        target.show(found, lambda: _table(found["items"]))

    target.run(work)


@endpoint.command()
@click.argument("name")
@click.argument("url")
@click.option("--force", is_flag=True, help="Even if no endpoint is left for requests.")
@acts
def drain(target: Target, name: str, url: str, force: bool) -> None:
    """Give the endpoint URL of NAME no new requests; those that run end as they would.

    It stays so over restarts and reloads, until it is undrained.
    """

    async def work(caller: Caller) -> None:
        path = f"/upstreams/{quoted(name)}/endpoints/drain"
        answer = await caller.call("POST", path, {"url": url, "force": force})
        target.show(answer, lambda: f"{url} of {name} is drained\n{_table(answer['items'])}")
        target.check_applied([answer])

    target.run(work)


@endpoint.command()
@click.argument("name")
@click.argument("url")
@acts
def undrain(target: Target, name: str, url: str) -> None:
    """Give the endpoint URL of NAME requests again."""

    async def work(caller: Caller) -> None:
        answer = await caller.call("POST", f"/upstreams/{quoted(name)}/endpoints/undrain", {"url": url})
        line = f"no operator drains {url} of {name} any more"
        target.show(answer, lambda: "\n".join(filter(None, [line, _table(answer["items"])])))
        target.check_applied([answer])

    target.run(work)


def _table(items: Json) -> str:
    """Empty when nothing is left, as after the last stale one."""
    return table([_row(each) for each in items], ["URL", "WEIGHT", "DRAINED", "STANDING", "IN FLIGHT"]) if items else ""


def _row(item: Json) -> list[str]:
    live = item["live"] or {}
    by = [f"by {each['actor']} at {each['at']}" if each["at"] else "in the settings" for each in item["drained_by"]]
    standing = live.get("standing", "-")
    return [
        item["url"],
        str(item["weight"] or "-"),
        ", ".join(by) or "no",
        "stale: no endpoint" if item["stale"] else _STANDINGS.get(standing, standing),
        str(live.get("in_flight", "-")),
    ]
