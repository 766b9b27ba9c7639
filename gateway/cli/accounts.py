"""`gateway superuser ...`, `gateway session ...` and `gateway token ...`."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from gateway.cli.client import Caller, Target, new_password, quoted, table
from gateway.cli.files import value_of
from gateway.cli.options import acts
from gateway.cli.types import Json

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
    password = new_password(piped=password_stdin)

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
    """Delete a superuser, named by email or id; their logins end, and the superuser tokens that they made."""

    async def work(caller: Caller) -> None:
        id_ = await _id_of(caller, email)
        await caller.call("DELETE", f"/superusers/{quoted(id_)}")
        target.show(None, lambda: f"superuser {email} is deleted")

    target.run(work)


@superuser.command("password")
@click.argument("email")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input, not from the terminal.")
@click.option("--tokens", is_flag=True, help="The superuser tokens that this superuser made end too.")
@acts
def set_password(target: Target, email: str, password_stdin: bool, tokens: bool) -> None:
    """Set a superuser's password, named by email or id; all logins of that superuser end."""
    password = new_password(piped=password_stdin)

    async def work(caller: Caller) -> None:
        id_ = await _id_of(caller, email)
        made = await caller.call("PUT", f"/superusers/{quoted(id_)}/password", {"password": password, "tokens": tokens})
        target.show(made, lambda: f"superuser {made['email']} has a new password")

    target.run(work)


async def _id_of(caller: Caller, email: str) -> str:
    """Of the superuser with this email or id. Raises `AdminError`."""
    from gateway.admin.errors import not_found

    found = await caller.call("GET", "/superusers")
    ids = [str(s["id"]) for s in found["items"] if email.lower() in (s["email"], s["id"])]
    if not ids:
        raise not_found(f"there is no superuser {email}")
    return ids[0]


@click.group()
def session() -> None:
    """List and end logins of superusers."""


@session.command("list")
@acts
def list_sessions(target: Target) -> None:
    """List who is logged in."""

    async def work(caller: Caller) -> None:
        found = await caller.call("GET", "/sessions")
        rows = [[s["id"], s["email"], s["client"] or "-", s["created"], s["expires_at"]] for s in found["items"]]
        target.show(found, lambda: table(rows, ["ID", "EMAIL", "CLIENT", "SINCE", "EXPIRES"]))

    target.run(work)


@session.command("end")
@click.argument("id")
@acts
def end_session(target: Target, id: str) -> None:  # noqa: A002 - the argument's own word
    """End a login, at once."""

    async def work(caller: Caller) -> None:
        await caller.call("DELETE", f"/sessions/{quoted(id)}")
        target.show(None, lambda: f"login {id} is ended")

    target.run(work)


@click.group()
def token() -> None:
    """Create, list and revoke tokens for callers and machines."""


@token.command("create")
@click.argument("name")
@click.option("--superuser", "superuser_", is_flag=True, help="It may use the admin API.")
@click.option("--metrics", is_flag=True, help="It may read metrics, and nothing else.")
@click.option(
    "--expires",
    metavar="TIME",
    help="How long it is good for, as in 12h or 30d, or never. Default: 90d for a superuser token, never for others.",
)
@click.option("--claim", "claims", multiple=True, metavar="KEY=VALUE", help="What rules read as @request.auth.KEY.")
@click.option(
    "--to",
    "file",
    type=click.Path(path_type=pathlib.Path, dir_okay=False),
    help="Write it into a new file that its owner alone can read, and do not show it.",
)
@acts
def create_token(
    target: Target,
    name: str,
    superuser_: bool,
    metrics: bool,
    expires: str | None,
    claims: tuple[str, ...],
    file: pathlib.Path | None,
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
        if file is None:
            made = await caller.call("POST", "/tokens", body)
            target.show(made, lambda: str(made["token"]))
            return
        with _private(file) as write:
            made = await caller.call("POST", "/tokens", body)
            write(str(made.pop("token")) + "\n")
        target.show(made, lambda: f"token {name} is in {file}")

    target.run(work)


@contextmanager
def _private(path: pathlib.Path) -> Iterator[Callable[[str], object]]:
    """A new file that only its owner can read; it is removed again on failure.

    It is made before what it is to hold, so that no token exists that could not be written down. Nothing that is
    there already is followed or changed, be it a file, a link or a pipe.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise click.ClickException(f"{path} is there already; name a new file, or remove it first") from None
    except OSError as error:
        raise click.ClickException(f"{path} cannot be made: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(file.fileno(), 0o600)  # whatever the umask takes away
            yield file.write
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@token.command("list")
@acts
def list_tokens(target: Target) -> None:
    """List tokens; their values cannot be shown."""

    async def work(caller: Caller) -> None:
        found = await caller.call("GET", "/tokens")
        rows = [
            [t["id"], t["name"], _right(t), t["expires_at"] or "never", t["last_used"] or "-", t["maker"] or "-"]
            for t in found["items"]
        ]
        target.show(found, lambda: table(rows, ["ID", "NAME", "GOOD FOR", "EXPIRES", "LAST USED", "MADE BY"]))

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
    if text == "never":
        return 0.0
    match = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", text)  # 0 of a unit would be a token that never expires
    if match is None:
        raise click.UsageError("--expires must be a number above 0 and a unit, as in 30m, 12h or 30d, or never")
    return float(match[1]) * _UNITS[match[2]]


def _claim(text: str) -> tuple[str, object]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise click.UsageError(f"{text} is no KEY=VALUE")
    return key, value_of(value)
