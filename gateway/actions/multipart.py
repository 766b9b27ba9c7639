"""Bodies of multipart/form-data (RFC 7578): values, and files with a name and a media type of their own."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from gateway.actions.errors import InvalidCallError
from gateway.actions.template import text

BOUNDARY: Final = "gateway-part-9c4e1f7ab2d85306"
"""The same for all: a body is signed, sent again and compared as it is. No part may hold it, so that no value of a
caller begins a part (RFC 2046 5.1.1)."""
TYPE: Final = f"multipart/form-data; boundary={BOUNDARY}"
_DELIMITER: Final = f"--{BOUNDARY}".encode()
_ESCAPED: Final = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
"""As HTML has it for names and file names (RFC 7578 2 leaves it open)."""
_FILENAME: Final = "file"
"""Of a file that has none: without one many servers take a file for a plain value (RFC 7578 4.2 recommends it)."""
_FILE: Final = frozenset(("filename", "content_type", "text", "base64"))
_MEDIA_TYPE: Final = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,254}")
_NAME: Final = re.compile(rb'; name="([^"]*)"')


def written(name: str) -> str:
    """``name`` as it stands in a body."""
    return name.translate(_ESCAPED)


def encode(members: Mapping[str, Any]) -> bytes:
    """``members``: texts and numbers, files (mappings of ``text`` or ``base64`` with ``filename`` and
    ``content_type``), and lists of them; null is left out. A file without ``filename`` is called `file`; an empty one
    makes a plain value of it, which may have a media type.

    Raises `InvalidCallError` for what is none of these.
    """
    parts = [
        _part(text(name, "body"), each)
        for name, member in members.items()
        if member is not None
        for each in (member if isinstance(member, list | tuple) else [member])
    ]
    return b"".join((*parts, _DELIMITER, b"--\r\n")) if parts else b""


def shown(body: bytes, show: Callable[[str, str], str]) -> str:
    """``body`` of `encode` as a text, with what ``show`` makes of the name and the value of each part."""
    return "".join(_shown(body, show))


def _shown(body: bytes, show: Callable[[str, str], str]) -> Iterator[str]:
    first, *parts = body.split(_DELIMITER)
    yield show("", first.decode(errors="replace"))
    for part in parts:
        head, blank, data = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        value = data.decode(errors="replace").removesuffix("\r\n")
        yield _DELIMITER.decode() + show("", head.decode(errors="replace")) + blank.decode()
        if blank:
            yield show("" if name is None else name[1].decode(errors="replace"), value) + "\r\n"


def _part(name: str, value: Any) -> bytes:
    place = f"body.{name}"
    fields = f'Content-Disposition: form-data; name="{written(name)}"'
    if isinstance(value, Mapping):
        data = _content(value, place)
        given = value.get("filename")
        filename = _FILENAME if given is None else text(given, f"{place}.filename")
        if filename:
            fields += f'; filename="{written(filename)}"'
        if value.get("content_type") is not None:
            fields += f"\r\nContent-Type: {_media_type(value['content_type'], place)}"
    else:
        data = text(value, place).encode()
    head = fields.encode()
    if _DELIMITER in head or _DELIMITER in data:
        raise _wrong(place, "holds the line that separates the parts of this body; send another value")
    return b"".join((_DELIMITER, b"\r\n", head, b"\r\n\r\n", data, b"\r\n"))


def _content(file: Mapping[str, Any], place: str) -> bytes:
    given = [key for key in ("text", "base64") if file.get(key) is not None]
    if len(given) != 1 or not file.keys() <= _FILE:
        raise _wrong(place, "must be a text, or text or base64 with filename and content_type; write one of these")
    content = text(file[given[0]], f"{place}.{given[0]}")
    if given == ["text"]:
        return content.encode()
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise _wrong(f"{place}.base64", "is no base64 (RFC 4648 4); encode the bytes of the file") from None


def _media_type(value: Any, place: str) -> str:
    found = text(value, f"{place}.content_type")
    if not _MEDIA_TYPE.fullmatch(found):
        raise _wrong(f"{place}.content_type", "must be printable ASCII; write a media type such as image/png")
    return found


def _wrong(place: str, what: str) -> InvalidCallError:
    return InvalidCallError(f"{place} {what}", [(place, what)])
