"""The pages of docs/ are fresh where programs write them, hang together, and can be reached from their index."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from meta import markdown
from meta.sources import ROOT

from gateway.config.schema.json_schema import schema

DOCS = ROOT / "docs"
INDEX = DOCS / "README.md"
GENERATED = ("admin-api.md", "configuration.md", "oracles.md", "tuning.md")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the pages after their generator has been there; its regions were emptied before."""
    folder = tmp_path_factory.mktemp("docs")
    for name in GENERATED:
        shutil.copy(DOCS / name, folder)
        page = folder / name
        page.write_text(re.sub(r"(<!-- begin [^\n]*\n).*?(<!-- end)", r"\1\2", page.read_text(), flags=re.DOTALL))
    subprocess.run([sys.executable, DOCS / "generator", folder], check=True, timeout=30)
    return folder


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_page_is_fresh(written: Path, name: str) -> None:
    assert (written / name).read_text() == (DOCS / name).read_text(), "run: make docs"


def test_every_page_with_a_generated_region_is_known() -> None:
    regions = re.compile(r"^<!-- begin [\w-]+: make docs -->$", re.MULTILINE)
    assert {page.name for page in DOCS.glob("*.md") if regions.search(page.read_text())} == set(GENERATED)


@pytest.mark.parametrize("page", markdown.pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in markdown.links(page):
        assert target.exists(), f"there is no {target.relative_to(ROOT)}"
        told = f"{target.relative_to(ROOT)} has no heading #{anchor}"
        assert not anchor or (target.suffix == ".md" and anchor in markdown.anchors(target)), told


def test_every_page_is_reached_from_the_index() -> None:
    reached: set[Path] = set()
    waiting = {INDEX}
    while waiting:
        page = waiting.pop()
        reached.add(page)
        inside = {
            target for target, _ in markdown.links(page) if target.is_relative_to(DOCS) and target.suffix == ".md"
        }
        waiting |= inside - reached
    assert {page for page in markdown.pages() if page.is_relative_to(DOCS)} <= reached


def test_the_readme_leads_to_the_index() -> None:
    assert (INDEX, "") in markdown.links(ROOT / "README.md")


def test_the_configuration_has_every_key_of_each_section() -> None:
    """Also of sections whose entries stand under a name, such as connections."""
    text = (DOCS / "configuration.md").read_text()
    sections = {
        "upstreams[]": "Upstream",
        "connections.NAME": "Connection",
        "actions.NAME": "Action",
        "proxies[]": "Proxy",
    }
    for begin, model in sections.items():
        keys = schema()["$defs"][model]["properties"]
        assert keys
        assert [key for key in keys if f"| `{begin}.{key}` |" not in text] == [], begin


def test_the_admin_api_names_every_code_of_its_errors() -> None:
    rows = re.findall(r"^\| \d{3} \| `([\w.]+)` \|", (DOCS / "admin-api.md").read_text(), re.MULTILINE)
    assert rows == list(dict.fromkeys(rows))
    assert set(rows) == codes_in_the_source()


def codes_in_the_source() -> set[str]:
    """The second argument of each `AdminError`, the first of each `conflict`; the titles of aiohttp's own answers."""
    places = {"AdminError": 1, "conflict": 0}
    titles = {"Not Found", "Method Not Allowed", "Content Too Large", "Expectation Failed"}
    found = {title.lower().replace(" ", "_") for title in titles}
    for file in sorted(file for room in ("admin", "api") for file in (ROOT / "gateway" / room).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in places:
                argument = node.args[places[node.func.id]]
                found |= {str(argument.value)} if isinstance(argument, ast.Constant) else set()
    return found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# A `b` c, [d](e)\n", {"a-b-c-d"}),
        ("# Two\n## Two\n", {"two", "two-1"}),
        ("```sh\n# no heading\n```\n", set()),
    ],
)
def test_anchors_are_those_of_github(tmp_path: Path, text: str, found: set[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    assert markdown.anchors(page) == found


def test_a_dead_link_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[a](there.md#x), [b](https://example.org/c), `[c](code.md)` and\n```\n[d](fence.md)\n```\n")
    assert (tmp_path / "there.md", "x") in markdown.links(page)
    assert not [target for target, _ in markdown.links(page) if "example" in str(target) or "fence" in str(target)]
