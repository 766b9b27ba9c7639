"""The docstrings below the attributes of a class, which describe the keys of a section.

They are read only when a schema is shown. The models themselves could have them (``use_attribute_docstrings`` of
pydantic), but then each process would parse the sources of all sections at its start: a tenth of that start.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise


def descriptions(section: type, base: type) -> Mapping[str, str]:
    """By attribute, each on one line: those of ``section`` and of the classes between it and ``base``, without those of
    ``base`` itself. Empty where there are no sources.
    """
    found: dict[str, str] = {}
    for each in reversed(section.__mro__):
        if each is not base and issubclass(each, base):
            found |= _of_module(each.__module__).get(each.__qualname__, {})
    return found


@cache
def _of_module(name: str) -> Mapping[str, Mapping[str, str]]:
    """By the qualified name of the class, then by attribute."""
    try:
        source = inspect.getsource(sys.modules[name])
    except (KeyError, OSError, TypeError):  # built in, typed into a shell, or installed without its source
        return {}
    return dict(_classes(ast.parse(source).body, ""))


def _classes(body: Sequence[ast.stmt], prefix: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield prefix + node.name, _attributes(node.body)
            yield from _classes(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _classes(node.body, f"{prefix}{node.name}.<locals>.")


def _attributes(body: Sequence[ast.stmt]) -> Mapping[str, str]:
    return {
        attribute.target.id: " ".join(below.value.value.split())
        for attribute, below in pairwise(body)
        if isinstance(attribute, ast.AnnAssign)
        and isinstance(attribute.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }
