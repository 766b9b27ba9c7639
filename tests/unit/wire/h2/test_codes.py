from __future__ import annotations

import pytest

from gateway.wire.h2.codes import CANCEL, ENHANCE_YOUR_CALM, NO_ERROR, REFUSED_STREAM, code_name


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (NO_ERROR, "NO_ERROR"),
        (REFUSED_STREAM, "REFUSED_STREAM"),
        (CANCEL, "CANCEL"),
        (ENHANCE_YOUR_CALM, "ENHANCE_YOUR_CALM"),
        (13, "HTTP_1_1_REQUIRED"),
        (14, "code 14"),
        (0xFFFFFFFF, "code 4294967295"),
    ],
)
def test_names_are_those_of_the_standard(code: int, name: str) -> None:
    assert code_name(code) == name
