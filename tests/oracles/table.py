"""All attacks: those of the dialogues with the gateway, and who sends them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.answers import chunk, head
from harness.attacks import floods, origins, requests, responses, streams
from harness.frames import GET, Fields

from gateway.wire.h2.frames import settings, window_update
from oracles.attack import Attack, Harm, Reply

OPEN_WIDE = settings([(4, 0)])
"""A caller that takes nothing of any response."""
PIECE = chunk(bytes(16_000))
ENDLESS = Reply(PIECE, head=head("Transfer-Encoding: chunked"), repeat=4000)
"""64 MB."""
KERNEL = 16
"""Megabytes that lie in the buffers of two connections on loopback."""


def _plain(group: str, table: Mapping[str, bytes], at_most: int = 0, because: str = "") -> Iterable[Attack]:
    for name, raw in table.items():
        yield Attack(name, group, raw, at_most=at_most, because=because)


def _chunked(group: str, table: Mapping[str, bytes]) -> Iterable[Attack]:
    for name, raw in table.items():
        yield Attack(name, group, requests.post(b"Transfer-Encoding: chunked", body=raw))


def _fields(group: str, table: Mapping[str, Fields]) -> Iterable[Attack]:
    for name, fields in table.items():
        yield Attack(name, group, settings([]) + streams.head(1, fields), caller="h2")


def _frames(group: str, table: Mapping[str, bytes], harm: Harm = Harm.SMUGGLING) -> Iterable[Attack]:
    for name, raw in table.items():
        yield Attack(name, group, settings([]) + raw, caller="h2", harm=harm)


def _then(ending: str, table: Mapping[str, bytes]) -> dict[str, tuple[bytes, str]]:
    return {name: (raw, ending) for name, raw in table.items()}


def _replies(group: str, table: Mapping[str, tuple[bytes, str]], upstream: str) -> Iterable[Attack]:
    for name, (raw, ending) in table.items():
        yield Attack(name, group, harm=Harm.TRUNCATION, reply=Reply(raw, ending), upstream=upstream)


LAST = b"HTTP/1.1 200 OK\r\n\r\nhello"
OVER_TLS = {
    "9112-9.8 until close, without close_notify": (LAST, "cut"),
    "9112-9.8 chunked, without close_notify": (head("Transfer-Encoding: chunked") + chunk(b"hello"), "cut"),
    "9112-9.8 length, without close_notify": (head("Content-Length: 10") + b"hello", "cut"),
}
CUT_MORE = {
    "9112-8 an interim response alone": (head(status="103 Early Hints"), "close"),
    "9112-8 a head that breaks off": (b"HTTP/1.1 200 OK\r\nContent-Le", "close"),
    "9112-8 nothing": (b"", "close"),
}
IN_ORDER = "each is a request by RFC 9110 and RFC 9112, and reaches the upstream as one, in its plainest form"
ONE_MEANING = (
    "RFC 9112 6.3 gives each one meaning, and the upstream reads one request; RFC 9110 7.6.1 has no field removed that "
    "frames or routes it"
)
ODD = "Odd requests that are in order"
SLOW = (
    Attack("HTTP/1.1, nothing is read", "Callers that do not read", harm=Harm.RESOURCE, reply=ENDLESS, taken=KERNEL),
    Attack(
        "CVE-2016-1546 HTTP/2, window of 0",
        "Callers that do not read",
        OPEN_WIDE + streams.head(1, GET),
        caller="h2",
        harm=Harm.RESOURCE,
        reply=ENDLESS,
        taken=KERNEL,
    ),
    Attack(
        "CVE-2019-9517 HTTP/2, windows wide open, nothing is read",
        "Callers that do not read",
        settings([(4, (1 << 31) - 1)]) + window_update(0, 1 << 30) + streams.head(1, GET),
        caller="h2",
        harm=Harm.RESOURCE,
        reply=ENDLESS,
        taken=KERNEL,
    ),
)
ATTACKS = (
    *_plain("Content-Length", requests.LENGTH),
    *_plain("Transfer-Encoding", requests.CODING),
    *_plain("A request within a request", requests.SMUGGLED),
    *_plain("Bodies that look like a request", requests.CARRIED, at_most=1, because=ONE_MEANING),
    *_chunked("Chunks", requests.CHUNKS),
    *_plain("Host", requests.HOST),
    *_plain("Lines", requests.LINES),
    *_plain("Request line", requests.REQUEST_LINE),
    *_plain("Versions and methods", requests.VERSIONS | requests.METHODS),
    *_plain(ODD, requests.ACCEPTED, at_most=1, because=IN_ORDER),
    *_fields("Fields of HTTP/2", {name: fields for name, (fields, _) in streams.REJECTED.items()} | streams.SPLITTING),
    *_frames("Frames that end the connection", {name: raw for name, (raw, _) in streams.ENDS_THE_CONNECTION.items()}),
    *_frames("Frames that end a stream", {name: raw for name, (raw, _) in streams.RESETS_THE_STREAM.items()}),
    *_frames("Floods", floods.FLOODS, Harm.RESOURCE),
    *_frames("Header blocks that grow", floods.BOMBS),
    *SLOW,
    *_replies("Responses that are no HTTP/1.1", _then("stay", responses.BAD), "http"),
    *_replies("Responses that break off", responses.CUT | CUT_MORE, "http"),
    *_replies("Responses over TLS that break off", OVER_TLS, "https"),
    *_replies(
        "HTTP/2 responses that break the rules", {name: (raw, "stay") for name, raw in origins.BROKEN.items()}, "h2c"
    ),
    *_replies(
        "HTTP/2 responses that break off", {name: (raw, "close") for name, raw in origins.UNFINISHED.items()}, "h2c"
    ),
)
