"""`gateway action call`: the input, what is set instead of the action, and what is printed or written of the result."""

from __future__ import annotations

import contextlib
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import click
import orjson

from gateway.cli import downloads
from gateway.cli.client import Caller, Target, standard_input
from gateway.cli.options import calls
from gateway.cli.types import Json

_OUTPUTS: Final = ("full", "body-only", "headers-only", "status-only")
_MILLISECONDS: Final = click.IntRange(1, 600_000)
_PRESETS: Final = ("once", "standard", "api", "background", "health", "aggressive", "conservative")
_OVERRIDES: Final = (
    click.option("--method", metavar="METHOD", help="Instead of the method of the action."),
    click.option("--endpoint", metavar="PATH", help="Instead of its path: a path, or a URL below the base URL."),
    click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="A header field besides its own."),
    click.option("--query", multiple=True, metavar="NAME=VALUE", help="A query parameter besides its own."),
    click.option("--body", metavar="JSON|@FILE|TEXT", help="Instead of its body; what is no JSON is sent as text."),
    click.option("--retry-policy", type=click.Choice(_PRESETS), help="Instead of its policy of retries."),
    click.option("--max-retries", type=click.IntRange(0, 10), help="Attempts besides the first one."),
    click.option("--retry-delay-ms", type=click.IntRange(10, 10_000), help="The first pause before a retry."),
)


def _overriding(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for what is set instead of the action."""
    for option in reversed(_OVERRIDES):
        command = option(command)
    return command


@click.command("call")
@click.argument("name")
@click.option(
    "--input",
    "given",
    multiple=True,
    metavar="K=V|JSON|@FILE",
    help="The input: a key and its value, which is text; a JSON object, as for numbers; a file with one; or @- for "
    "standard input.",
)
@click.option("--timeout-ms", type=_MILLISECONDS, help="Less time than the action has.")
@click.option("--dry-run", is_flag=True, help="Send nothing, and show what would be sent, without secrets.")
@click.option("--all", "all_pages", is_flag=True, help="Read all pages of an action with pagination.")
@click.option(
    "--output",
    default="full",
    show_default=True,
    metavar="FORM|FILE",
    help=f"What is printed: {', '.join(_OUTPUTS)}; or a file for the body as it came, - for standard output.",
)
@click.option("--version", metavar="N|latest", help="The version of the action, where it has several.")
@click.option("--tenant", metavar="NAME", help="The tenant that it belongs to; else `default`.")
@_overriding
@calls
def call_action(
    target: Target,
    name: str,
    given: tuple[str, ...],
    timeout_ms: int | None,
    dry_run: bool,
    all_pages: bool,
    output: str,
    version: str | None,
    tenant: str | None,
    **overrides: object,
) -> None:
    """Call action NAME and print the response as JSON: status, headers and body.

    With --all it prints the items of all pages as a list. Exit code 1 when the response has a status of 400 or more,
    and when not all pages could be read.
    """
    options: dict[str, object] = {"dry_run": dry_run, "all_pages": all_pages}
    options |= {"timeout_ms": timeout_ms} if timeout_ms else {}
    body: dict[str, object] = {"action_trn": name, "input": read_input(given), "options": options}
    if set_instead := read_overrides(overrides):
        body["overrides"] = set_instead
    into_file = output not in _OUTPUTS
    if into_file and (dry_run or all_pages):
        raise click.UsageError("--output FILE goes without --dry-run and --all: they have no body of one response")
    if into_file:
        downloads.check(output)

    async def work(caller: Caller) -> None:
        where = {"tenant": tenant, "version": version}
        with _hints(given):
            if into_file:
                await _write(output, await caller.download("/execute", body, **where))
                return
            found = await caller.call("POST", "/execute", body, **where)
        click.echo(rendered(found, output))
        _exit_for(found)

    target.run_calls(work)


@contextlib.contextmanager
def _hints(given: tuple[str, ...]) -> Iterator[None]:
    """Say of a value that has another type than the action wants that `key=value` made it text."""
    from gateway.admin.errors import AdminError

    try:
        yield
    except AdminError as error:
        texts = {each.partition("=")[0] for each in given if not each.lstrip().startswith(("@", "{"))}
        error.fields = tuple(
            (path, f"{message}; key=value is text, so write --input '{{\"{path}\": ...}}'")
            if path in texts and "is not of type" in message
            else (path, message)
            for path, message in error.fields
        )
        raise


def _exit_for(found: Json) -> None:
    """End the program with exit code 1 for what is no success."""
    if (stopped := found.get("stopped")) is not None:
        click.echo(f"Error: not all pages were read: page {stopped['page']}: {stopped['message']}", err=True)
        sys.exit(1)
    if found.get("status", 0) >= 400:
        sys.exit(1)


async def _write(name: str, found: downloads.Download) -> None:
    try:
        if found.status >= 400:
            click.echo(f"Error: the response has the status {found.status}; {name} was not written", err=True)
            sys.exit(1)
        size = 0
        with downloads.saved(name) as file:
            async for piece in found.pieces():
                file.write(piece)
                size += len(piece)
    finally:
        await found.aclose()
    if not downloads.is_standard_output(name):
        click.echo(f"{name}: {found.about(size)}")


def read_overrides(given: Mapping[str, object]) -> dict[str, object]:
    """What the options set instead of the action, as the API takes it."""
    found: dict[str, object] = {key: given[key] for key in ("method", "endpoint") if given.get(key)}
    for key, sign in (("headers", ":"), ("query", "=")):
        if pairs := given.get(key):
            assert isinstance(pairs, tuple)
            found[key] = dict(_pair(each, sign) for each in pairs)
    if (body := given.get("body")) is not None:
        text = str(body)
        text = _text_of(text[1:], "--body") if text.startswith("@") else text
        found["body"] = _json_or_text(text)
    names = {"retry_policy": "preset", "max_retries": "max_retries", "retry_delay_ms": "base_delay_ms"}
    policy = {key: given[option] for option, key in names.items() if given.get(option) is not None}
    return found | ({"retry_policy": policy} if policy else {})


def _pair(text: str, sign: str) -> tuple[str, str]:
    name, found, value = text.partition(sign)
    if not found or not name.strip():
        option = "--header" if sign == ":" else "--query"
        raise click.UsageError(f"{option} needs a name, {sign} and a value; write NAME{sign}VALUE")
    return (name.strip(), value.strip()) if sign == ":" else (name, value)


def _json_or_text(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def read_input(given: tuple[str, ...]) -> dict[str, Json]:
    """The input of all options together; a later one wins."""
    made: dict[str, Json] = {}
    for text in given:
        made |= _object(text)
    return made


def _object(text: str) -> dict[str, Json]:
    if text.startswith("@"):
        text = _text_of(text[1:], "--input")
    elif not text.lstrip().startswith("{"):
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.UsageError("--input is none of key=value, a JSON object and @file; write one of these")
        return {key: value}
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise click.UsageError(f"--input is no JSON: {error.msg} at {where}; fix it there") from None
    if not isinstance(found, dict):
        raise click.UsageError("--input must be a JSON object; write {...}")
    return found


def _text_of(name: str, option: str) -> str:
    if name == "-":
        return standard_input()
    try:
        return pathlib.Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise click.UsageError(f"{option}: {name}: {why}") from None


def rendered(found: Json, output: str) -> str:
    """The response of `POST /execute` as it is printed."""
    if "request" in found and found.get("dry_run"):
        return _json(found["request"])
    if "items" in found:
        return _json(found["items"])
    parts: dict[str, Callable[[], str]] = {
        "full": lambda: _json({key: found[key] for key in ("status", "headers", "body")}),
        "body-only": lambda: found["body"] if found["body_encoding"] != "json" else _json(found["body"]),
        "headers-only": lambda: _json(found["headers"]),
        "status-only": lambda: str(found["status"]),
    }
    return parts[output]()


def _json(value: Json) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
