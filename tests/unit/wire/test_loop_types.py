"""A name for the types of event loops, and nothing else: the same object comes back."""

from __future__ import annotations

from gateway.wire.loop_types import as_protocol, as_transport


def test_nothing_is_wrapped() -> None:
    given = object()
    assert as_protocol(given) is given
    assert as_transport(given) is given
