from __future__ import annotations

import pytest
from harness import debian


def pytest_collection_finish(session: pytest.Session) -> None:
    if not session.config.option.collectonly and any("real_proxies" in item.name for item in session.items):
        for package, program in (("nginx", "nginx"), ("wrk", "wrk"), ("nghttp2-client", "h2load")):
            debian.prepare([package], program)
