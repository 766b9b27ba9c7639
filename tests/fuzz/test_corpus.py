"""No parser breaks on what the fuzzer starts from, on what it has found, or on small changes of either."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
CHANGES = 300
"""Inputs that are made of each file; the same in every run."""


def changed(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data) + 1)
    way = dice.randrange(4)
    if way == 0:
        return data[:at] + dice.randbytes(1) + data[at + 1 :]
    if way == 1:
        return data[:at] + data[at + dice.choice([1, 2, 9]) :]
    if way == 2:
        return data[:at] + data[at // 2 : at] + data[at:]
    return data[:at] + dice.choice([b"\r\n", b"\0", b"\xff", b" ", b":", b"0", b"{", b"%", b"\x80"]) + data[at:]


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus(name: str) -> None:
    files = sorted((CORPUS / name).iterdir())
    assert files, "nothing to start from"
    dice = random.Random(name)
    for file in files:
        data = file.read_bytes()
        TARGETS[name](data)
        for _ in range(CHANGES):
            TARGETS[name](changed(changed(data, dice), dice))


def test_each_corpus_has_its_target() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == TARGETS.keys()
