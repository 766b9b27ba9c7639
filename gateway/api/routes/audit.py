"""The audit trail."""

from __future__ import annotations

from gateway.api import schemas
from gateway.api.call import Call, Result
from gateway.api.route import PAGING, route


@route("GET", "/audit", responds={200: schemas.AuditList}, query=PAGING)
async def list_audit(call: Call) -> Result:
    """Who did what."""
    page, per_page = call.paging()
    return 200, await call.administration.audit(call.actor, page, per_page)
