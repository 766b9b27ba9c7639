"""The client of the load, whose calls block: its other end is a thread."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from load.wire import LateError, Wire

Scripted = Callable[..., Wire]


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """A connection whose other end sends each of the given pieces when it is asked something; None: it closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threads: list[threading.Thread] = []
        wires: list[Wire] = []

        def serve(pieces: tuple[bytes | None, ...]) -> None:
            other, _ = server.accept()
            with other, suppress(OSError):
                for piece in pieces:
                    if not other.recv(65536) or piece is None:
                        return
                    other.sendall(piece)
                other.recv(65536)

        def start(*pieces: bytes | None, patience: float = 3.0) -> Wire:
            threads.append(threading.Thread(target=serve, args=(pieces,)))
            threads[-1].start()
            wire = Wire(server.getsockname()[1])
            wire.deadline = time.monotonic() + patience
            wires.append(wire)
            return wire

        yield start
        for wire in wires:
            wire.close()
        for thread in threads:
            thread.join()


def test_answers_follow_each_other_on_one_connection(scripted: Scripted) -> None:
    wire = scripted(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 429 No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
    )
    assert (wire.ask("/").status, wire.ask("/").number(b"retry-after", 1)) == (200, 7)


def test_a_chunked_answer_is_read_to_its_end(scripted: Scripted) -> None:
    wire = scripted(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n")
    wire.send("/")
    head, *pieces = wire.pieces()
    assert head.startswith(b"HTTP/1.1 200")
    assert b"".join(pieces) == b"2\r\nab\r\n0\r\n\r\n"


def test_silence_is_late(scripted: Scripted) -> None:
    with pytest.raises(LateError):
        scripted(b"HTTP/1.1 200", patience=0.05).ask("/")


def test_time_that_is_over_is_late_before_anything_is_sent(scripted: Scripted) -> None:
    wire = scripted(patience=-1.0)
    with pytest.raises(LateError):
        wire.ask("/")
    wire.deadline = time.monotonic() + 1.0
    wire.push(b"so that the other end hears of it")


def test_the_end_of_the_connection_is_an_error_and_the_next_request_has_another(scripted: Scripted) -> None:
    wire = scripted(None)
    with pytest.raises(ConnectionError):
        wire.ask("/")
