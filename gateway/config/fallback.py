"""The records of a fallback: what takes over from the upstream of a proxy, and when."""

from __future__ import annotations

from dataclasses import dataclass

FALLBACK_OF = "fallback of "
"""Begins the name of an upstream that is the URL of a fallback, before the name of the proxy."""


@dataclass(frozen=True, slots=True)
class FixedResponse:
    """A response of the gateway's own."""

    status: int = 503
    body: str = ""
    content_type: str = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Fallback:
    """``on``: words of `gateway.core.fallback.CAUSES`; ``statuses``: the first and the last of each listed range.

    ``upstream`` names the `Upstream` that is asked instead; "": ``response`` is given instead. ``rewrite``: members of
    the JSON object that it is asked with, and their texts.
    """

    on: tuple[str, ...]
    statuses: tuple[tuple[int, int], ...] = ()
    upstream: str = ""
    response: FixedResponse | None = None
    rewrite: tuple[tuple[str, str], ...] = ()
