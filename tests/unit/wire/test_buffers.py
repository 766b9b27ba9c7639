from __future__ import annotations

import logging

import pytest

from gateway.wire.buffers import BUFFER_SIZE, BufferPool


@pytest.mark.covers("FR-017", "T033")
def test_a_buffer_is_32_kib() -> None:
    assert BUFFER_SIZE == 32768
    assert BufferPool().current.nbytes == BUFFER_SIZE


@pytest.mark.covers("T034", "T036")
def test_a_lent_buffer_is_not_current_until_it_is_back_and_needed() -> None:
    pool = BufferPool()
    lent = pool.lend()
    assert pool.current is not lent
    assert pool.outstanding == 1
    pool.take_back(lent)
    assert pool.outstanding == 0
    pool.lend()
    assert pool.current is lent


@pytest.mark.covers("T033", "T036")
def test_reuse_is_the_rule() -> None:
    """More than 80 % of the gets are served from the pool."""
    pool = BufferPool()
    for _ in range(100):
        pool.take_back(pool.lend())
    assert pool.gets == 101
    assert pool.puts == 100
    assert 1 - pool.allocations / pool.gets > 0.8


@pytest.mark.covers("EC-005", "T034a")
def test_a_shortage_is_counted_and_warned_of_and_costs_no_request(caplog: pytest.LogCaptureFixture) -> None:
    pool = BufferPool(capacity=2)
    with caplog.at_level(logging.WARNING):
        lent = [pool.lend() for _ in range(5)]
    assert pool.fallbacks == 3
    assert len(caplog.records) == 2, "at the first and the second, not at the third"
    for buffer in lent:
        pool.take_back(buffer)
    assert pool.outstanding == 0
    made = pool.allocations
    pool.take_back(pool.lend())
    assert pool.allocations == made


def test_buffers_that_died_with_their_transport() -> None:
    pool = BufferPool()
    pool.forget([pool.lend(), pool.lend()])
    assert pool.outstanding == 0


def test_a_read_that_feeds_several_sinks_is_free_when_the_last_has_flushed() -> None:
    pool = BufferPool()
    first, second, third = pool.current[:10], pool.current[10:20], pool.current[20:]
    lent = pool.lend()
    assert first.obj is lent.obj
    again, more = pool.lend_again(second), pool.lend_again(third)
    assert again is not None is not more
    assert pool.outstanding == 3
    pool.take_back(lent)
    pool.forget([more])
    assert pool.outstanding == 1
    pool.lend()
    assert pool.current is not lent, "the second sink has yet to flush"
    pool.take_back(again)
    pool.lend()
    assert pool.current is lent


def test_what_was_never_lent_or_is_back_is_not_lent_again() -> None:
    pool = BufferPool()
    assert pool.lend_again(memoryview(b"joined from small chunks")) is None
    piece = pool.current[:5]
    pool.take_back(pool.lend())
    assert pool.lend_again(piece) is None


def test_bodies_are_kept_in_what_loans_have_left_of_the_budget() -> None:
    pool = BufferPool(capacity=3)
    lent = pool.lend()
    assert pool.keep(2 * BUFFER_SIZE)
    assert not pool.keep(1)
    assert pool.kept == 2 * BUFFER_SIZE
    pool.let_go(BUFFER_SIZE)
    assert pool.keep(BUFFER_SIZE)
    pool.take_back(lent)
    assert pool.keep(BUFFER_SIZE)
    assert not pool.keep(1)
