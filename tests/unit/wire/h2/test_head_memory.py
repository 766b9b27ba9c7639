"""Heads by their blocks: found again, apart by whether a body follows, and bounded."""

from __future__ import annotations

from gateway.core.message import HTTP_2, MAX_KEPT_HEAD, RequestHead
from gateway.wire.h2.head_memory import HeadMemory


def head(*fields: bytes) -> RequestHead:
    return RequestHead(b"GET", b"/", HTTP_2, list(fields), {}, 0, True)


def test_what_ended_is_apart_from_what_did_not() -> None:
    memory: HeadMemory[RequestHead] = HeadMemory()
    one, two = head(), head()
    memory.keep(b"block", one, ended=True)
    memory.keep(b"block", two, ended=False)
    assert memory.whole[b"block"] is one
    assert memory.unended[b"block"] is two
    memory.forget()
    assert memory.whole == memory.unended == {}


def test_large_ones_are_not_kept() -> None:
    memory: HeadMemory[RequestHead] = HeadMemory()
    memory.keep(b"b" * 1025, head(), ended=True)
    memory.keep(b"b", head(b"f" * MAX_KEPT_HEAD), ended=True)
    assert memory.whole == {}


def test_number_and_bytes_are_bounded() -> None:
    memory: HeadMemory[RequestHead] = HeadMemory()
    for number in range(17):
        memory.keep(b"%d" % number, head(), ended=True)
    assert list(memory.whole) == [b"16"]
    memory.keep(b"large", head(b"f" * (MAX_KEPT_HEAD - 10)), ended=False)
    assert (list(memory.whole), list(memory.unended)) == ([b"16"], [b"large"])
    memory.keep(b"more", head(b"f" * 100), ended=True)
    assert (list(memory.whole), list(memory.unended)) == ([b"more"], [])
