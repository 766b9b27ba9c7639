from __future__ import annotations

import pytest
from unit.scene import Nobody, exchange

from gateway.core.attempt import NO_ATTEMPT
from gateway.core.exchange import Exchange
from gateway.core.message import RequestHead

TIMES = ("commit_at", "end_at", "deadline")
SPANS = ("identified", "queued", "retried", "blocked")


def test_it_knows_its_beginning() -> None:
    head = RequestHead(b"GET", b"/a", 1, [], {}, 0, keep_alive=True)
    client = Nobody()
    ex = Exchange(client, head, 12.5)  # type: ignore[arg-type] # no stream
    assert ex.request is head
    assert ex.downstream is client
    assert ex.start_at == 12.5
    assert ex.attempt is NO_ATTEMPT


def test_nothing_has_happened_yet() -> None:
    ex = exchange()
    assert {getattr(ex, name) for name in TIMES + SPANS} == {0.0}
    assert (ex.attempts, ex.status, ex.bytes_in, ex.bytes_out, ex.concurrent) == (0, 0, 0, 0, 0)
    assert (ex.committed, ex.body) == (False, None)
    assert (ex.reason, ex.breaker, ex.proxy, ex.request_id) == ("", "", "", b"")


def test_every_slot_is_filled_at_the_beginning() -> None:
    ex = exchange()
    assert not [name for name in Exchange.__slots__ if not hasattr(ex, name)]


def test_a_misspelt_fact_is_refused() -> None:
    with pytest.raises(AttributeError):
        exchange().stauts = 200  # type: ignore[attr-defined]


def test_exchanges_share_nothing() -> None:
    one, other = exchange(), exchange()
    one.status, one.reason = 502, "dial_failed"
    assert (other.status, other.reason) == (0, "")
