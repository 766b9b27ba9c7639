"""Connections and actions: list them, call them."""

from __future__ import annotations

from typing import Final

from gateway.admin.actions import Options
from gateway.api import action_schemas as schemas
from gateway.api.call import Call, Result
from gateway.api.route import PAGING, route
from gateway.api.tenant import TENANT, tenant_of
from gateway.ipc.calls import AdHoc

_SECONDS: Final = 900.0
"""The longest call over the API. Most end sooner, because an action bounds its calls itself."""


def _options(call: Call, given: schemas.CallOptions) -> Options:
    return Options(given.timeout_ms / 1000, given.dry_run, call.request_id)


@route("GET", "/connections", responds={200: schemas.ConnectionList}, query=(TENANT, *PAGING))
async def list_connections(call: Call) -> Result:
    """List connections."""
    return 200, await call.administration.actions.connections(call.actor, tenant_of(call), *call.paging())


@route("GET", "/connections/{trn}", responds={200: schemas.ConnectionAnswer}, query=(TENANT,))
async def get_connection(call: Call) -> Result:
    """Show a connection."""
    return 200, await call.administration.actions.connection(call.actor, tenant_of(call), call.parameters["trn"])


@route(
    "POST",
    "/connections/{trn}/test",
    responds={200: schemas.ConnectionTested},
    body=schemas.ConnectionTest,
    query=(TENANT,),
    seconds=_SECONDS,
    ends_with_caller=True,
)
async def test_connection(call: Call) -> Result:
    """Call the base URL of a connection with its credentials."""
    options = _options(call, call.model(schemas.ConnectionTest).options)
    actions, trn = call.administration.actions, call.parameters["trn"]
    return 200, await actions.test(call.actor, tenant_of(call), trn, options)


@route("GET", "/actions", responds={200: schemas.ActionList}, query=(TENANT, *PAGING))
async def list_actions(call: Call) -> Result:
    """List actions."""
    return 200, await call.administration.actions.actions(call.actor, tenant_of(call), *call.paging())


@route("GET", "/actions/{trn}", responds={200: schemas.ActionAnswer}, query=(TENANT,))
async def get_action(call: Call) -> Result:
    """Show an action."""
    return 200, await call.administration.actions.action(call.actor, tenant_of(call), call.parameters["trn"])


@route("GET", "/actions/{trn}/schema", responds={200: schemas.InputSchema}, query=(TENANT,))
async def get_action_schema(call: Call) -> Result:
    """Show the JSON Schema of an action's input."""
    return 200, await call.administration.actions.schema(call.actor, tenant_of(call), call.parameters["trn"])


@route(
    "POST",
    "/actions/{trn}/execute",
    responds={200: schemas.Executed},
    body=schemas.Execution,
    query=(TENANT,),
    seconds=_SECONDS,
    ends_with_caller=True,
)
async def execute_action(call: Call) -> Result:
    """Call an action."""
    body, actions = call.model(schemas.Execution), call.administration.actions
    options = _options(call, body.options)
    return 200, await actions.execute(call.actor, tenant_of(call), call.parameters["trn"], body.input, options)


@route(
    "POST",
    "/execute",
    responds={200: schemas.Executed},
    body=schemas.NamedExecution,
    query=(TENANT,),
    seconds=_SECONDS,
    ends_with_caller=True,
)
async def execute(call: Call) -> Result:
    """Call the action that the body names."""
    body, actions = call.model(schemas.NamedExecution), call.administration.actions
    options = _options(call, body.options)
    return 200, await actions.execute(call.actor, tenant_of(call), body.action_trn, body.input, options)


@route(
    "POST",
    "/execute/adhoc",
    responds={200: schemas.Executed},
    body=schemas.AdHocExecution,
    query=(TENANT,),
    seconds=_SECONDS,
    ends_with_caller=True,
)
async def execute_adhoc(call: Call) -> Result:
    """Call a connection without a stored action."""
    body, actions = call.model(schemas.AdHocExecution), call.administration.actions
    adhoc = AdHoc(body.connection_trn, body.method, body.path, body.headers, body.query, body.body)
    return 200, await actions.execute_adhoc(call.actor, tenant_of(call), adhoc, _options(call, body.options))
