from __future__ import annotations

import pytest

from gateway.core.forwarded import NAMES, PREFIXES, folded, is_claim


@pytest.mark.parametrize("name", [*sorted(NAMES), *(prefix + b"x" for prefix in PREFIXES)])
def test_every_spelling_of_the_list_is_of_the_list(name: bytes) -> None:
    for spelling in (name, name.upper(), name.title(), name.replace(b"-", b"_"), name.replace(b"-", b".", 1)):
        assert is_claim(folded(spelling))


@pytest.mark.parametrize(
    "name", [b"x-forward", b"forwarded-x", b"x-real-name", b"x-originals", b"client", b"host", b"via", b"x-request-id"]
)
def test_others_are_not(name: bytes) -> None:
    assert not is_claim(folded(name))


def test_the_list_is_written_as_it_is_compared() -> None:
    assert all(folded(name) == name for name in (*NAMES, *PREFIXES))
