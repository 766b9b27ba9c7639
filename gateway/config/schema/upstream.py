"""A named upstream: its endpoints and its protections, for all proxies that name it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from gateway.config import records, values
from gateway.config.schema.capacity import NO_CAPACITY, CapacityKey
from gateway.config.schema.endpoints import (
    NO_EJECTION,
    NO_HEALTH,
    BalanceKey,
    EjectionKey,
    Endpoints,
    HashLoadKey,
    HashOnKey,
    HealthKey,
    PanicKey,
    SlowStartKey,
)
from gateway.config.schema.protections import (
    PROTECTIONS,
    CircuitBreaker,
    CircuitBreakerKey,
    Http2Key,
    Limiter,
    LimiterKey,
    MaxConcurrent,
    TimeoutConfig,
    TimeoutConfigKey,
    TlsKey,
    without_h2c,
)
from gateway.config.schema.queue import Queue, QueueKey
from gateway.config.schema.rate_limits import UpstreamRateLimitsKey
from gateway.config.schema.records import record_of
from gateway.config.schema.section import Section

_UPSTREAM = records.Upstream("-", ())


def named(name: str) -> str:
    """The name that the record of an entry of `upstreams` has.

    No proxy has such a name, so that neither entry nor proxy takes over what belongs to the other when one of them is
    added or removed.
    """
    return f"{records.NAMED}{name}"


class Upstream(Section):
    """A back end. The proxies that name it share its limiter, its breaker and its connections."""

    name: Annotated[str, AfterValidator(values.proxy_name)] = Field(examples=["ai"])
    """The name that proxies write in `upstream`: 1 to 64 letters, digits, `_`, `.` and `-`; unique among the upstreams
    and the proxies with a URL of their own."""
    endpoints: Endpoints = Field(examples=[[{"url": "http://127.0.0.1:9000"}, {"url": "http://127.0.0.1:9001"}]])
    """Where it is: one endpoint or more."""
    max_concurrent: MaxConcurrent = 0
    limiter: LimiterKey = Limiter()
    queue: QueueKey = Queue()
    capacity: CapacityKey = NO_CAPACITY
    rate_limits: UpstreamRateLimitsKey = ()
    circuit_breaker: CircuitBreakerKey = CircuitBreaker()
    timeout_config: TimeoutConfigKey = TimeoutConfig()
    tls: TlsKey = None
    http2: Http2Key = "auto"
    balance: BalanceKey = _UPSTREAM.balance
    hash_on: HashOnKey = _UPSTREAM.hash_on
    hash_load: HashLoadKey = _UPSTREAM.hash_load
    health: HealthKey = NO_HEALTH
    ejection: EjectionKey = NO_EJECTION
    panic: PanicKey = _UPSTREAM.panic
    slow_start: SlowStartKey = _UPSTREAM.slow_start

    @model_validator(mode="before")
    @classmethod
    def _spell_out_h2c(cls, data: object) -> object:
        return without_h2c(data) if isinstance(data, dict) else data

    def protections(self) -> dict[str, object]:
        """Its keys that a proxy with a URL of its own has too."""
        return {key: getattr(self, key) for key in PROTECTIONS}

    def record(self) -> records.Upstream:
        return record_of(
            records.Upstream,
            self,
            name=named(self.name),
            endpoints=tuple(endpoint.record() for endpoint in self.endpoints),
            rate_limits=tuple(limit.record() for limit in self.rate_limits),
            timeouts=record_of(records.Timeouts, self.timeout_config),
            tls=records.UpstreamTls() if self.tls is None else self.tls.record(),
        )
