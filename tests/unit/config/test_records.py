import dataclasses

import pytest

from gateway.config.records import CircuitBreaker, Document, Endpoint, Header, Route, Timeouts, Upstream


def test_header_values_are_kept_out_of_the_representation() -> None:
    route = Route("a", "/a", "a", headers=(Header("Authorization", ("s3cret",)),))
    assert "s3cret" not in repr(Document(routes=(route,)))


def test_documents_are_compared_by_value_headers_too() -> None:
    """A reload of an unchanged file is seen to be one, and a new secret is seen to be new."""
    one, same, other = (Route("a", "/a", "a", headers=(Header("X", (value,)),)) for value in ("1", "1", "2"))
    assert Document(routes=(one,)) == Document(routes=(same,))
    assert Document(routes=(one,)) != Document(routes=(other,))


def test_a_document_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Document().drain_timeout = 1.0  # type: ignore[misc]


@pytest.mark.covers("FR-001", "FR-002", "FR-003", "T003", "T005", "T008", "T009", "T011")
def test_the_timeouts_that_hold_when_nothing_is_said() -> None:
    """In seconds."""
    timeouts = Timeouts()
    assert (timeouts.dial, timeouts.tls_handshake, timeouts.response_header, timeouts.idle) == (2, 5, 30, 90)
    assert Upstream("a", (Endpoint("http://h"),)).timeouts == timeouts


@pytest.mark.covers("FR-012", "NFR-006", "T022")
def test_the_breaker_that_stands_when_it_is_only_switched_on() -> None:
    assert CircuitBreaker(enabled=True) == CircuitBreaker(True, 5, 30, 1)
    assert not Upstream("a", (Endpoint("http://h"),)).circuit_breaker.enabled
