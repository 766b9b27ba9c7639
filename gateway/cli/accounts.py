"""`gateway superuser ...` and `gateway token ...`."""

from __future__ import annotations

import re

import click

from gateway.cli.caller import Caller, Json, Target, quoted, standard_input, table
from gateway.cli.document import value_of
from gateway.cli.options import acts

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@click.group()
def superuser() -> None:
    """Create, list and delete superusers."""


@superuser.command("create")
@click.argument("email")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input, not from the terminal.")
@acts
def create_superuser(target: Target, email: str, password_stdin: bool) -> None:
    """Create a superuser; the password is asked for twice."""
    if password_stdin:
        password = standard_input()
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)

    async def work(caller: Caller) -> None:
        made = await caller.call("POST", "/superusers", {"email": email, "password": password})
        target.show(made, lambda: f"superuser {made['email']} is created")

    target.run(work)


@superuser.command("list")
@acts
def list_superusers(target: Target) -> None:
    """List superusers."""

    async def work(caller: Caller) -> None:
        found = await caller.call("GET", "/superusers")
        rows = [[s["id"], s["email"], s["created"]] for s in found["items"]]
        target.show(found, lambda: table(rows, ["ID", "EMAIL", "CREATED"]))

    target.run(work)


@superuser.command("delete")
@click.argument("email")
@acts
def delete_superuser(target: Target, email: str) -> None:
    """Delete a superuser, named by email or id; their logins end."""

    from gateway.admin.problem import not_found

    async def work(caller: Caller) -> None:
        found = await caller.call("GET", "/superusers")
        ids = [s["id"] for s in found["items"] if email.lower() in (s["email"], s["id"])]
        if not ids:
            raise not_found(f"there is no superuser {email}")
        await caller.call("DELETE", f"/superusers/{quoted(ids[0])}")
        target.show(None, lambda: f"superuser {email} is deleted")

    target.run(work)


@click.group()
def token() -> None:
    """Create, list and revoke tokens for callers and machines."""


@token.command("create")
@click.argument("name")
@click.option("--superuser", "superuser_", is_flag=True, help="It may use the admin API.")
@click.option("--metrics", is_flag=True, help="It may read metrics, and nothing else.")
@click.option("--expires", metavar="TIME", help="How long it is good for, as in 12h or 30d; none: without an end.")
@click.option("--claim", "claims", multiple=True, metavar="KEY=VALUE", help="What rules read as @request.auth.KEY.")
@acts
def create_token(
    target: Target, name: str, superuser_: bool, metrics: bool, expires: str | None, claims: tuple[str, ...]
) -> None:
    """Create a token; it is shown this once."""
    body = {
        "name": name,
        "superuser": superuser_,
        "metrics": metrics,
        "expires_in": _seconds(expires),
        "claims": dict(map(_claim, claims)),
    }

    async def work(caller: Caller) -> None:
        made = await caller.call("POST", "/tokens", body)
        target.show(made, lambda: str(made["token"]))

    target.run(work)


@token.command("list")
@acts
def list_tokens(target: Target) -> None:
    """List tokens; what they are can not be shown."""

    async def work(caller: Caller) -> None:
        found = await caller.call("GET", "/tokens")
        rows = [
            [t["id"], t["name"], _right(t), t["expires_at"] or "never", t["last_used"] or "-"] for t in found["items"]
        ]
        target.show(found, lambda: table(rows, ["ID", "NAME", "GOOD FOR", "EXPIRES", "LAST USED"]))

    target.run(work)


def _right(token: Json) -> str:
    if token["metrics"]:
        return "metrics"
    return "everything" if token["superuser"] else "proxies"


@token.command("revoke")
@click.argument("id")
@acts
def revoke_token(target: Target, id: str) -> None:  # noqa: A002 - the argument's own word
    """Revoke a token, at once."""

    async def work(caller: Caller) -> None:
        await caller.call("DELETE", f"/tokens/{quoted(id)}")
        target.show(None, lambda: f"token {id} is revoked")

    target.run(work)


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if match is None:
        raise click.UsageError("--expires must be a number and a unit, as in 30m, 12h or 30d")
    return float(match[1]) * _UNITS[match[2]]


def _claim(text: str) -> tuple[str, object]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise click.UsageError(f"{text} is no KEY=VALUE")
    return key, value_of(value)
