"""Fuzz the parsers with atheris: `make fuzz` (TARGET=, SECONDS=).

What is found grows in build/fuzz/TARGET. An input that breaks a parser is written there as crash-*; put it into
tests/fuzz/corpus/TARGET when it is fixed, because the tests replay that folder.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import atheris

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build/fuzz"
MAX_LENGTH = 2048
"""Bytes of an input; no grammar needs more, and time goes into variety."""


def one(name: str, seconds: str) -> None:
    """Fuzz target ``name`` in this process, which libFuzzer ends."""
    with atheris.instrument_imports(include=["gateway"]):
        from fuzz.targets import TARGETS
    folder = BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    limits = [f"-max_total_time={seconds}", f"-max_len={MAX_LENGTH}", "-timeout=20", f"-artifact_prefix={folder}/"]
    atheris.Setup(
        [sys.argv[0], *limits, "-print_final_stats=1", str(folder), str(HERE / "corpus" / name)], TARGETS[name]
    )
    atheris.Fuzz()


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Each target in a process of its own; 1 when one broke."""
    chosen, seconds = sys.argv[1:3]
    names = chosen.split(",") if chosen else sorted(folder.name for folder in (HERE / "corpus").iterdir())
    broken = []
    for name in names:
        say(f"== {name}, {seconds} s")
        if subprocess.run([sys.executable, "-m", "fuzz", name, seconds, "one"], check=False).returncode:
            broken.append(name)
    say(f"broken: {', '.join(broken)}" if broken else f"none of {len(names)} parsers broke")
    return bool(broken)


if __name__ == "__main__":
    if sys.argv[3:] == ["one"]:
        one(*sys.argv[1:3])
    sys.exit(main())
