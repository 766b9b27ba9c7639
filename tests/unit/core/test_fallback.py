from __future__ import annotations

import pytest

from gateway.core.fallback import CAUSES, FellBack


@pytest.mark.parametrize(("cause", "label"), [("503", "status"), *((word, word) for word in CAUSES)])
def test_statuses_have_one_label(cause: str, label: str) -> None:
    assert FellBack(cause, "", "", 0).label == label
