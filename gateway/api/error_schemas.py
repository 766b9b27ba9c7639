"""Errors of the other sets of paths, for the OpenAPI document. `gateway.api.dialects` makes them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class ApiError(BaseModel):
    """An error of the paths below /api/v1."""

    code: str = Field(description="The code for programs. Its part before the dot follows from the status.")
    message: str = Field(description="What is wrong, and what to do.")
    details: dict[str, Any] = Field(description="request_id, and what is known: fields, retry_after, attempts.")


class EnvelopeFailure(BaseModel):
    """What is wrong."""

    code: Literal[
        "INVALID_INPUT",
        "FORBIDDEN",
        "NOT_FOUND",
        "TIMEOUT",
        "CONFLICT",
        "RATE_LIMITED",
        "UPSTREAM_ERROR",
        "INTERNAL",
    ]
    message: str = Field(description="What is wrong, and what to do.")
    details: dict[str, Any] = Field(description="reason: the code as other paths have it; and what else is known.")


class ErrorMetadata(BaseModel):
    request_id: str


class EnvelopeError(BaseModel):
    """An error of /kinds, /actions, /execute and /health."""

    success: Literal[False]
    error: EnvelopeFailure
    metadata: ErrorMetadata


ALL = (ApiError, EnvelopeError)
