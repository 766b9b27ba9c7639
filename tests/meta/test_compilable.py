"""The check of what can be compiled has teeth; `make types` puts it to the gateway's own modules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from meta.compilable import compiled_files, refusals
from meta.sources import ROOT

BROKEN = """\
import threading


class Writer:
    def __init__(self) -> None:
        self._thread = threading.current_thread()
        self._lock = threading.Lock()

    def run(self, numbers: list[int]) -> int:
        found = 0
        for number in numbers:
            with self._lock:
                if number < 0:
                    continue
                found += number
        return found
"""


def test_what_compiled_code_can_not_do_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = tmp_path / "broken.py"
    module.write_text(BROKEN)
    refused = list(refusals(["broken.py"]))
    assert [line for line in refused if line.startswith("broken.py:14: error: ")], refused
    module.write_text(BROKEN.replace("continue", "found -= 1"))
    assert list(refusals(["broken.py"])) == [
        "broken.Writer._thread: __thread is a keyword of C; choose another name",
    ]
    module.write_text(BROKEN.replace("continue", "found -= 1").replace("_thread =", "_writer ="))
    assert list(refusals(["broken.py"])) == []


def test_the_modules_are_those_of_the_wheel() -> None:
    files = {str(Path(file).relative_to(ROOT)) for file in compiled_files()}
    assert {"gateway/proxy/server.py", "gateway/wire/h1/head.py", "gateway/errors.py"} <= files
    assert not {file for file in files if file.endswith("__init__.py")}
    assert "gateway/core/limits.py" not in files


def classes(path: Path) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef))


def test_no_interpreted_class_inherits_from_a_compiled_one() -> None:
    """It would raise TypeError in the compiled edition, when the first object is made."""
    compiled = {Path(file) for file in compiled_files()}
    native = {
        f"{'.'.join(path.relative_to(ROOT).with_suffix('').parts)}.{c.name}" for path in compiled for c in classes(path)
    }
    for path in set((ROOT / "gateway").rglob("*.py")) - compiled:
        imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        names = {alias.asname or alias.name: f"{node.module}.{alias.name}" for node in imports for alias in node.names}
        for made in classes(path):
            bases = {names.get(base.id) for base in made.bases if isinstance(base, ast.Name)}
            assert not bases & native, (
                f"compile {path.relative_to(ROOT)} too: {made.name} inherits from {bases & native}"
            )
