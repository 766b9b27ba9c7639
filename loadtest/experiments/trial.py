"""What an experiment is: settings that are compared, in rounds in which each has its turn, and what came of it."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

Figures = dict[str, float]
"""What one turn of one setting came to, by the name of the column."""


@dataclass(frozen=True, slots=True)
class Column:
    """A figure that is reported; ``ratio``: also against the first setting, as the median of the rounds' ratios."""

    name: str
    digits: int = 0
    ratio: bool = False


@dataclass(frozen=True, slots=True)
class Experiment:
    """``method`` is a sentence or two: what was done, with how much load. ``rounds`` is how often each setting ran."""

    name: str
    title: str
    method: str
    columns: tuple[Column, ...]
    run: Callable[[float], Awaitable[list[dict[str, Figures]]]]
    """Takes a factor on every duration; gives the figures of each round by setting."""


@dataclass(frozen=True, slots=True)
class Row:
    setting: str
    cells: dict[str, list[float]] = field(default_factory=dict)
    """By column: median, least and most of the rounds; with a fourth number, the ratio, where the column has one."""


def rotated(settings: Sequence[str], turn: int) -> list[str]:
    """The order of one round: each begins with another, so that none always runs first."""
    start = turn % len(settings)
    return [*settings[start:], *settings[:start]]


async def in_rounds(
    settings: Sequence[str], count: int, measure: Callable[[str], Awaitable[Figures]]
) -> list[dict[str, Figures]]:
    """Each setting in each of ``count`` rounds, one after the other."""
    return [{setting: await measure(setting) for setting in rotated(settings, turn)} for turn in range(count)]


def rows(columns: Sequence[Column], rounds: Sequence[dict[str, Figures]]) -> list[Row]:
    """A row for each setting, in the order of the first round."""
    first = next(iter(rounds[0]))
    return [Row(name, {c.name: _cell(c, name, first, rounds) for c in columns}) for name in rounds[0]]


def _cell(column: Column, setting: str, first: str, rounds: Sequence[dict[str, Figures]]) -> list[float]:
    values = [turn[setting][column.name] for turn in rounds]
    cell = [statistics.median(values), min(values), max(values)]
    if column.ratio:
        cell.append(statistics.median(turn[setting][column.name] / turn[first][column.name] for turn in rounds))
    return cell


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that ``share`` of them do not exceed; 0.0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
