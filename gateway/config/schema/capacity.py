"""What endpoints report of themselves, in a field of their responses: their capacity, or that they take no more."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from gateway.config import header_template, records
from gateway.config.records import Mode
from gateway.config.schema.form import in_group
from gateway.config.schema.section import Section
from gateway.config.schema.types import Seconds

_CAPACITY = records.Capacity()
_OWN = frozenset(
    ("cache-control", "content-length", "content-type", "date", "etag", "location", "retry-after", "set-cookie")
)
"""Fields that mean something else, or that callers need."""


def _field(name: str) -> str:
    if header_template.name(name).lower() in _OWN:
        raise ValueError("has another meaning in HTTP; write a name of your own, such as X-Capacity")
    return name


class Capacity(Section):
    """Endpoints say in a field of their responses how many requests they have and may have (`3/8`), or `drain`."""

    enabled: bool = Field(default=True, title="Endpoints report their capacity", examples=[True])
    """`true`: the reports are heeded. It is the default of a section that is written."""
    header: Annotated[str, AfterValidator(_field)] = Field(
        default=_CAPACITY.header, title="Field of the report", examples=["X-Load"]
    )
    """The field in responses, to requests and to health checks: `3/8`, 3 requests run and 8 may, or `drain`, no new
    requests."""
    max_age: Seconds = Field(
        default=_CAPACITY.max_age, ge=0.1, le=3600, title="Time for which a report holds", examples=[5]
    )
    """Seconds for which a report holds, unless another one follows. Then the endpoint counts as one that says
    nothing."""
    forward: bool = Field(default=_CAPACITY.forward, title="Callers see the field", examples=[True])
    """`true`: callers get the field too; `false`: it is removed, because it says how the service is built."""
    mode: Mode = Field(default="enforce", title="Mode of the reports", examples=["shadow"])
    """`enforce`, or `shadow`: reports are shown and counted, and change nothing."""


def _off(value: object) -> object:
    """``null`` is a section that is switched off."""
    return {"enabled": False} if value is None else value


def _lowers_a_limit(capacity: Capacity, info: ValidationInfo) -> Capacity:
    """A limit that only reports make would be gone when they stop."""
    if "max_concurrent" not in info.data or "limiter" not in info.data:  # which have errors of their own
        return capacity
    if capacity.enabled and not info.data["max_concurrent"] and info.data["limiter"].adaptive is None:
        raise ValueError(
            "lowers the limit of the upstream, and there is none; set max_concurrent to the most that all endpoints "
            "together ever bear, or limiter.adaptive"
        )
    return capacity


CapacityKey = Annotated[
    Capacity,
    BeforeValidator(_off),
    AfterValidator(_lowers_a_limit),
    Field(
        description="What endpoints report of themselves moves the limit and the choice of an endpoint.",
        json_schema_extra=in_group("Capacity reports"),
    ),
]
NO_CAPACITY = Capacity(enabled=False)
