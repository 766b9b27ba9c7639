"""What dialogues are held over."""

from __future__ import annotations

from harness.both import pytest_generate_tests as pytest_generate_tests
from harness.both import upstream_class as upstream_class
