"""Each key of a section reaches the record of the data plane, with one default."""

import dataclasses
from collections.abc import Callable

import pytest

from gateway.config import records
from gateway.config.schema.hedge import Hedge
from gateway.config.schema.limits import Limits
from gateway.config.schema.observability import Tracing
from gateway.config.schema.protections import (
    PROTECTIONS,
    Adaptive,
    CircuitBreaker,
    Limiter,
    TimeoutConfig,
)
from gateway.config.schema.proxy import Cors, Proxy, Stream
from gateway.config.schema.queue import Codel, Priority, Queue
from gateway.config.schema.rate_limits import RateLimit
from gateway.config.schema.records import record_of
from gateway.config.schema.retries import Backoff, Retries
from gateway.config.schema.section import Section
from gateway.config.schema.settings import Settings, UpstreamNetworks
from gateway.config.schema.upstream import Upstream
from gateway.core import limits

PAIRS: list[tuple[type[Section], Callable[[], object]]] = [
    (Limits, limits.Limits),
    (Adaptive, records.Adaptive),
    (Limiter, records.Limiter),
    (Queue, records.Queue),
    (Codel, records.Codel),
    (Priority, records.Priority),
    (CircuitBreaker, records.CircuitBreaker),
    (TimeoutConfig, records.Timeouts),
    (Cors, records.Cors),
    (Stream, records.Stream),
    (Retries, records.Retries),
    (Backoff, records.Backoff),
    (Hedge, records.Hedge),
    (UpstreamNetworks, records.UpstreamNetworks),
]
NOT_OF_THE_DATA_PLANE = {
    "admin",
    "database",
    "template_env",
    "worker_env",
    "auth",
    "workers",
    "worker_max_memory",
    "proxies",
    "connectors",
    "mcp",
}
"""Keys of the control plane; `proxies` and `mcp`, which become routes and upstreams; and another way to write
connections and actions."""


@pytest.mark.covers("T011", "T022")
@pytest.mark.parametrize(("section", "record"), PAIRS, ids=lambda value: value.__name__)
def test_sections_have_the_fields_and_defaults_of_the_records(
    section: type[Section], record: Callable[[], object]
) -> None:
    made = record()
    assert dataclasses.is_dataclass(made)
    assert section().model_dump() == dataclasses.asdict(made)


def test_a_rate_limit_has_the_fields_and_defaults_of_its_record() -> None:
    assert RateLimit(key="all", rate=1.0).model_dump() == dataclasses.asdict(records.RateLimit("all", 1.0))


@pytest.mark.parametrize(
    ("section", "record", "used_elsewhere"),
    [
        (Proxy, records.Route, {"endpoints", *PROTECTIONS}),
        (Upstream, records.Upstream, {"timeout_config"}),
        (
            Settings,
            records.Document,
            NOT_OF_THE_DATA_PLANE,
        ),
        (Tracing, records.Tracing, set()),
    ],
)
def test_no_key_is_lost_on_the_way(section: type[Section], record: type, used_elsewhere: set[str]) -> None:
    assert section.model_fields.keys() - used_elsewhere <= {f.name for f in dataclasses.fields(record)}


@dataclasses.dataclass(frozen=True)
class Inner:
    number: int = 0


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    perhaps: Inner | None = None
    label: str = ""


class InnerSection(Section):
    number: int = 1


class OuterSection(Section):
    inner: InnerSection = InnerSection()
    perhaps: InnerSection | None = None
    without_a_field: int = 0


def test_inner_sections_become_records_too() -> None:
    assert record_of(Outer, OuterSection(), label="a") == Outer(Inner(1), None, "a")
    present = OuterSection(perhaps=InnerSection(number=2))
    assert record_of(Outer, present, label="") == Outer(Inner(1), Inner(2), "")


def test_a_field_that_nothing_fills_is_an_error() -> None:
    with pytest.raises(AttributeError, match="label"):
        record_of(Outer, OuterSection())
