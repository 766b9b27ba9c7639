"""What takes over when the upstream of a proxy fails: another upstream, or a fixed response."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.config import fallback as records
from gateway.config import values
from gateway.config.schema.protections import is_h2c, spoken
from gateway.config.schema.records import record_of
from gateway.config.schema.section import Section
from gateway.config.schema.types import Listed
from gateway.config.schema.upstream import named
from gateway.core.fallback import CAUSES, STATUS

_RESPONSE = records.FixedResponse()
_WORDS = tuple(word for word in CAUSES if word != STATUS)
_STATUSES = re.compile(r"([1-9][0-9]{2})(?:-([1-9][0-9]{2}))?")
_FIELD_VALUE = re.compile(r"[\x20-\x7e]+")
_WITHOUT_BODY = (204, 205, 304)
"""RFC 9110 15.3.5, 15.3.6, 15.4.5."""


def _statuses_in(entry: str) -> tuple[int, int] | None:
    """The first and the last status of ``503`` or ``500-599``; None for another text."""
    match = _STATUSES.fullmatch(entry)
    return None if match is None else (int(match[1]), int(match[2] or match[1]))


def _cause(entry: str) -> str:
    found = _statuses_in(entry)
    if found is None and entry not in _WORDS:
        raise ValueError(f'must be {", ".join(_WORDS)}, or statuses in quotes: "503", "500-599"; write one of them')
    if found is not None and not 200 <= found[0] <= found[1] <= 599:
        raise ValueError("must lie within 200 to 599, the lower status first; write such statuses")
    return entry


def _some(entries: tuple[str, ...]) -> tuple[str, ...]:
    if not entries:
        raise ValueError("must list what it takes over from; write [connect, breaker], or fallback: null")
    return entries


def _content_type(text: str) -> str:
    if not _FIELD_VALUE.fullmatch(text):
        raise ValueError("is no media type; write application/json, or text/plain; charset=utf-8")
    return text


def _target(text: str) -> str:
    """Returned as written, because a fallback has no other key that could say which protocol it speaks."""
    values.upstream(spoken(text))
    return text


class FixedResponse(Section):
    """A response of the gateway's own."""

    status: int = Field(default=_RESPONSE.status, ge=200, le=599, examples=[200])
    """Its status, 200 to 599."""
    body: str = Field(default=_RESPONSE.body, max_length=65536, examples=['{"error": "Try again later"}'])
    """Its body, as it is; at most 65536 characters."""
    content_type: Annotated[str, AfterValidator(_content_type)] = Field(
        default=_RESPONSE.content_type, examples=["application/json"]
    )
    """The media type of the body."""

    @model_validator(mode="after")
    def _bodiless(self) -> Self:
        if self.body and self.status in _WITHOUT_BODY:
            raise ValueError("a response with this status has no body; remove the body, or write another status")
        return self


class Rewrite(Section):
    """What the other upstream gets in the body of a request, which is an object in JSON."""

    model: str = Field(default="", max_length=200, title="Model that it is asked for", examples=["llama-3.1-8b"])
    """The text of the member `model`, so that an upstream that has other models can serve the request. Empty: it stays
    as it is."""


class Fallback(Section):
    """What serves a request that the upstream of the proxy has failed: another upstream, or a fixed response."""

    on: Annotated[Listed[Annotated[str, AfterValidator(_cause)]], AfterValidator(_some)] = Field(
        examples=[["connect", "breaker", "503"]]
    )
    """What it takes over from: `connect` (refused, unreachable, unknown name, failed TLS handshake, or none of it in
    time), `reset` (closed before a response, or no HTTP), `timeout` (no response in time), `stall` (no event of a
    stream in the time of `stream.first_event`), `breaker` (open), `health` (no healthy endpoint), `queue` (no permit, a
    full queue, no permit in time), `rate_limit` (`rate_limits` of the upstream have no token), `deadline`
    (`timeout_config: total`, with a `response` alone), and statuses of the upstream in quotes: `"503"`, `"500-599"`."""
    upstream: Annotated[str, AfterValidator(_target)] | None = Field(default=None, examples=["http://127.0.0.1:9009"])
    """The upstream that is asked instead, with its own limit, queue, breaker and timeouts: a URL, which has the
    defaults of these and may begin with `h2c://`, or, in a file, the name of an entry of `upstreams`. Once at most, and
    not where a part of the request's body is gone."""
    response: FixedResponse | None = Field(default=None, examples=[{"status": 503, "body": "Try again later"}])
    """The response that is given instead. Callers of gRPC get the error itself."""

    rewrite: Rewrite = Rewrite()
    """What is changed in the body for the other upstream. Every other byte stays as it is, and so does a body that is
    no object in JSON. A body longer than 1 MiB, or of unknown length, of which not all was kept, gets the error
    itself."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.upstream is None) == (self.response is None):
            raise ValueError("must have an upstream or a response, and not both; write one of them")
        if self.upstream is None and self.rewrite.model:
            raise ValueError("rewrite changes what another upstream is asked, and here is none; remove rewrite")
        if self.upstream is not None and "deadline" in self.on:
            raise ValueError("on: deadline leaves no time for another upstream; write a response, or remove deadline")
        return self

    @property
    def url(self) -> str:
        """Of the upstream that is asked instead; empty: there is none, or it stands below `upstreams`."""
        return "" if self.upstream is None or values.is_upstream_name(self.upstream) else spoken(self.upstream)

    @property
    def http2(self) -> Literal["auto", "always"]:
        """Whether HTTP/2 is spoken to ``url``."""
        return "always" if is_h2c(self.upstream) else "auto"

    @property
    def name(self) -> str:
        """The entry of `upstreams` that is asked instead; empty: there is none."""
        return "" if self.upstream is None or self.url else self.upstream

    def upstream_of(self, proxy: str) -> str:
        """The name that the record of its upstream has, as the fallback of ``proxy``; empty: there is none."""
        return f"{records.FALLBACK_OF}{proxy}" if self.url else named(self.name) if self.name else ""

    def record(self, proxy: str) -> records.Fallback:
        """As the fallback of ``proxy``."""
        return record_of(
            records.Fallback,
            self,
            on=tuple(entry for entry in self.on if entry in _WORDS),
            statuses=tuple(self._statuses()),
            upstream=self.upstream_of(proxy),
            rewrite=(("model", self.rewrite.model),) if self.rewrite.model else (),
        )

    def _statuses(self) -> Iterator[tuple[int, int]]:
        for entry in self.on:
            if found := _statuses_in(entry):
                yield found
