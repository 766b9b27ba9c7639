"""What is read of a ClientHello: the same as OpenSSL reads, and nothing from bytes that are none."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.client_hello import MAX_HELLO, ClientHello, HelloReader, NotTlsError


def read_client_hello(data: bytes) -> ClientHello | None:
    return HelloReader().feed(data)


def hello(name: str | None = "a.test", *protocols: str) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = name is not None
    if protocols:
        context.set_alpn_protocols(list(protocols))
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


GENUINE = hello("a.test", "h2", "http/1.1")


def in_records(data: bytes, size: int) -> bytes:
    """The message of the one record ``data`` in records of ``size`` bytes."""
    body = data[5:]
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in parts)


def with_extensions(*extensions: bytes) -> bytes:
    """A ClientHello with nothing but these extensions."""
    joined = b"".join(extensions)
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\0\2\x13\x01" + b"\1\0" + len(joined).to_bytes(2, "big") + joined
    message = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


def extension(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data


@pytest.mark.parametrize(
    ("name", "protocols"), [("a.test", ()), ("B.Test", ("h2", "http/1.1")), (None, ("spdy/3",)), ("x." * 60 + "y", ())]
)
def test_a_genuine_one(name: str | None, protocols: tuple[str, ...]) -> None:
    expected = ClientHello((name or "").lower().encode(), tuple(each.encode() for each in protocols))
    assert read_client_hello(hello(name, *protocols)) == expected


@pytest.mark.parametrize("size", [1, 7, 100, 400])
def test_in_many_records(size: int) -> None:
    assert read_client_hello(in_records(hello("a.test"), size)) == ClientHello(b"a.test", ())


def test_every_beginning_of_it_needs_more() -> None:
    data = hello("a.test", "h2")
    assert all(read_client_hello(data[:size]) is None for size in range(len(data)))


@pytest.mark.parametrize("size", [1, 400])
def test_in_single_bytes(size: int) -> None:
    data = in_records(GENUINE, size)
    reader = HelloReader()
    found = [reader.feed(data[at : at + 1]) for at in range(len(data))]
    assert found[:-1] == [None] * (len(data) - 1)
    assert found[-1] == read_client_hello(GENUINE)
    assert reader.data == data


def test_a_dot_at_the_end_does_not_count() -> None:
    name = b"a.test."
    data = b"\0" + len(name).to_bytes(2, "big") + name
    found = read_client_hello(with_extensions(extension(0, len(data).to_bytes(2, "big") + data)))
    assert found == ClientHello(b"a.test", ())


def test_without_extensions() -> None:
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\0\2\x13\x01" + b"\1\0"
    message = b"\1" + len(body).to_bytes(3, "big") + body
    assert read_client_hello(b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message) == ClientHello(b"", ())


_NAME = extension(0, b"\0\7\0\0\4name")


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"\x16\x02\x00",
        b"\x15\x03\x01\0\2\2\0",
        b"\x16\x03\x01\0\0",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\0\4\2\0\0\1",
        b"\x16\x03\x01\0\4\1\0\0\0",
        with_extensions(_NAME, _NAME),
        with_extensions(extension(0, b"\0\0")),
        with_extensions(extension(0, b"\0\7\1\0\4name")),
        with_extensions(extension(0, b"\0\7\0\0\5name")),
        with_extensions(extension(0, b"\0\6\0\0\4name")),
        with_extensions(extension(0, b"")),
        with_extensions(extension(16, b"\0\3\0h2")),
        with_extensions(extension(16, b"\0\3\5h2")),
        with_extensions(extension(16, b"\0\4\2h2")),
        with_extensions(b"\0\0\xff\xff"),
    ],
)
def test_what_is_none(data: bytes) -> None:
    with pytest.raises(NotTlsError):
        read_client_hello(data)


def test_its_length_is_bounded() -> None:
    body = b"\1" + (65000).to_bytes(3, "big") + bytes(65000)
    data = in_records(b"\x16\x03\x01\0\0" + body, 16)
    assert read_client_hello(data[: MAX_HELLO - 1]) is None
    with pytest.raises(NotTlsError, match="too long"):
        read_client_hello(data[:MAX_HELLO])


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255))
def test_no_bytes_make_it_fail(noise: bytes, at: int, value: int) -> None:
    data = bytearray(GENUINE)
    data[at % len(data)] = value
    for each in (noise, bytes(data), bytes(data) + noise):
        try:
            read_client_hello(each)
        except NotTlsError:
            continue
