"""Bodies of the requests and responses that are about the endpoints of an upstream."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.api.schemas import Answer, Applied, Body


class Undrain(Body):
    url: str = Field(max_length=2000, description="Its URL; scheme, host and port alone count.")


class Drain(Undrain):
    force: bool = Field(default=False, description="true: even if no endpoint is left for requests.")


class DrainedBy(Answer):
    by: Literal["settings", "operator"] = Field(description="settings: `drain: true` there; operator: by hand.")
    at: str | None = Field(description="When; null: it stands in the settings.")
    actor: str | None = Field(description="The operator; null: it stands in the settings.")


class EndpointAnswer(Answer):
    url: str
    weight: int | None = Field(description="null: it is stale.")
    drain: bool = Field(description="It gets no new requests.")
    drained_by: list[DrainedBy] = Field(description="All of them have to take it back before it gets requests.")
    stale: bool = Field(description="It was drained and is no endpoint any more, so this has no effect.")
    live: dict[str, object] | None = Field(
        description="How it stands, as in the `group` of an explanation; null: it is alone, or no worker responded."
    )


class EndpointList(Answer):
    """The endpoints of an upstream."""

    upstream: str
    items: list[EndpointAnswer]


class EndpointsChanged(EndpointList):
    """The endpoints of an upstream after a change."""

    applied: Applied
