"""The ways in which a back end may read a path (RFC 3986 3.3, 5.2.4, 6.2).

The gateway forwards a path byte for byte and matches it literally. Back ends read more into it: they decode escapes,
some of them more than once, merge slashes, resolve dot segments, take a backslash for a slash, and drop what follows a
semicolon in a segment. They do so in different orders. Routes and access rules therefore look at each of these
readings too, and a path whose readings disagree is rejected.
"""

from __future__ import annotations

import re

_MAX_DECODES = 16
"""More layers of encoding than any back end takes off."""
_ENCODED_PERCENT = re.compile(rb"%(?:25)+")
_ESCAPE = re.compile(rb"(%[0-9A-Fa-f]{2})")
_BYTES = {
    b"%" + high.encode() + low.encode(): bytes([int(high + low, 16)])
    for high in "0123456789ABCDEFabcdef"
    for low in "0123456789ABCDEFabcdef"
}
"""What each escape stands for."""


def is_plain(path: bytes) -> bool:
    """Whether every back end reads the same in ``path``. Costs nothing to speak of: nearly all paths are plain."""
    return not (b"%" in path or b"//" in path or b"/." in path or b";" in path or b"\\" in path)


def readings(path: bytes) -> list[list[bytes]]:
    """The segments of ``path``, which has no query, in each way that back ends read them; ``..`` still among them.

    Empty segments, ``.`` and path parameters are gone. Empty list: there are more layers of encoding than can be read.
    """
    found: list[list[bytes]] = []
    slashed = path.replace(b"\\", b"/")
    raw = slashed.split(b"/")
    forms = [slashed]
    if b";" in path:
        # Servlet containers drop the parameters first: what they hold, encoded slashes too, is never looked at.
        forms.append(b"/".join([part.partition(b";")[0] for part in raw]))
    if b".." in raw:
        # Some resolve the dots that stand there plainly, and only then decode.
        forms.append(b"/".join(resolved(raw)))
    for form in forms:
        decoded = _decoded(form)
        if decoded is None:
            return []
        segments = _segments(decoded)
        if segments not in found:
            found.append(segments)
    return found


def resolved(segments: list[bytes]) -> list[bytes]:
    """``segments`` without ``..`` and what it takes away; at the root it takes nothing (RFC 3986 5.2.4)."""
    stack: list[bytes] = []
    for segment in segments:
        if segment != b"..":
            stack.append(segment)
        elif stack:
            stack.pop()
    return stack


def climbs(segments: list[bytes]) -> bool:
    """Whether the ``..`` among ``segments`` at any point lead above where the first one begins."""
    depth = 0
    for segment in segments:
        depth += -1 if segment == b".." else 1
        if depth < 0:
            return True
    return False


def leads_to(segments: list[bytes], wanted: list[bytes]) -> bool:
    """Whether a back end could find the prefix ``wanted`` in ``segments``, whichever ``..`` it resolves and keeps.

    A segment is the next one when it follows directly, or behind a ``..``, which may have removed what stands between.
    """
    reached = {-1}
    for name in wanted:
        first = min(reached)
        reached = {
            i
            for i, segment in enumerate(segments)
            if segment == name and (i - 1 in reached or (i > first + 1 and segments[i - 1] == b".."))
        }
        if not reached:
            return False
    return True


def forms(path: bytes) -> list[bytes]:
    """Every path other than ``path`` itself as which a back end may read it; [] when it is plain.

    A slash at the end stays: what it means is left to the back end. Raises ValueError when there are more layers of
    encoding than can be read.
    """
    if is_plain(path):
        return []
    found = [path]
    ways = readings(path)
    if not ways:
        raise ValueError("the path is encoded too many times")
    slash = _ends_in_slash(path)
    for segments in ways:
        for shown in (segments, resolved(segments)):
            form = b"/" + b"/".join(shown)
            if slash and shown:
                form += b"/"
            if form not in found:
                found.append(form)
    return found[1:]


def canonical(path: bytes) -> bytes:
    """``path`` decoded, slashes merged, dots resolved, parameters dropped. Raises ValueError as `forms`."""
    if is_plain(path):
        return path
    ways = readings(path)
    if not ways:
        raise ValueError("the path is encoded too many times")
    shown = resolved(ways[0])
    return b"/" + b"/".join(shown) + (b"/" if shown and _ends_in_slash(path) else b"")


def _ends_in_slash(path: bytes) -> bool:
    last = (_decoded(path) or b"").replace(b"\\", b"/").rpartition(b"/")[2].partition(b";")[0]
    return last in (b"", b".", b"..")


def _decoded(text: bytes) -> bytes | None:
    """``text`` with its escapes decoded until none is left; None when that takes too many rounds."""
    for _ in range(_MAX_DECODES):
        if b"%" not in text:
            return text
        # No Python for each escape: urllib's own function takes milliseconds for a path that is all percent signs.
        parts = _ESCAPE.split(_ENCODED_PERCENT.sub(b"%", text))
        parts[1::2] = map(_BYTES.__getitem__, parts[1::2])
        once = b"".join(parts)
        if once == text:
            return text
        text = once
    return None


def _segments(decoded: bytes) -> list[bytes]:
    parts = [part.partition(b";")[0] for part in decoded.replace(b"\\", b"/").split(b"/")]
    return [part for part in parts if part and part != b"."]
