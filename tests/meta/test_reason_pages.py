"""docs/reasons has a page for each reason, and says of it what gateway/errors.py says."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import click
import pytest
from meta.sources import ROOT

from gateway.cli import main
from gateway.errors import REASONS, Reason

PAGES = ROOT / "docs/reasons"
INDEX = PAGES / "README.md"
HEADINGS = [
    "What the caller sees",
    "What the gateway did",
    "Whose fault",
    "What to do",
    "Where to look",
    "Typical causes",
]
MOST_LINES = 60
COMMAND = re.compile(r"\bgateway ([a-z]+)(?: ([a-z][a-z-]*))?")

EACH = pytest.mark.parametrize("reason", REASONS.values(), ids=lambda reason: reason.code)


@cache
def text(path: Path) -> str:
    return path.read_text()


def page(reason: Reason) -> str:
    return text(PAGES / f"{reason.code}.md")


def sentence(reason: Reason) -> str:
    """What the page says first: the paragraph below its table."""
    return " ".join(page(reason).split("\n\n")[2].split())


def test_each_reason_has_a_page_and_no_page_is_without_one() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} - {INDEX.stem} == REASONS.keys()


@EACH
def test_a_page_begins_with_its_row_of_the_table(reason: Reason) -> None:
    row = f"| {reason.status} | {reason.title} | {reason.source.value} |"
    assert page(reason).startswith(f"# {reason.code}\n\n| status | title | source |\n| --- | --- | --- |\n{row}\n\n")


@EACH
def test_a_page_is_short_and_has_its_place_for_everything(reason: Reason) -> None:
    assert re.findall(r"^## (.+)$", page(reason), re.MULTILINE) == HEADINGS
    assert page(reason).count("\n") < MOST_LINES


@EACH
def test_a_page_names_its_own_metric(reason: Reason) -> None:
    named = re.findall(r'reason="(\w+)",source="(\w+)"', page(reason))
    assert set(named) == {(reason.code, reason.source.value)}


@EACH
def test_the_commands_of_a_page_exist(reason: Reason) -> None:
    """Those in code; each group of commands, and each command in it."""
    for span in re.findall(r"`([^`]+)`", page(reason)):
        for group, name in COMMAND.findall(" ".join(span.split())):
            command = main.commands.get(group)
            assert command is not None, f"gateway {group}"
            assert not isinstance(command, click.Group) or name in command.commands, f"gateway {group} {name}"


def test_the_index_lists_each_page_by_its_first_sentence() -> None:
    rows = re.findall(r"^\| \[`.*\|$", text(INDEX), re.MULTILINE)
    assert rows == [
        f"| [`{r.code}`]({r.code}.md) | {r.status} | {r.source.value} | {sentence(r)} |" for r in REASONS.values()
    ]


def test_the_table_of_what_callers_see_is_the_one_in_the_code() -> None:
    written = re.findall(r"^\| \d{3} \| `.*\|$", text(ROOT / "docs/callers.md"), re.MULTILINE)
    assert written == [f"| {r.status} | `{r.code}` | {r.title} | {r.details} |" for r in REASONS.values()]


@pytest.mark.parametrize("page_before", ["README.md", "docs/observability.md"])
def test_readers_of_refusals_are_led_here(page_before: str) -> None:
    assert "reasons/README.md)" in text(ROOT / page_before)
