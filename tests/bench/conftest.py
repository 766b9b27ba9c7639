from __future__ import annotations

import pytest
from harness import debian


def pytest_collection_finish(session: pytest.Session) -> None:
    if not session.config.option.collectonly and any("real_proxies" in item.name for item in session.items):
        for program in ("nginx", "wrk"):
            debian.prepare([program], program)
