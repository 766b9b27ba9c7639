"""Line charts as SVG, which every browser and every viewer of Markdown shows without help."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

Points = Sequence[tuple[float, float]]
WIDTH, HEIGHT = 880, 300
LEFT, RIGHT, TOP, BOTTOM = 70, 16, 52, 40
COLOURS = ("#0b62a4", "#c8501e", "#2f7d32", "#7b3fa0", "#8a6d00", "#b0216b", "#00727a", "#555555")
"""Each is readable on white, and the first ones apart for the colour-blind."""


@dataclass(frozen=True, slots=True)
class Axis:
    """From 0 to ``top``, with a step at each multiple of ``step``."""

    top: float
    step: float

    @classmethod
    def up_to(cls, largest: float) -> Axis:
        """About five steps of 1, 2, 2.5 or 5 times a power of ten, and room above ``largest``."""
        if not largest > 0:
            return cls(1.0, 0.5)
        power = 10.0 ** math.floor(math.log10(largest / 5))
        step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor * 5 >= largest)
        return cls(step * math.ceil(largest * 1.02 / step), step)

    @classmethod
    def as_far_as(cls, last: float) -> Axis:
        """The same steps, and no room."""
        return cls(last, cls.up_to(last).step) if last > 0 else cls.up_to(last)

    def steps(self) -> Iterator[float]:
        return (number * self.step for number in range(int(self.top / self.step + 1e-6) + 1))


def chart(
    title: str,
    unit: str,
    lines: Mapping[str, Points],
    marks: Sequence[tuple[float, str]] = (),
    bound: float | None = None,
) -> str:
    """``lines`` by legend, as (seconds, value); ``marks`` are moments, ``bound`` a line across."""
    points = [point for line in lines.values() for point in line if math.isfinite(point[1])]
    across = Axis.as_far_as(max((x for x, _ in points), default=1.0))
    highest = max((y for _, y in points), default=1.0)
    up = Axis.up_to(highest if bound is None else max(highest, bound))
    plane = _Plane(across, up)
    parts = [*plane.grid(title, unit), *plane.marked(marks)]
    if bound is not None:
        parts.append(plane.level(bound))
    for number, (legend, line) in enumerate(lines.items()):
        parts.append(plane.line(line, COLOURS[number % len(COLOURS)]))
        parts.append(_legend(number, legend, len(lines)))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


@dataclass(frozen=True, slots=True)
class _Plane:
    across: Axis
    up: Axis

    def x(self, value: float) -> float:
        return LEFT + value / self.across.top * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value / self.up.top * (HEIGHT - TOP - BOTTOM)

    def grid(self, title: str, unit: str) -> Iterator[str]:
        yield f'<text x="{LEFT}" y="20" font-size="14" font-weight="bold">{escape(title)}</text>'
        for value in self.up.steps():
            y = self.y(value)
            yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        for value in self.across.steps():
            yield f'<text x="{self.x(value):.1f}" y="{HEIGHT - 20}" text-anchor="middle">{value:g}</text>'
        yield f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 5}" text-anchor="end" fill="#555">seconds</text>'
        yield f'<text x="6" y="{TOP - 10}" fill="#555">{escape(unit)}</text>'

    def marked(self, marks: Sequence[tuple[float, str]]) -> Iterator[str]:
        for at, what in marks:
            x = self.x(at)
            yield (
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#999" '
                f'stroke-dasharray="3 3"><title>{escape(what)}</title></line>'
            )

    def level(self, bound: float) -> str:
        y = self.y(bound)
        return (
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#c00" stroke-dasharray="8 4"/>'
            f'<text x="{WIDTH - RIGHT}" y="{y - 4:.1f}" text-anchor="end" fill="#c00">bound {bound:g}</text>'
        )

    def line(self, points: Points, colour: str) -> str:
        """A gap in the figures is a gap in the line only when it is marked by a nan."""
        pieces: list[list[str]] = [[]]
        for x, y in points:
            if math.isfinite(y):
                pieces[-1].append(f"{self.x(x):.1f},{self.y(y):.1f}")
            else:
                pieces.append([])
        drawn = (f'<polyline points="{" ".join(piece)}"/>' for piece in pieces if piece)
        return f'<g fill="none" stroke="{colour}" stroke-width="1.5">{"".join(drawn)}</g>'


def _legend(number: int, text: str, count: int) -> str:
    width = (WIDTH - LEFT - RIGHT) / max(count, 4)
    x, colour = LEFT + number * width, COLOURS[number % len(COLOURS)]
    box = f'<rect x="{x:.0f}" y="29" width="10" height="10" fill="{colour}"/>'
    return f'{box}<text x="{x + 14:.0f}" y="38">{escape(text)}</text>'
