"""What is fuzzed: each parser of bytes that callers and upstreams send, and of texts that an operator writes.

A target takes any bytes. It raises when the parser fails in another way than by its own error, reads a split input in
another way than a whole one, or accepts what a second opinion reads in another way. The property tests ask the same of
inputs that are built; here a fuzzer looks for them by coverage.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from property.test_config_parse import a_document_or_a_config_error
from property.test_frames import read_alike as frames_read_alike
from property.test_framing import llhttp_reads_alike
from property.test_head import llhttp_accepts, others_read_alike
from property.test_hpack import read_alike as blocks_read_alike

from gateway.config import header_template
from gateway.core import path
from gateway.core.limits import Limits
from gateway.core.usage import MOST_TOKENS, Usage
from gateway.errors import GatewayError
from gateway.proxy.usage_reader import BodyUsage, EventUsage, Vendor
from gateway.rules.parser import compile_rule
from gateway.rules.tokens import RuleError
from gateway.wire.client_hello import HelloReader, NotTlsError
from gateway.wire.h1.head import HeadParser

PARSER, LIMITS = HeadParser(), Limits()
TEMPLATES = header_template.Context({"A": "a", "B": "b\r\n"}, header_template.AnySecret())


def model_usage(data: bytes) -> None:
    """The first byte says where the response is split."""
    pieces = [data[1:], b""] if not data else [data[1:][: data[0]], data[1:][data[0] :]]
    vendors: tuple[Vendor, ...] = ("openai", "anthropic")
    for vendor in vendors:
        for made in (EventUsage, BodyUsage):
            seen = []
            for parts in ([data[1:]], pieces):
                usage = Usage()
                reader = made(usage, vendor)
                for part in parts:
                    reader.feed(part, 1.0)
                reader.finish(1.0)
                seen.append([getattr(usage, name) for name in Usage.__slots__])
                assert 0 <= usage.tokens <= 2 * MOST_TOKENS
            assert seen[0] == seen[1]


def request_head(data: bytes) -> None:
    others_read_alike(data)


def response_head(data: bytes) -> None:
    llhttp_accepts(data)


def chunks(data: bytes) -> None:
    """The first byte says where the body is split."""
    llhttp_reads_alike(data[1:], [data[0]] if data else [])


def header_blocks(data: bytes) -> None:
    """One connection; a byte 0xFF and another divide its blocks, because no block of use begins so."""
    blocks_read_alike(data.split(b"\xff\xff"))


def frames(data: bytes) -> None:
    """The first byte says where the bytes are split."""
    frames_read_alike(data[1:], [data[0]] if data else [])


def client_hello(data: bytes) -> None:
    def read(*pieces: bytes) -> object:
        reader = HelloReader()
        found: object = None
        try:
            for piece in pieces:
                found = reader.feed(piece) or found
        except NotTlsError:
            return NotTlsError
        return found

    whole = read(data)
    assert read(*(data[at : at + 1] for at in range(len(data)))) == whole or whole is not None
    assert read(data[: len(data) // 2], data[len(data) // 2 :]) == whole or whole is not None


def target(data: bytes) -> None:
    """A target that is accepted has readings, and its canonical form is canonical."""
    try:
        head = PARSER.request(b"GET " + data + b" HTTP/1.1\r\nHost: h", LIMITS)
    except GatewayError:
        return
    asked = head.target.partition(b"?")[0]
    for reading in path.readings(asked):
        assert all(segment and segment != b"." and b";" not in segment for segment in reading)
    assert not path.is_plain(asked) or len(path.readings(asked)) == 1


def access_rule(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        compile_rule(text)
    except RuleError as error:
        assert str(error)  # noqa: PT017 - any other error fails too


def template(data: bytes) -> None:
    """What passes the check resolves to text that a field may hold."""
    text = data.decode("utf-8", "replace")
    with suppress(ValueError):
        header_template.template(text, TEMPLATES)
        parts = header_template.resolve(text, TEMPLATES.env, {})
        assert not any(character in part for part in parts if isinstance(part, str) for character in "\r\n\0")
        assert text or not parts


def yaml_configuration(data: bytes) -> None:
    a_document_or_a_config_error("yaml", data.decode("utf-8", "replace"))


def json_configuration(data: bytes) -> None:
    a_document_or_a_config_error("json", data.decode("utf-8", "replace"))


def toml_configuration(data: bytes) -> None:
    a_document_or_a_config_error("toml", data.decode("utf-8", "replace"))


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    made.__name__: made
    for made in (
        request_head,
        response_head,
        chunks,
        header_blocks,
        frames,
        client_hello,
        model_usage,
        target,
        access_rule,
        template,
        yaml_configuration,
        json_configuration,
        toml_configuration,
    )
}
