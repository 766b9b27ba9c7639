from __future__ import annotations

import pytest
from unit.proxy.test_rate_keys import asked

from gateway.config.records import Priority
from gateway.core.principal import Principal
from gateway.policy.waiting_line import ANY, HIGH, LOW, NORMAL, Rank
from gateway.proxy.ranks import any_rank, rank_of

ALICE = Principal("alice", "token")


def test_where_all_are_alike_nothing_is_read() -> None:
    assert rank_of(Priority(), "none") is any_rank
    assert any_rank(asked()) is ANY


@pytest.mark.parametrize(
    ("value", "expected"),
    [(b"high", HIGH), (b"normal", NORMAL), (b"low", LOW), (b"LOW", LOW), (b"urgent", NORMAL), (b"high, low", NORMAL)],
)
def test_the_field_has_one_of_three_words(value: bytes, expected: int) -> None:
    read = rank_of(Priority(header="X-Priority"), "none")
    assert read(asked(b"x-priority: " + value)) == Rank(expected, b"")


def test_without_the_field_or_with_another_word_it_is_the_default_of_the_proxy() -> None:
    read = rank_of(Priority("low", "X-Priority"), "none")
    assert [read(asked()).priority, read(asked(b"X-Priority: x")).priority] == [LOW, LOW]


def test_a_field_that_is_not_configured_counts_for_nothing() -> None:
    assert rank_of(Priority("low"), "none")(asked(b"X-Priority: high")).priority == LOW


def test_the_list_of_the_operator_says_more_than_the_field() -> None:
    read = rank_of(Priority(header="X-Priority", high=("alice",), low=("bob",)), "none")
    assert read(asked(b"X-Priority: low", principal=ALICE)).priority == HIGH
    assert read(asked(b"X-Priority: high", principal=Principal("bob", "jwt"))).priority == LOW
    assert read(asked(b"X-Priority: high", principal=Principal("eve", "jwt"))).priority == HIGH


def test_callers_are_told_apart_by_what_is_fair() -> None:
    alike = rank_of(Priority("low"), "none")
    assert alike(asked(host="192.0.2.1")) == alike(asked(host="192.0.2.2"))
    client = rank_of(Priority(), "client")
    assert client(asked(host="192.0.2.1")) != client(asked(host="192.0.2.2"))
    assert client(asked(principal=ALICE)) == client(asked())
    principal = rank_of(Priority(), "principal")
    assert principal(asked(host="192.0.2.1", principal=ALICE)) == principal(asked(host="192.0.2.2", principal=ALICE))
    assert principal(asked(principal=ALICE)) != principal(asked())
