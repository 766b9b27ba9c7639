"""The input of a call from the command line, and what is printed of its response."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from gateway.cli.action import read_input, rendered

FOUND = {"status": 404, "headers": [["A", "b"]], "body": {"x": [1]}, "body_encoding": "json", "request_id": "r"}


def test_keys_objects_and_files_are_one_input(tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text('{"b": [1], "a": "file"}')
    assert read_input(("a=1=2", ' {"c": null}', f"@{file}")) == {"a": "file", "b": [1], "c": None}
    assert read_input(()) == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nothing", "none of key=value"),
        ("=x", "none of key=value"),
        ("{", "is no JSON"),
        ("@/nowhere", "No such file"),
    ],
)
def test_what_is_no_input(text: str, why: str) -> None:
    with pytest.raises(click.UsageError, match=why):
        read_input((text,))


def test_a_file_that_is_no_object(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("[1]")
    (tmp_path / "b").write_bytes(b"\xff")
    for name, why in (("a", "must be a JSON object"), ("b", "is not UTF-8")):
        with pytest.raises(click.UsageError, match=why):
            read_input((f"@{tmp_path / name}",))


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("status-only", "404"),
        ("headers-only", '[\n  [\n    "A",\n    "b"\n  ]\n]'),
        ("body-only", '{\n  "x": [\n    1\n  ]\n}'),
    ],
)
def test_parts_of_a_response(output: str, text: str) -> None:
    assert rendered(FOUND, output) == text


def test_a_text_is_printed_as_it_is() -> None:
    assert rendered(FOUND | {"body": "plain\ntext", "body_encoding": "text"}, "body-only") == "plain\ntext"


def test_a_whole_response_has_nothing_that_differs_from_one_call_to_the_next() -> None:
    assert "request_id" not in rendered(FOUND, "full")
    assert rendered(FOUND, "full").startswith('{\n  "status": 404,\n  "headers"')


def test_a_dry_run_prints_the_request() -> None:
    assert rendered({"dry_run": True, "request": {"method": "GET"}}, "status-only") == '{\n  "method": "GET"\n}'
