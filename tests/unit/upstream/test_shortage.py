"""What a failed dial says: that the peer is to blame, or that this machine lacks something."""

from __future__ import annotations

import errno
import logging
import os
import socket

import pytest
from harness.descriptors import no_descriptor_left

from gateway import errors
from gateway.upstream.shortage import LOCAL, Shortages

AGAIN = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def failed(*numbers: int) -> list[BaseException]:
    return [OSError(number, os.strerror(number)) for number in numbers]


@pytest.mark.parametrize("number", sorted(LOCAL), ids=errno.errorcode.__getitem__)
def test_a_lack_of_our_own(number: int) -> None:
    error = Shortages().failure("a:1", failed(number))
    assert error is not None
    assert (error.reason, error.retry_after, error.retryable) == (errors.LOCAL_RESOURCES, 1, False)


@pytest.mark.parametrize(
    "number", [errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT, errno.EACCES]
)
def test_a_fault_on_the_other_side(number: int) -> None:
    assert Shortages().failure("a:1", failed(number)) is None


def test_memory_is_ours_too() -> None:
    assert Shortages().failure("a:1", [MemoryError()]) is not None


def test_with_several_addresses_each_attempt_has_to_lack_something() -> None:
    shortages = Shortages()
    assert shortages.failure("a:1", failed(errno.EMFILE, errno.EADDRNOTAVAIL)) is not None
    assert shortages.failure("a:1", failed(errno.EMFILE, errno.ECONNREFUSED)) is None
    assert shortages.failure("a:1", failed(errno.ENETUNREACH, errno.EMFILE)) is None
    assert shortages.failure("a:1", []) is None


def test_the_log_says_it_once_a_second_and_how_often_it_was(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    shortages = Shortages(clock)
    with caplog.at_level(logging.ERROR, "gateway.upstream.shortage"):
        for _ in range(500):
            shortages.failure("10.0.0.1:80", failed(errno.EMFILE))
            clock.now += 0.001
        assert len(caplog.messages) == 1
        assert "10.0.0.1:80" in caplog.messages[0]
        assert "EMFILE" in caplog.messages[0]
        assert "LimitNOFILE" in caplog.messages[0]
        clock.now += 1.0
        shortages.failure("10.0.0.1:80", failed(errno.EMFILE))
    assert len(caplog.messages) == 2
    assert "499 more" in caplog.messages[1]


def test_a_name_is_to_blame_while_there_are_descriptors() -> None:
    assert Shortages().failure_to_resolve("a:1", AGAIN) is None


def test_a_resolver_without_a_descriptor_does_not_blame_the_name() -> None:
    with no_descriptor_left():
        assert Shortages().failure_to_resolve("a:1", AGAIN) is not None


@pytest.mark.parametrize("error", [socket.gaierror(socket.EAI_MEMORY, "Memory"), OSError(errno.ENFILE, "files")])
def test_what_the_resolver_says_itself(error: OSError) -> None:
    assert Shortages().failure_to_resolve("a:1", error) is not None


def test_a_name_is_not_to_blame_in_the_second_of_a_shortage_and_is_again_after_it() -> None:
    """Not even when there was a descriptor again by the time that somebody looked."""
    clock = Clock()
    shortages = Shortages(clock)
    shortages.failure("b:1", failed(errno.EMFILE))
    for _ in range(9):
        clock.now += 0.1
        assert shortages.failure_to_resolve("a:1", AGAIN) is not None
    clock.now += 0.2
    assert shortages.failure_to_resolve("a:1", AGAIN) is None, "a bad name does not prolong it"
