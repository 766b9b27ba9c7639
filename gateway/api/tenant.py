"""Whose connections and actions a request is about."""

from __future__ import annotations

from typing import Final

from gateway.api.call import Call
from gateway.api.route import Query
from gateway.config.actions import DEFAULT_TENANT

TENANT: Final[Query] = ("tenant", str, "The tenant that they belong to; `default` when it is not given.")


def tenant_of(call: Call) -> str:
    return call.text("tenant") or DEFAULT_TENANT
