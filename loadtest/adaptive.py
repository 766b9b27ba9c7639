"""Draws docs/images/adaptive.svg: a limit that adapts, and a gradient of whole durations, on the same trace.

    python loadtest/adaptive.py

The upstream is simulated (`worker_pool`), so the drawing is the same each time.
"""

from __future__ import annotations

import sys
from pathlib import Path

from load.svg import chart
from worker_pool import Adapting, Gradient, Point, Pool

PICTURE = Path(__file__).resolve().parents[1] / "docs/images/adaptive.svg"
INITIAL = (1, 10, 40)
MOST = 40
FALL = 120.0
END = 200.0
SEED = 1


def run(initial: int, *, adapts: bool) -> list[Point]:
    """Eight workers, and four from `FALL` on; there is always one more caller who waits."""
    pool = Pool(8, SEED)
    return pool.run(Adapting(pool, initial, MOST) if adapts else Gradient(initial, most=MOST), END, {FALL: 4})


def drawn() -> str:
    lines = {}
    for adapts, name in ((True, "adaptive"), (False, "gradient")):
        for initial in INITIAL:
            points = run(initial, adapts=adapts)
            lines[f"{name}, from {initial}"] = [(point.at, float(point.limit)) for point in points[::4]]
    lines["workers"] = [(point.at, float(point.workers)) for point in points[::4]]
    return chart("Limits found with 8 workers, of which 4 leave at 120 s", "limit", lines)


if __name__ == "__main__":
    PICTURE.write_text(drawn())
    sys.stdout.write(f"written: {PICTURE}\n")
