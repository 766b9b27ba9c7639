"""Header blocks to fields (RFC 7541): the decoder of one connection, with its dynamic table.

Its bounds hold while it decodes: what lies beyond them changes the table, as it must, and is otherwise not made.
"""

from __future__ import annotations

from typing import Final

from gateway.wire.h2.codes import COMPRESSION_ERROR, H2Error
from gateway.wire.h2.huffman import HuffmanDecoder

TABLE_SIZE: Final = 4096
"""Bytes of the dynamic table: what SETTINGS_HEADER_TABLE_SIZE is unless it is set, and it is not."""
ENTRY_OVERHEAD: Final = 32
"""RFC 7541 4.1: what a field counts besides its name and value."""

_STATIC: Final = (
    b":authority|:method=GET|:method=POST|:path=/|:path=/index.html|:scheme=http|:scheme=https|:status=200|:status=204|"
    b":status=206|:status=304|:status=400|:status=404|:status=500|accept-charset|accept-encoding=gzip, deflate|"
    b"accept-language|accept-ranges|accept|access-control-allow-origin|age|allow|authorization|cache-control|"
    b"content-disposition|content-encoding|content-language|content-length|content-location|content-range|content-type|"
    b"cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|"
    b"last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|"
    b"server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate"
)
"""RFC 7541, appendix A; from index 1 on."""


class Entry:
    """A field, made once and shared by the blocks that refer to it."""

    __slots__ = ("kind", "line", "name", "size", "value")

    def __init__(self, name: bytes, value: bytes) -> None:
        self.name = name
        self.value = value
        self.size = len(name) + len(value) + ENTRY_OVERHEAD
        self.line = b""
        """``name: value``, when it was checked."""
        self.kind = -1
        """As in `gateway.wire.fields`; -1: it is not checked yet."""


def static_table() -> list[Entry]:
    """RFC 7541, appendix A, from index 1 on. What is learned of an entry holds for one kind of message."""
    entries = [Entry(b"", b"")]
    for text in _STATIC.split(b"|"):
        name, _, value = text.partition(b"=")
        entries.append(Entry(name, value))
    return entries


STATIC: Final = static_table()
"""As requests have it."""
STATIC_LENGTH: Final = len(STATIC) - 1


class Decoder:
    """Of one connection. A block must be decoded even if its stream is refused, because it may change the table."""

    __slots__ = ("_huffman", "_limit", "_max_fields", "_size", "_static", "_table", "max_size", "too_large", "version")

    def __init__(
        self, huffman: HuffmanDecoder, max_size: int, max_fields: int, static: list[Entry] | None = None
    ) -> None:
        """``max_size``: bytes of the fields of a block, each with `ENTRY_OVERHEAD`; ``max_fields``: how many.

        ``static``: a `static_table`; None: `STATIC`.
        """
        self._huffman = huffman
        self._static = STATIC if static is None else static
        self._table: list[Entry] = []
        """The newest last."""
        self._size = 0
        self._limit = TABLE_SIZE
        self.max_size = max_size
        self._max_fields = max_fields
        self.version = 0
        """Another number after each block that changed the table: between, equal bytes are equal fields."""
        self.too_large = False
        """The last block was beyond the bounds: its fields are not complete."""

    def decode(self, block: bytes) -> list[Entry]:
        """The fields of ``block``. Raises `H2Error`."""
        out: list[Entry] = []
        room, left = self.max_size, self._max_fields
        position, end = 0, len(block)
        self.too_large = False
        if end and block[0] & 0xE0 == 0x20:
            position = self._size_updates(block)
        while position < end:
            byte = block[position]
            position += 1
            if byte & 0x80:
                index = byte & 0x7F
                if index == 0x7F:
                    index, position = _integer(block, position, 0x7F)
                entry = self._entry(index)
            elif byte & 0x40:
                name, position = self._name(block, position, byte & 0x3F, 0x3F)
                value, position = self._string(block, position)
                entry = Entry(name, value)
                self._insert(entry)
            elif byte & 0x20:
                raise H2Error(COMPRESSION_ERROR, "the size of the table changes behind a field")
            elif self.too_large:  # it is in no table: nothing of it is needed
                position = self._skip(block, position, byte & 0x0F)
                continue
            else:
                name, position = self._name(block, position, byte & 0x0F, 0x0F)
                value, position = self._string(block, position)
                entry = Entry(name, value)
            room -= entry.size
            left -= 1
            if room < 0 or left < 0:
                self.too_large = True
                out.clear()
            else:
                out.append(entry)
        return out

    def _size_updates(self, block: bytes) -> int:
        """RFC 7541 4.2: two at most, because the second restores what the first one shrank."""
        position, count = 0, 0
        while position < len(block) and block[position] & 0xE0 == 0x20:
            count += 1
            size = block[position] & 0x1F
            position += 1
            if size == 0x1F:
                size, position = _integer(block, position, 0x1F)
            if size > TABLE_SIZE or count > 2:
                raise H2Error(COMPRESSION_ERROR, "the table is to become larger than it may be")
            self._limit = size
            self._make_room(0)
            self.version += 1
        return position

    def _entry(self, index: int) -> Entry:
        if 0 < index <= STATIC_LENGTH:
            return self._static[index]
        beyond = index - STATIC_LENGTH
        if not index or beyond > len(self._table):
            raise H2Error(COMPRESSION_ERROR, "an index points to no entry of the table")
        return self._table[-beyond]

    def _name(self, block: bytes, position: int, index: int, mask: int) -> tuple[bytes, int]:
        if index == mask:
            index, position = _integer(block, position, mask)
        if index:
            return self._entry(index).name, position
        return self._string(block, position)

    def _string(self, block: bytes, position: int) -> tuple[bytes, int]:
        start, stop = _bounds(block, position)
        text = block[start:stop]
        return (self._huffman.decode(text) if block[position] & 0x80 else text), stop

    def _skip(self, block: bytes, position: int, index: int) -> int:
        if index == 0x0F:
            index, position = _integer(block, position, 0x0F)
        if not index:
            position = _bounds(block, position)[1]
        return _bounds(block, position)[1]

    def _insert(self, entry: Entry) -> None:
        self.version += 1
        self._make_room(entry.size)
        if entry.size <= self._limit:  # RFC 7541 4.4: a larger one empties the table, and is no error
            self._table.append(entry)
            self._size += entry.size

    def _make_room(self, wanted: int) -> None:
        drop, table = 0, self._table
        while self._size + wanted > self._limit and drop < len(table):
            self._size -= table[drop].size
            drop += 1
        if drop:
            del table[:drop]


def _integer(block: bytes, position: int, value: int) -> tuple[int, int]:
    """RFC 7541 5.1; ``value``: of the full prefix. Nothing here needs more than four bytes behind it."""
    shift = 0
    while True:
        if position >= len(block) or shift > 21:
            raise H2Error(COMPRESSION_ERROR, "an integer is cut off or too large")
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, position


def _bounds(block: bytes, position: int) -> tuple[int, int]:
    """Where the string whose length stands at ``position`` begins and ends."""
    if position >= len(block):
        raise H2Error(COMPRESSION_ERROR, "a string is missing")
    length = block[position] & 0x7F
    position += 1
    if length == 0x7F:
        length, position = _integer(block, position, 0x7F)
    if position + length > len(block):
        raise H2Error(COMPRESSION_ERROR, "a string is cut off")
    return position, position + length
