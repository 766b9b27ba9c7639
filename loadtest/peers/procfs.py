"""What the kernel tells of a process and all its descendants (proc(5)); one that ends meanwhile counts as nothing."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
"""A second in the unit of /proc/PID/stat."""
PROC = Path("/proc")


def fields(stat: str) -> list[str]:
    """The fields of /proc/PID/stat from the third on: the second, the name, may hold blanks and brackets."""
    return stat.rpartition(")")[2].split()


def tree(pid: int) -> list[int]:
    """``pid`` and all its descendants."""
    children = defaultdict(list)
    for path in PROC.iterdir():
        if path.name.isdigit() and (stat := _read(path / "stat")):
            children[int(fields(stat)[1])].append(int(path.name))
    found = [pid]
    for parent in found:  # grows while it is walked
        found += children[parent]
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the tree so far, to the tick, which is 10 ms on the usual kernel."""
    stats = (fields(stat) for process in tree(pid) if (stat := _read(PROC / f"{process}/stat")))
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / TICK


def memory(pid: int) -> float:
    """Proportional set size of the tree, in MiB: what processes share is counted once."""
    rollups = (_read(PROC / f"{process}/smaps_rollup") for process in tree(pid))
    return sum(int(found[1]) for text in rollups if (found := re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE))) / 1024


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
