"""The source tree as data: every module of the package, and what it imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "gateway"


@dataclass(frozen=True)
class Module:
    """One module; ``file`` is relative to the package folder, ``imports`` are absolute dotted names."""

    name: str
    file: str
    imports: frozenset[str]
    has_code: bool
    """A function of it does something: records, protocols and ``__init__`` that only assign leave nothing to test."""

    @property
    def room(self) -> str:
        """`policy` for gateway/policy/limiter.py, `errors` for gateway/errors.py, `` for gateway/__init__.py."""
        return self.file.split("/")[0].removesuffix(".py").replace("__init__", "")


@cache
def modules() -> tuple[Module, ...]:
    return tuple(_module(path) for path in sorted(PACKAGE.rglob("*.py")))


def _module(path: Path) -> Module:
    tree = ast.parse(path.read_text(), str(path))
    parts = path.relative_to(ROOT).with_suffix("").parts
    package = ".".join(parts[:-1])
    name = package if parts[-1] == "__init__" else ".".join(parts)
    found = frozenset(imported for node in ast.walk(tree) for imported in _imported(node, package))
    return Module(name, path.relative_to(PACKAGE).as_posix(), found, _has_code(tree))


def _imported(node: ast.AST, package: str) -> list[str]:
    """`from gateway import errors` gives `gateway.errors`: the name may be a module, and is one when it matters."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
        source = ".".join(filter(None, [base, node.module]))
        return [f"{source}.{alias.name}" for alias in node.names] if source == "gateway" else [source]
    return []


def _has_code(tree: ast.Module) -> bool:
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return any(function.name != "__init__" and not _is_signature(function) for function in functions)


def _is_signature(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Its body is a docstring, an ellipsis or both."""
    return all(isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) for line in function.body)


def third_party(module: Module) -> set[str]:
    tops = {name.split(".")[0] for name in module.imports}
    return tops - sys.stdlib_module_names - {"gateway"}


@cache
def text_files() -> tuple[Path, ...]:
    """Every text file that belongs to the project: what git tracks or would track."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    paths = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    return tuple(path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:8192])
