"""A test that fails takes no other with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
SAMPLE = """
import gc, socket, pytest

class Held:
    def __init__(self):
        self.own, self.socket = self, socket.socket()  # only a collection frees it

@pytest.fixture
def held():
    return Held()

@pytest.fixture
def broken():
    held = Held()
    assert not held

def test_fails_and_its_fixture_is_open(held):
    assert not held

def test_after_the_fixture():
    gc.collect()

def test_fails_and_is_open_itself():
    held = Held()
    assert not held

def test_after_the_test():
    gc.collect()

def test_has_an_open_setup(broken):
    pass

def test_after_the_setup():
    gc.collect()

def test_passes_and_is_open():
    held = Held()

def test_after_one_that_passed():
    gc.collect()
"""
OUTCOMES = "FAILED PASSED FAILED PASSED ERROR PASSED PASSED FAILED"
"""The last one: what a test leaves open that passed is still found."""


@pytest.mark.timeout(180)
def test_what_a_failed_test_leaves_open_fails_no_other(tmp_path: Path) -> None:
    file = tmp_path / "test_sample.py"
    file.write_text(SAMPLE)
    options = ("-v", "-n", "0", "-p", "conftest", "-p", "no:cacheprovider", "-c", str(TESTS.parent / "pyproject.toml"))
    command = [sys.executable, "-m", "pytest", *options, str(file)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=150)
    found = [line.split()[1] for line in ran.stdout.splitlines() if "::test_" in line and line.endswith("%]")]
    assert " ".join(found) == OUTCOMES, ran.stdout + ran.stderr
