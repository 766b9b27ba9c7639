"""Whether the modules of the compiled edition can be compiled: `make types` asks, without a C compiler, in seconds.

    python tests/meta/compilable.py

mypyc refuses some of what Python and mypy allow, and C refuses some names; nobody would notice before `make wheel`.
Exit code 1 with what was refused on standard error.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from mypy.errors import CompileError
from mypy.fscache import FileSystemCache
from mypyc.build import construct_groups, get_mypy_config
from mypyc.codegen.emitmodule import compile_modules_to_ir, parse_and_typecheck
from mypyc.errors import Errors
from mypyc.irbuild.mapper import Mapper
from mypyc.options import CompilerOptions

ROOT = Path(__file__).resolve().parents[2]
KEYWORDS = frozenset(
    {"alignof", "asm", "attribute", "auto_type", "complex", "const", "extension", "imag", "inline", "label", "real"}
    | {"restrict", "signed", "thread", "typeof", "volatile"}
)
"""What GNU C reserves behind two underscores; mypyc puts one before the name of an attribute."""


def compiled_files() -> list[str]:
    """What pyproject.toml names for the mypyc hook, as its plugin selects it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    hook = project["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["mypyc"]
    left_out = {path for pattern in hook["exclude"] for path in (*ROOT.glob(pattern), *ROOT.rglob(pattern))}
    return sorted(str(path) for pattern in hook["include"] for path in ROOT.glob(pattern) if path not in left_out)


def refusals(files: Sequence[str]) -> Iterator[str]:
    """A line for each place that cannot be compiled, or that would do something else when it is."""
    for file in files:
        if "memoryview[float]" in Path(file).read_text():
            yield f"{file}: mypyc takes each number of a memoryview for an int; leave this module out in pyproject.toml"
    options = CompilerOptions()
    cache = FileSystemCache()
    try:
        everything, sources, typing = get_mypy_config(["--strict", *files], None, options, cache)
        groups = construct_groups(sources, False, len(sources) > 1, None)
        result = parse_and_typecheck(everything, typing, options, groups, cache)
    except CompileError as error:
        yield from error.messages
        return
    errors = Errors(typing)
    mapper = Mapper({source.module: name for group, name in groups for source in group})
    modules = compile_modules_to_ir(result, mapper, options, errors)
    yield from (message for message in errors.new_messages() if " error: " in message)
    for name, module in modules.items():
        for made in module.classes:
            for attribute in made.attributes:
                if attribute.startswith("_") and attribute[1:] in KEYWORDS:
                    yield f"{name}.{made.name}.{attribute}: _{attribute} is a keyword of C; choose another name"


def main() -> int:
    found = list(refusals(compiled_files()))
    sys.stderr.write("".join(f"{line}\n" for line in found))
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
