"""Connections with their actions are stored all together, or not at all."""

from __future__ import annotations

from collections.abc import Mapping

import click
import pytest

from gateway.admin.errors import conflict
from gateway.cli import new_calls
from gateway.cli.call_files import Kind
from gateway.cli.client import Target, quoted
from gateway.cli.types import Json

LIB = "trn:openact:default:connection/http/lib@v1"
FIND, LIST = (f"trn:openact:default:action/http/{each}@v1" for each in "ab")
WANTED: Mapping[Kind, Mapping[str, Json]] = {
    "connection": {LIB: {"name": "lib"}},
    "action": {FIND: {"name": "a"}, LIST: {"name": "b"}},
}


class Records:
    """A gateway that has ``there``, and rejects what has the name ``rejected``."""

    def __init__(self, rejected: str = "", *, deletes: bool = True, there: tuple[str, ...] = ()) -> None:
        self.rejected, self.deletes, self.there = rejected, deletes, there
        self.done: list[tuple[str, str]] = []

    async def call(self, method: str, path: str, body: Json = None, **query: object) -> Json:
        if method == "GET":
            items = [{"trn": each} for each in self.there if path[1:-1] in each]
            return {"items": items, "total": len(items), "page": 1, "per_page": 1000}
        if (body is not None and body["name"] == self.rejected) or (method == "DELETE" and not self.deletes):
            raise conflict("already_exists", "another one came first")
        self.done.append((method, path if body is None else body["name"]))
        return {"applied": {"generation": 1, "error": ""}}


class Here(Target):
    def __init__(self, records: Records) -> None:
        super().__init__(None, None, None, json=False)
        self.records = records

    def run(self, work: object) -> None:
        self.finish(work(self.records))  # type: ignore[operator]


def test_all_are_stored(capsys: pytest.CaptureFixture[str]) -> None:
    new_calls.create(Here(records := Records()), WANTED, "default", dry_run=False)
    assert records.done == [("POST", "lib"), ("POST", "a"), ("POST", "b")]
    assert capsys.readouterr().out == f"+ {LIB}\n+ {FIND}\n+ {LIST}\n"


def test_what_was_stored_before_a_rejection_goes_again(capsys: pytest.CaptureFixture[str]) -> None:
    records = Records("b")
    with pytest.raises((SystemExit, click.exceptions.Exit)):
        new_calls.create(Here(records), WANTED, "default", dry_run=False)
    assert records.done[-1] == ("DELETE", f"/connections/{quoted(LIB)}")
    assert "another one came first" in capsys.readouterr().err


def test_actions_alone_go_again_one_by_one() -> None:
    records = Records("b")
    with pytest.raises((SystemExit, click.exceptions.Exit)):
        new_calls.create(Here(records), {**WANTED, "connection": {}}, "default", dry_run=False)
    assert records.done == [("POST", "a"), ("DELETE", f"/actions/{quoted(FIND)}")]


def test_what_cannot_be_deleted_again_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((SystemExit, click.exceptions.Exit)):
        new_calls.create(Here(Records("b", deletes=False)), WANTED, "default", dry_run=False)
    assert f"! {LIB} could not be deleted again" in capsys.readouterr().err


@pytest.mark.parametrize("there", [LIB, LIST, LIB.replace("/http/", "/sql/")])
def test_one_that_is_there_changes_nothing(there: str) -> None:
    records = Records(there=(there,))
    with pytest.raises((SystemExit, click.exceptions.Exit)):
        new_calls.create(Here(records), WANTED, "default", dry_run=False)
    assert records.done == []
