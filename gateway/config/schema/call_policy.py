"""What holds for the calls of a connection, or of one action: the policy of header fields, and that of retries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.config import actions as records
from gateway.config.schema.section import Section
from gateway.config.schema.types import Listed

_POLICY = records.FieldPolicy()
_DAY_MS = 86_400_000


def _lowered(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.lower() for name in names)


Milliseconds = Annotated[int, Field(json_schema_extra={"x-unit": "milliseconds"})]
Names = Annotated[Listed[str], AfterValidator(_lowered)]


class HttpPolicy(Section):
    """Which header fields a call may have."""

    denied_headers: Names = Field(default=_POLICY.denied, examples=[["host", "connection"]])
    """Fields that are never sent. Those of the connection are left out in any case."""
    reserved_headers: Names = Field(default=_POLICY.reserved, examples=[["authorization", "x-tenant"]])
    """With `merge: strict` those that the action sets stay, whatever the connection has."""
    multi_value_append_headers: Names = Field(default=_POLICY.append, examples=[["accept"]])
    """Fields to which each layer adds, instead of replacing what the one before has set."""
    drop_forbidden_headers: bool = Field(default=_POLICY.drop_denied, examples=[False])
    """`true`: a denied field is left out; `false`: it is an error."""
    max_header_value_length: int = Field(default=_POLICY.max_value_length, ge=1, le=65536, examples=[4096])
    """Most characters of a value."""
    max_total_headers: int = Field(default=_POLICY.max_fields, ge=1, le=200, examples=[32])
    """Most fields of a request."""
    allowed_content_types: Names = Field(default=_POLICY.content_types, examples=[["application/json"]])
    """Media types that a request may have; `[]`: all."""
    refuse_scripts: bool = Field(default=_POLICY.refuse_scripts, examples=[False])
    """`true`: values with `<script`, `javascript:` or `data:` are an error. Control characters always are."""

    def record(self) -> records.FieldPolicy:
        return records.FieldPolicy(
            denied=tuple(dict.fromkeys((*self.denied_headers, *_POLICY.denied))),
            reserved=self.reserved_headers,
            append=self.multi_value_append_headers,
            drop_denied=self.drop_forbidden_headers,
            max_value_length=self.max_header_value_length,
            max_fields=self.max_total_headers,
            content_types=self.allowed_content_types,
            refuse_scripts=self.refuse_scripts,
        )


Preset = Literal["once", "standard", "api", "background", "health", "aggressive", "conservative"]
PRESETS: Final[Mapping[str, records.Retry]] = {
    "once": records.Retry(retries=0),
    "standard": records.Retry(),
    "api": records.Retry(most=16.0, total=60.0),
    "background": records.Retry(retries=5, base=2.0, most=60.0, total=600.0),
    "health": records.Retry(retries=1, base=0.5, most=1.0, factor=1.0, jitter="none", total=10.0),
    "aggressive": records.Retry(
        base=0.05, most=5.0, factor=1.5, jitter="none", statuses=(408, 429, 500, 502, 503, 504), total=0.0
    ),
    "conservative": records.Retry(retries=1, most=10.0, jitter="none", statuses=(429, 503, 504), total=0.0),
}
"""Policies that have a name, with retries besides the first attempt."""


class Retry(Section):
    """How often a call is made again. Keys that are not written are those of the preset."""

    preset: Preset = Field(default="standard", examples=["api"])
    """`once` (no retry), `standard`, `api`, `background`, `health`, `aggressive` or `conservative`."""
    max_retries: int | None = Field(default=None, ge=0, le=10, examples=[2])
    """Attempts besides the first one."""
    base_delay_ms: Milliseconds | None = Field(default=None, ge=1, le=_DAY_MS, examples=[200])
    """The first pause."""
    max_delay_ms: Milliseconds | None = Field(default=None, ge=1, le=_DAY_MS, examples=[5000])
    """The longest pause; also of what Retry-After asks for."""
    factor: float | None = Field(default=None, ge=1, le=10, examples=[1.5])
    """How much longer each pause is than the one before."""
    jitter: Literal["none", "full"] | None = Field(default=None, examples=["none"])
    """`full`: each pause lies at random between 0 and its length."""
    retry_status_codes: Listed[Annotated[int, Field(ge=400, le=599)]] | None = Field(
        default=None, examples=[[429, 503]]
    )
    """Statuses after which a call is made again."""
    respect_retry_after: bool | None = Field(default=None, examples=[False])
    """Whether the pause is the one that Retry-After asks for."""
    total_ms: Milliseconds | None = Field(default=None, ge=0, le=_DAY_MS, examples=[60000])
    """In which time the last attempt has to begin; `0`: no limit."""
    retry_non_idempotent: bool = Field(default=False, examples=[True])
    """Whether POST and PATCH are sent again without an Idempotency-Key. The third party may then do it twice."""

    def record(self) -> records.Retry:
        known = PRESETS[self.preset]
        base, most, total = self.base_delay_ms, self.max_delay_ms, self.total_ms
        return records.Retry(
            retries=known.retries if self.max_retries is None else self.max_retries,
            base=known.base if base is None else base / 1000,
            most=known.most if most is None else most / 1000,
            factor=known.factor if self.factor is None else self.factor,
            jitter=known.jitter if self.jitter is None else self.jitter,
            statuses=known.statuses if self.retry_status_codes is None else self.retry_status_codes,
            respect_retry_after=(
                known.respect_retry_after if self.respect_retry_after is None else self.respect_retry_after
            ),
            total=known.total if total is None else total / 1000,
            non_idempotent=self.retry_non_idempotent,
        )


def _retry(value: object) -> object:
    return {"preset": value} if isinstance(value, str) else value


RetryKey = Annotated[Retry | None, BeforeValidator(_retry, json_schema_input_type=Preset | Retry | None)]
