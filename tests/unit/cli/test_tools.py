"""The table of the tools of a server, whose texts are those of a stranger."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.cli.imports import remark
from gateway.cli.tools import table_of
from gateway.config.openapi.importer import Imported


def tool(name: str, schema: Any = None, description: str = "", title: str = "") -> dict[str, Any]:
    return {"name": name, "title": title, "description": description, "input_schema": schema}


def test_a_line_for_each_tool() -> None:
    schema = {"properties": {"days": {}, "city": {}}, "required": ["city"]}
    shown = table_of([tool("get", schema, "The weather"), tool("other", title="Other")])
    assert shown.split()[0] == "NAME"
    assert [line.split() for line in shown.splitlines()[1:]] == [
        ["get", "city", "[days]", "The", "weather"],
        ["other", "-", "Other"],
    ]


@pytest.mark.parametrize("schema", [{}, {"properties": 5}, {"properties": {}, "required": 7}])
def test_schemas_without_names(schema: dict[str, Any]) -> None:
    assert table_of([tool("a", schema)]).splitlines()[1].split() == ["a", "-"]


def test_texts_of_a_server_neither_drive_the_terminal_nor_fill_it() -> None:
    evil = "\x1b]0;owned\x07\nline two\u202e" + "x" * 500
    shown = table_of([tool(f"n\x1b[2J{evil}", {"properties": {f"p{evil}": {}}}, evil)])
    assert len(shown.splitlines()) == 2
    assert all(each.isprintable() for each in shown.splitlines())
    assert max(map(len, shown.splitlines())) < 3 * 90


def test_neither_do_remarks_about_them(capsys: pytest.CaptureFixture[str]) -> None:
    remark(Imported(remarks=["the schema refers to \x1b[2J\nx"]))
    assert capsys.readouterr().err == "! the schema refers to  [2J x\n"
