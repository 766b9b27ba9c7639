"""Bounds of what clients and upstreams may send."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.config.records import Mode
from gateway.config.schema.section import Section
from gateway.config.schema.types import DAY, Bytes, Seconds
from gateway.core import limits

_LIMITS = limits.Limits()
_LEAST_LAG: Final = 0.05
"""Seconds. A collection of garbage or a burst of new connections may take 10 ms, and means nothing."""


def _clear_of_noise(lag: float) -> float:
    if 0.0 < lag < _LEAST_LAG:
        raise ValueError(f"must be at least {_LEAST_LAG:g}, because less says nothing of the load; or 0 for none")
    return lag


def _connections(value: object) -> object:
    if value == "auto":
        return limits.AUTO
    if isinstance(value, str):
        raise ValueError('must be a whole number, or "auto"; write how many connections are accepted')
    if isinstance(value, int) and value < 0:
        raise ValueError('must be at least 0; write how many connections are accepted, or "auto"')
    return value


def _connections_schema(schema: dict[str, Any]) -> None:
    numbers = schema.pop("anyOf")
    numbers[0]["minimum"] = 0
    schema["anyOf"] = [*numbers, {"const": "auto"}]
    schema["default"] = "auto"


class Limits(Section):
    """Bounds of what clients and upstreams may send, and of how long clients may take."""

    max_uri: Bytes = Field(default=_LIMITS.max_uri, ge=64, le=1 << 20, examples=[16384])
    """Longest request target, in bytes; then 414."""
    max_header_bytes: Bytes = Field(default=_LIMITS.max_header_bytes, ge=512, le=1 << 24, examples=[65536])
    """Largest header section, in bytes; then 431."""
    max_headers: int = Field(default=_LIMITS.max_headers, ge=1, le=1 << 16, examples=[100])
    """Most header fields; then 431."""
    max_connections: Annotated[int, BeforeValidator(_connections)] = Field(
        default=_LIMITS.max_connections, le=1 << 20, examples=[10000], json_schema_extra=_connections_schema
    )
    """Most connections of clients at a time. `auto`, and at most: half of the descriptors that the process may open,
    less 64, because an exchange takes a second one for its upstream. From 90 % on, the client with most connections
    loses its oldest idle ones; no client gets more than nine times what is free; idle connections are closed before a
    new one is refused. A client is an IPv4 address or an IPv6 /64; `trusted_proxies` do not count as clients. 0: as
    `auto`."""
    max_connections_per_client: int = Field(
        default=_LIMITS.max_connections_per_client, ge=0, le=1 << 20, examples=[200]
    )
    """Most connections of one client; its oldest idle ones make room for new ones. Many users may share one address.
    `trusted_proxies` are exempt. 0: no fixed limit."""
    max_body_bytes: Bytes = Field(default=_LIMITS.max_body_bytes, ge=0, le=1 << 62, examples=[10485760])
    """Largest request body, in bytes; then 413. 0: no limit."""
    max_trailer_bytes: Bytes = Field(default=_LIMITS.max_trailer_bytes, ge=0, le=1 << 16, examples=[32768])
    """Largest trailer section of a chunked body, in bytes. Beyond it a request is 400 `bad_framing`, and a response is
    cut as `upstream_bad_response`. 0: no trailers at all."""
    max_response_header_bytes: Bytes = Field(
        default=_LIMITS.max_response_header_bytes, ge=512, le=1 << 24, examples=[262144]
    )
    """Largest head of a response of an upstream, in bytes; then 502 `upstream_bad_response`."""
    max_interim_responses: int = Field(default=_LIMITS.max_interim_responses, ge=1, le=1 << 16, examples=[1000])
    """Most interim responses (1xx) of an upstream before the final one; then 502 `upstream_bad_response`. Each may be
    as large as `max_response_header_bytes`."""
    first_byte_timeout: Seconds = Field(default=_LIMITS.first_byte_timeout, ge=0, le=DAY, examples=[5])
    """Seconds for a new connection to send its first byte; then it is closed. 0: as long as `keepalive_timeout`."""
    tls_handshake_timeout: Seconds = Field(default=_LIMITS.tls_handshake_timeout, gt=0, le=DAY, examples=[3])
    """Seconds for a new connection of a listener with TLS to complete its handshake; then it is closed."""
    header_timeout: Seconds = Field(default=_LIMITS.header_timeout, gt=0, le=DAY, examples=[5])
    """Seconds for a client to send a whole request head; then 408."""
    body_timeout: Seconds = Field(default=_LIMITS.body_timeout, gt=0, le=DAY, examples=[30])
    """Seconds without a byte of the request body; then 408. The same bounds how long a client may take no byte of a
    response; its connection is then cut. In HTTP/2 a request body may pause for as long as it likes once its response
    has begun, where the upstream's `body_idle` is 0."""
    min_body_rate: int = Field(
        default=_LIMITS.min_body_rate, ge=0, le=1 << 30, examples=[1000], json_schema_extra={"x-unit": "bytes a second"}
    )
    """Bytes a second that a client must send of a request body, or take of a response that waits for it: averaged
    over 30 seconds of waiting for the client, and not before 10 such seconds. Slower ones end as 408
    `client_timeout`, or are cut when the response has begun. A request body is no longer measured when its response
    has begun. 0: no floor."""
    keepalive_timeout: Seconds = Field(default=_LIMITS.keepalive_timeout, ge=0, le=DAY, examples=[65])
    """Seconds that an idle connection is kept for the next request. 0: closed after each response."""
    shed_loop_lag: Annotated[Seconds, AfterValidator(_clear_of_noise)] = Field(
        default=_LIMITS.shed_loop_lag, ge=0, le=60, examples=[0.5]
    )
    """Seconds that timers of a worker may ring late. While they ring later, a growing share of its new requests gets
    503 `overloaded`; running ones go on. The share falls again below half of it. At least 0.05. 0: no limit."""
    shed_memory: Bytes = Field(default=_LIMITS.shed_memory, ge=0, le=1 << 62, examples=[1073741824])
    """Resident memory (RSS) of a worker, in bytes, above which a share of its new requests gets 503 `overloaded`: all
    of them at 110 % of it. Write more than `worker_max_memory`, which replaces the worker before. 0: no limit."""
    shed_mode: Mode = Field(default="enforce", examples=["shadow"])
    """`enforce`, or `shadow`: what `shed_loop_lag` and `shed_memory` would refuse is logged and counted, and served."""
