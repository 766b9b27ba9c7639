"""Connections and actions of the database: create, change and delete them."""

from __future__ import annotations

from typing import Final

from gateway.api import call_record_schemas as schemas
from gateway.api.call import Call, Result
from gateway.api.route import DRY_RUN, Query, route
from gateway.api.tenant import TENANT, TENANT_FIELD, tenant_of

_VERSION: Final[Query] = ("version", int, "The version that is deleted; none: whatever stands there.")


@route(
    "POST",
    "/connections",
    responds={201: schemas.CallStored, 200: schemas.CallDryRun},
    body=schemas.AnyNewConnection,
    query=(TENANT, DRY_RUN),
    fields=(TENANT_FIELD,),
)
async def create_connection(call: Call) -> Result:
    """Create a connection."""
    records, dry_run = call.administration.connection_records, call.flag("dry_run")
    return 200 if dry_run else 201, await records.create(call.actor, tenant_of(call), call.body, dry_run=dry_run)


@route(
    "PUT",
    "/connections/{trn}",
    responds={200: schemas.CallStored},
    body=schemas.AnyNewConnection,
    query=(TENANT, DRY_RUN),
    fields=(TENANT_FIELD,),
    versioned=True,
)
async def replace_connection(call: Call) -> Result:
    """Replace a connection."""
    body, version = call.versioned()
    records, trn = call.administration.connection_records, call.parameters["trn"]
    return 200, await records.replace(call.actor, tenant_of(call), trn, body, version, dry_run=call.flag("dry_run"))


@route(
    "PATCH",
    "/connections/{trn}",
    responds={200: schemas.CallStored},
    body=schemas.CallPatch,
    query=(TENANT, DRY_RUN),
    fields=(TENANT_FIELD,),
    versioned=True,
)
async def patch_connection(call: Call) -> Result:
    """Change a connection."""
    body, version = call.versioned()
    records, trn = call.administration.connection_records, call.parameters["trn"]
    return 200, await records.patch(call.actor, tenant_of(call), trn, body, version, dry_run=call.flag("dry_run"))


@route(
    "DELETE",
    "/connections/{trn}",
    responds={200: schemas.CallDeleted},
    query=(TENANT, DRY_RUN, _VERSION),
    fields=(TENANT_FIELD,),
    versioned=True,
)
async def delete_connection(call: Call) -> Result:
    """Delete a connection, with its actions."""
    version = call.deleted_version()
    records, trn = call.administration.connection_records, call.parameters["trn"]
    return 200, await records.delete(call.actor, tenant_of(call), trn, version, dry_run=call.flag("dry_run"))


@route(
    "POST",
    "/actions",
    responds={201: schemas.CallStored, 200: schemas.CallDryRun},
    body=schemas.AnyNewAction,
    query=(TENANT, DRY_RUN),
    fields=(TENANT_FIELD,),
)
async def create_action(call: Call) -> Result:
    """Create an action."""
    records, dry_run = call.administration.action_records, call.flag("dry_run")
    return 200 if dry_run else 201, await records.create(call.actor, tenant_of(call), call.body, dry_run=dry_run)


@route(
    "PUT",
    "/actions/{trn}",
    responds={200: schemas.CallStored},
    body=schemas.AnyNewAction,
    query=(TENANT, DRY_RUN),
    fields=(TENANT_FIELD,),
    versioned=True,
)
async def replace_action(call: Call) -> Result:
    """Replace an action."""
    body, version = call.versioned()
    records, trn = call.administration.action_records, call.parameters["trn"]
    return 200, await records.replace(call.actor, tenant_of(call), trn, body, version, dry_run=call.flag("dry_run"))


@route(
    "PATCH",
    "/actions/{trn}",
    responds={200: schemas.CallStored},
    body=schemas.CallPatch,
    query=(TENANT, DRY_RUN),
    fields=(TENANT_FIELD,),
    versioned=True,
)
async def patch_action(call: Call) -> Result:
    """Change an action."""
    body, version = call.versioned()
    records, trn = call.administration.action_records, call.parameters["trn"]
    return 200, await records.patch(call.actor, tenant_of(call), trn, body, version, dry_run=call.flag("dry_run"))


@route(
    "DELETE",
    "/actions/{trn}",
    responds={200: schemas.CallDeleted},
    query=(TENANT, DRY_RUN, _VERSION),
    fields=(TENANT_FIELD,),
    versioned=True,
)
async def delete_action(call: Call) -> Result:
    """Delete an action."""
    version = call.deleted_version()
    records, trn = call.administration.action_records, call.parameters["trn"]
    return 200, await records.delete(call.actor, tenant_of(call), trn, version, dry_run=call.flag("dry_run"))
