"""Every dialogue with an upstream is held twice: over plain TCP, and over TLS."""

from __future__ import annotations

from harness.both import pytest_generate_tests as pytest_generate_tests
from harness.both import upstream_class as upstream_class
