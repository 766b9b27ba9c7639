"""Time as a dependency: policies are given a clock, so that tests turn it by hand."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Seconds since an arbitrary point; never goes back."""

monotonic: Clock = time.monotonic
