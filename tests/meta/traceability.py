"""Each requirement with what shows it: docs/requirements.yaml and the marks of the tests make docs/traceability.md.

    python tests/meta/traceability.py

writes the page. The marks are read from the source text, which takes a third of a second, where collecting the tests
takes several; a mark that cannot be read so is an error, and pytest itself refuses one that is not registered.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]  # not from meta.sources: this file is also a script
SOURCE = ROOT / "docs/requirements.yaml"
PAGE = ROOT / "docs/traceability.md"
KINDS = {
    "FR": "Functions",
    "NFR": "Qualities",
    "SC": "Criteria of success",
    "EC": "Edge cases",
    "T": "Tasks",
    "ACT": "Named actions",
}
WHOLE = "all of it"
"""Stands for the tests of a file that is marked as a whole."""
INTRODUCTION = """\
# Traceability

What Breakwater has to be and to do, and what shows that it is so. This page is made by `make traceability` from
[requirements.yaml](requirements.yaml) and from the marks of the tests. The tests in `tests/meta` fail when it is not up
to date, when a mark means no requirement, and when nothing shows a requirement: no test, no report, no document, no
stated deviation, nor the name of a report that is still to come.
"""


@dataclass(frozen=True)
class Requirement:
    """An entry of docs/requirements.yaml, which explains its fields."""

    says: str
    where: tuple[str, ...] = ()
    report: str = ""
    awaits: str = ""
    document: str = ""
    deviation: str = ""
    note: str = ""

    @property
    def shown(self) -> bool:
        """By something else than tests."""
        return bool(self.report or self.document or self.deviation)


@dataclass(frozen=True)
class Mark:
    """``name`` is that of a function, `Class.method`, a class, or `WHOLE`."""

    file: str
    name: str
    ids: tuple[str, ...]


def once_each(text: str) -> Any:
    """The mapping of ``text``, which is YAML. Raises ValueError for an id that stands twice, of which yaml itself would
    keep the last one in silence."""
    node = yaml.compose(text, yaml.SafeLoader)
    keys = [key.value for key, _ in node.value]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise ValueError(f"{', '.join(twice)}: stands twice in {SOURCE.name}; make one entry of them")
    return yaml.safe_load(text)


@cache
def requirements() -> Mapping[str, Requirement]:
    """By id, in the order of the file. Raises `TypeError` for an unknown field, and as `once_each`."""
    found: dict[str, dict[str, Any]] = once_each(SOURCE.read_text())
    return {id_: Requirement(**entry | {"where": tuple(entry.get("where", ()))}) for id_, entry in found.items()}


@cache
def marked() -> tuple[Mark, ...]:
    """Every mark of the tests, by file and place."""
    return tuple(test for path in sorted((ROOT / "tests").rglob("*.py")) for test in marks(path.read_text(), path))


def marks(text: str, path: Path) -> list[Mark]:
    """The marks in one file. Raises `ValueError` for one that is not a mark of a test with plain ids."""
    if "mark.covers" not in text:
        return []
    tree = ast.parse(text, str(path))
    file = path.relative_to(ROOT).as_posix()
    found = list(_of_scope(tree, file, ""))
    written = sum(_is_covers(node) for node in ast.walk(tree))
    if written != len(found):
        raise ValueError(f"{file}: {written - len(found)} marks stand where no test is")
    return found


def _of_scope(scope: ast.Module | ast.ClassDef, file: str, prefix: str) -> Iterator[Mark]:
    for node in scope.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "pytestmark" for t in node.targets):
            listed = node.value.elts if isinstance(node.value, ast.List) else [node.value]
            yield from (Mark(file, prefix.rstrip(".") or WHOLE, ids) for ids in _ids(listed))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield from (Mark(file, prefix + node.name, ids) for ids in _ids(node.decorator_list))
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from (Mark(file, node.name, ids) for ids in _ids(node.decorator_list))
            yield from _of_scope(node, file, f"{node.name}.")


def _ids(marks: list[ast.expr]) -> Iterator[tuple[str, ...]]:
    for mark in marks:
        if isinstance(mark, ast.Call) and _is_covers(mark.func):
            ids = tuple(str(arg.value) for arg in mark.args if isinstance(arg, ast.Constant))
            if not ids or len(ids) != len(mark.args) or mark.keywords:
                raise ValueError(f"line {mark.lineno}: covers takes ids, as they stand in {SOURCE.name}")
            yield ids


def _is_covers(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "covers" and ast.unparse(node.value) == "pytest.mark"


def marks_of(id_: str) -> list[Mark]:
    return [test for test in marked() if id_ in test.ids]


def kind_of(id_: str) -> str:
    return re.sub(r"[^A-Z].*", "", id_)


def verdicts(report: Path, id_: str) -> list[str]:
    """What stands in the last cell of each row of a report's tables that names the id."""
    rows = re.findall(r"^\| (.+) \|$", report.read_text(), re.MULTILINE)
    return [row.rsplit(" | ", 1)[-1] for row in rows if re.search(rf"(?<![\w-]){re.escape(id_)}(?![\w-])", row)]


def page() -> str:
    """The text of docs/traceability.md."""
    open_ = [id_ for id_, entry in requirements().items() if not entry.shown and not marks_of(id_)]
    told = f"Not shown yet: {', '.join(open_)}." if open_ else "Each of them is shown."
    parts = [INTRODUCTION, f"{len(requirements())} requirements. {told}\n"]
    for kind, title in KINDS.items():
        parts.append(f"## {title}\n\n| id | requirement | where | shown by |\n| --- | --- | --- | --- |\n")
        parts[-1] += "".join(_row(id_, entry) for id_, entry in requirements().items() if kind_of(id_) == kind)
    return "\n".join(parts)


def _row(id_: str, entry: Requirement) -> str:
    cells = (id_, entry.says, "<br>".join(map(_link, entry.where)), "<br>".join(_evidence(id_, entry)))
    return f"| {' | '.join(cells)} |\n"


def _evidence(id_: str, entry: Requirement) -> Iterator[str]:
    if entry.deviation:
        yield f"**Deviation.** {entry.deviation}"
    if entry.note:
        yield entry.note
    by_file: dict[str, list[str]] = {}
    for test in marks_of(id_):
        by_file.setdefault(test.file, []).append(f"`{test.name}`" if test.name != WHOLE else WHOLE)
    for file, names in by_file.items():
        yield f"{_link(file)}: {', '.join(names)}"
    if entry.report:
        yield f"report {_link(entry.report)}"
    if entry.document:
        yield f"document {_link(entry.document)}"
    if entry.awaits:
        yield f"*not there yet: `{entry.awaits}`*"


def _link(file: str) -> str:
    return f"[{file}]({'../' + file if not file.startswith('docs/') else file.removeprefix('docs/')})"


if __name__ == "__main__":
    PAGE.write_text(page())
