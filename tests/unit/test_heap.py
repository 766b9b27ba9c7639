"""What `heap.settle` changes in a process: seen in a process of its own, because nothing undoes it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from gateway import heap

BLOCKS = 20
SHOW = f"""
import ctypes, gc
from gateway import heap

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in "arena ordblks smblks mapped rest1 rest2 rest3 used free top".split()]

info = ctypes.CDLL(None).mallinfo
info.restype = Info
heap.settle()
before = info().mapped
large = [bytes(heap.LARGE_BLOCK + 1) for _ in range({BLOCKS})]
small = [bytes(heap.LARGE_BLOCK // 2) for _ in range({BLOCKS})]
during = info().mapped
del large
print(during - before, info().mapped - before, gc.get_threshold()[0], gc.get_freeze_count() > 0)
"""


def shown(**env: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SHOW], env=os.environ | env, capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has M_MMAP_THRESHOLD")
def test_large_blocks_are_returned_at_once_and_small_ones_are_not_mapped() -> None:
    mapped, left, threshold, frozen = shown()
    assert int(mapped) >= BLOCKS // 2, "the others found room in what was free already"
    assert (left, threshold, frozen) == ("0", "10000", "True")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has M_MMAP_THRESHOLD")
def test_the_environment_decides_first() -> None:
    assert shown(MALLOC_MMAP_THRESHOLD_="1000000")[:2] == ["0", "0"]


def test_a_c_library_without_the_option_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda _: object())
    heap._return_large_blocks()
