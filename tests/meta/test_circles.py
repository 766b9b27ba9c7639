"""No module imports itself on any way through others, neither in the gateway nor in the load tests.

Counted is every import that is written down, also those in functions and for types alone: a circle ties its modules
together, whenever it is run. Not counted is that Python loads the packages around a module.
"""

from __future__ import annotations

import ast
from collections.abc import Container, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from meta.sources import ROOT

FOLDERS = {"gateway": [ROOT], "loadtest": [ROOT, ROOT / "loadtest"]}
"""Folders with code, and the paths from which their modules are imported."""


def files_by_name() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder, roots in FOLDERS.items():
        for file in sorted((ROOT / folder).rglob("*.py")):
            for root in roots:
                parts = file.relative_to(root).with_suffix("").parts
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imported(code: str, names: Container[str]) -> Iterator[str]:
    """What ``code`` imports; by `from a import b` that is ``a.b`` when it is a module, one of ``names``, else ``a``."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, "relative imports are not used"
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in names else node.module for name in inside)


def circle(sources: dict[Path, str], names: dict[str, Path]) -> list[str]:
    """The files of one circle, the first one again at its end; empty without any."""
    graph = {file: {names[name] for name in imported(code, names) if name in names} for file, code in sources.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [file.as_posix() for file in error.args[1]]
    return []


def test_there_is_no_circle() -> None:
    names = files_by_name()
    found = circle({file: file.read_text() for file in names.values()}, names)
    assert not found, " imports ".join(reversed(found))


@pytest.mark.parametrize(
    "line", ["import b", "from b import x", "def f():\n    from b import x", "if TYPE_CHECKING:\n    import b"]
)
def test_a_circle_is_seen(line: str) -> None:
    names = {"a": Path("a.py"), "b": Path("b.py"), "c": Path("c.py")}
    sources = {Path("a.py"): line, Path("b.py"): "import c", Path("c.py"): "import a"}
    assert sorted(set(circle(sources, names))) == ["a.py", "b.py", "c.py"]
    assert circle(sources | {Path("c.py"): "import d"}, names) == []
