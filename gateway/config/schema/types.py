"""Types of keys: what they hold, and in which unit."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from gateway.config import header_template, values

DAY = 86400
"""Seconds."""

T = TypeVar("T")

Seconds = Annotated[float, Field(json_schema_extra={"x-unit": "seconds"})]
Bytes = Annotated[int, Field(json_schema_extra={"x-unit": "bytes"})]
Requests = Annotated[int, Field(json_schema_extra={"x-unit": "requests"})]
Status = Annotated[str, BeforeValidator(values.status_text), AfterValidator(values.status_range)]
"""A status of HTTP, as in `503`, or a range of them, as in `500-599`."""
Listed = Annotated[tuple[T, ...], Field(strict=False)]
"""A list of the file; strict pydantic would require a tuple."""


def _header_value(text: str, info: ValidationInfo) -> str:
    return header_template.template(text, info.context or header_template.Context())


HeaderName = Annotated[str, AfterValidator(header_template.name)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]
Host = Annotated[str, AfterValidator(values.route_host)]
AdminAddress = Annotated[str, AfterValidator(values.admin_listen)]
ListenAddress = Annotated[str, AfterValidator(values.listen_address)]
Network = Annotated[str, AfterValidator(values.network)]
UpstreamUrl = Annotated[str, AfterValidator(values.upstream_url)]
UpstreamNameOrUrl = Annotated[str, AfterValidator(values.upstream)]
Variable = Annotated[str, AfterValidator(values.kept_variable)]
Secret = Annotated[
    str, Field(min_length=1, repr=False, examples=["${API_SECRET}"], json_schema_extra={"writeOnly": True})
]
