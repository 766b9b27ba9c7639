"""When a request gets a second attempt beside the first one, which takes long."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from gateway.config import records
from gateway.config.protections import MEASURED
from gateway.config.records import Mode
from gateway.config.schema.section import Section
from gateway.config.schema.types import DAY

_HEDGE = records.Hedge()


def _seconds(value: object) -> object:
    """One error for both types, in words."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | str)
        or (isinstance(value, str) and value != MEASURED)
    ):
        raise ValueError(
            "must be a number of seconds, as in 0.5, or p95 for the time that is measured; 0 for no hedges"
        )
    if not isinstance(value, str) and not 0 <= value <= DAY:
        raise ValueError(f"must be from 0 to {DAY} seconds, or p95; write one of them")
    return value


class Hedge(Section):
    """When a request gets a second attempt beside the first one, which takes long. The first good response goes to the
    caller, and the other attempt is cut. For requests without a body, or with one that came with its head and is not
    longer than `retries.replay_buffer`, once each. Each hedge takes a token of `retries.budget`, and a place of
    `max_concurrent`; without them there is none.
    """

    after: Annotated[float | Literal["p95"], BeforeValidator(_seconds)] = Field(
        default=_HEDGE.after,
        title="Time before the second attempt",
        examples=["p95"],
        json_schema_extra={"x-unit": "seconds"},
    )
    """Seconds without a response before the second attempt, 0 to 86400. `p95`: as long as 19 of 20 responses of the
    upstream took to begin in the last 5 minutes. 0: never."""
    methods: Literal["idempotent", "safe"] = Field(
        default=_HEDGE.methods, title="Requests that may run twice at a time", examples=["safe"]
    )
    """`idempotent`: GET, HEAD, OPTIONS, TRACE, PUT and DELETE. `safe`: the first four. No others, also with an
    `Idempotency-Key`, because an upstream rejects a key of a request that still runs."""
    mode: Mode = Field(default="enforce", title="Mode of the hedges", examples=["shadow"])
    """`enforce`, or `shadow`: hedges are counted and logged, and none is made."""
