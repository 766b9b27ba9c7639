"""What a reader of bodies passes on without a look."""

from __future__ import annotations

import pytest

from gateway.core.limits import Limits
from gateway.core.peer import Peer
from gateway.proxy.pass_through import PassThrough
from gateway.wire.memory import MemoryStream


def test_the_state_of_a_sink_is_that_of_the_one_behind_it() -> None:
    down = MemoryStream(Peer("192.0.2.1", 1, b"http", lambda address: False), Limits())
    down.takes_chunks = True
    down.full, down.body_out, down.waited = True, 7, 0.5
    reader = PassThrough(down)
    assert (reader.full, reader.body_out, reader.blocked) == (True, 7, 0.5)
    assert not reader.takes_chunks
    reader.flush()
    with pytest.raises(NotImplementedError):
        reader.chunks(b"0\r\n\r\n", 0)
    with pytest.raises(NotImplementedError):
        reader.ended()
