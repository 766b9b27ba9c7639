"""Instructions of each workload of `counted.py`, by callgrind: the same today and tomorrow, on a busy machine too."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from loadtest.micro.counted import MARK, ROUNDS, counts

ROOT = Path(__file__).resolve().parents[2]
EXCHANGES = 64
"""N: the account of N exchanges is taken from that of 2N, so that what a run costs once drops out."""
PATIENCE = 900
"""Seconds for valgrind, which is some fifty times slower than the machine."""
HOW_TO_GET_VALGRIND = "valgrind is not installed. Debian and Ubuntu: apt-get install valgrind"


class ValgrindError(Exception):
    """It is not on the PATH; the text tells how to get it."""


def costs(slower: int = 0) -> dict[str, float]:
    """Instructions for one unit of each workload. `ValgrindError`; CalledProcessError when a workload fails."""
    if shutil.which("valgrind") is None:
        raise ValgrindError(HOW_TO_GET_VALGRIND)
    with tempfile.TemporaryDirectory(prefix="gateway-callgrind-") as folder:
        _run(Path(folder), slower)
        return per_unit(accounts(Path(folder)), counts(EXCHANGES))


def _run(folder: Path, slower: int) -> None:
    tool = ("valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={folder}/out", f"--dump-before={MARK}")
    work = (sys.executable, "-m", "loadtest.micro.counted", str(EXCHANGES), str(slower))
    # Without random hashes and addresses, dictionaries and sets lie the same way each time.
    command = (*_still(), *tool, *work)
    surroundings = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(command, cwd=ROOT, env=surroundings, check=True, timeout=PATIENCE)  # noqa: S603 - our own command


def _still() -> tuple[str, ...]:
    """What keeps addresses where they are; nothing where a container forbids that, which costs little exactness."""
    command = ("setarch", "--addr-no-randomize")
    known = shutil.which(command[0])
    allowed = known and not subprocess.run((*command, "true"), capture_output=True, timeout=10).returncode  # noqa: S603
    return command if allowed else ()


def accounts(folder: Path) -> list[int]:
    """Instructions up to each mark, in order: what callgrind wrote to ``out.1``, ``out.2``..."""
    numbered = sorted(folder.glob("out.*"), key=lambda path: int(path.suffix[1:]))
    return [account(path.read_text(errors="replace")) for path in numbered]


def account(text: str) -> int:
    """The sum in one file of callgrind. ValueError when there is none."""
    found = re.search(r"^totals: (\d+)$", text, re.MULTILINE)
    if found is None:
        raise ValueError("a file of callgrind without totals")
    return int(found[1])


def per_unit(found: Sequence[int], units: dict[str, int]) -> dict[str, float]:
    """Of the accounts that `counted.accounted` makes for each workload in turn. ValueError when one is missing.

    The median of the rounds: a timer that fires or a collection that falls into one of them is not the hot path.
    """
    each = 4 * ROUNDS
    if len(found) != each * len(units):
        raise ValueError(f"callgrind wrote {len(found)} accounts instead of {each * len(units)}")
    parts = (found[start : start + each] for start in range(0, len(found), each))
    return {
        name: statistics.median(more - less for less, more in zip(part[1::4], part[3::4], strict=True)) / count
        for part, (name, count) in zip(parts, units.items(), strict=True)
    }
