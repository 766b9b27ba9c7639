"""Whose connections and actions a request is about."""

from __future__ import annotations

from typing import Final

from gateway.admin.errors import validation
from gateway.api.call import Call
from gateway.api.route import X_TENANT, Field, Query
from gateway.config.actions import DEFAULT_TENANT

TENANT: Final[Query] = ("tenant", str, "The tenant that they belong to; `default` when it is not given.")
TENANT_FIELD: Final[Field] = (X_TENANT, "The tenant, as `?tenant=`; when both are there they must be equal.")


def tenant_of(call: Call) -> str:
    """Raises `AdminError` when the request names two."""
    named = {name for name in (call.text("tenant"), call.tenant) if name}
    if len(named) > 1:
        raise validation([("tenant", f"and the field {X_TENANT} name different tenants; send one of them")])
    return named.pop() if named else DEFAULT_TENANT
