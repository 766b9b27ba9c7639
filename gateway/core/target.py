"""Request targets, byte-exact: what is not the matched prefix is never decoded, normalised or re-encoded."""

from __future__ import annotations


def path_of(target: bytes) -> bytes:
    """The path of an origin-form target, without its query."""
    query = target.find(b"?")
    return target if query < 0 else target[:query]


def join(base: bytes, target: bytes, strip: int) -> bytes:
    """The target for the upstream: ``base`` (no trailing slash) and ``target`` less its first ``strip`` bytes.

    >>> join(b"/v1", b"/-/openai/chat?model=gpt-4", 9)
    b'/v1/chat?model=gpt-4'
    >>> join(b"", b"/-/openai", 9)
    b'/'
    """
    rest = target[strip:]
    if not rest or rest[0] == 0x3F:  # nothing, or the query alone, is left of the target
        return (base or b"/") + rest
    return base + rest
