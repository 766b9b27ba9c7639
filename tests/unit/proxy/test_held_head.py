"""What a caller has of a response whose head is held back."""

from __future__ import annotations

import pytest

from gateway.core.limits import Limits
from gateway.core.message import CHUNKED, ResponseHead
from gateway.core.peer import Peer
from gateway.proxy.held_head import HELD_BYTES, HeldHead
from gateway.wire.memory import MemoryStream

HEAD = ResponseHead(200, b"", 1, [], {}, CHUNKED, True)


def made() -> tuple[HeldHead, MemoryStream]:
    down = MemoryStream(Peer("192.0.2.1", 1, b"http", lambda address: False), Limits())
    down.body_out, down.waited = 5, 0.5  # of the message before
    return HeldHead(down, lambda: down.begin(HEAD, b"", None, None)), down


def test_nothing_goes_on_before_the_release_and_all_of_it_then() -> None:
    held, down = made()
    held.data(memoryview(b": a\n"), pooled=False)
    held.pieces([memoryview(b": b\n"), memoryview(b"\n")], pooled=False)
    held.flush()
    down.full = True
    assert (down.head, held.full, held.body_out, held.blocked) == (None, False, 0, 0.0)
    held.release()
    held.release()
    assert (down.head, bytes(down.received)) == (HEAD, b": a\n: b\n\n")
    assert (held.full, held.body_out, held.blocked) == (down.full, down.body_out, down.blocked)
    held.data(memoryview(b"data: a\n"), pooled=False)
    held.pieces([memoryview(b"\n")], pooled=False)
    held.flush()
    held.end([b"X: 1"])
    assert (bytes(down.received), down.trailers, down.complete) == (b": a\n: b\n\ndata: a\n\n", [b"X: 1"], True)


def test_the_end_releases_it() -> None:
    held, down = made()
    held.end([])
    assert (down.head, down.complete, bytes(down.received)) == (HEAD, True, b"")


@pytest.mark.parametrize(("more", "through"), [(0, False), (1, True)])
def test_what_is_held_has_a_bound(more: int, through: bool) -> None:
    held, down = made()
    held.data(memoryview(b":"), pooled=False)
    held.pieces([memoryview(b"x" * (HELD_BYTES - 1 + more))], pooled=False)
    assert (down.head is not None) is through
    assert len(down.received) == (HELD_BYTES + 1 if through else 0)


def test_a_response_that_is_there_is_never_held() -> None:
    held, _ = made()
    with pytest.raises(NotImplementedError):
        held.whole(memoryview(b"data: a\n\n"))
