"""What is wrong with a configuration, and where: the one exception of this room."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. Lines and columns count from 1, 0 is "unknown"; ``message`` says what to fix, without the value."""

    message: str
    path: Path = ()
    line: int = 0
    column: int = 0

    def render(self, name: str) -> str:
        place = [str(number) for number in (self.line, self.column) if number]
        path = ".".join(str(key) if str(key).isprintable() else ascii(key) for key in self.path)
        return ": ".join(filter(None, [":".join([name, *place]), path, self.message]))


class ConfigError(Exception):
    """A configuration that cannot be used. ``problems`` holds all of them, in the order of their lines.

    Its text is one line for each problem: ``file:line: path.to.key: what is wrong, and how to fix it``.
    """

    def __init__(self, name: str, problems: Iterable[Problem]) -> None:
        self.name = name
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.line, problem.column)))
        super().__init__("\n".join(problem.render(name) for problem in self.problems))
