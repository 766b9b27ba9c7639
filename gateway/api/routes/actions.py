"""Connections and actions: list them, call them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.admin.actions import Filter, Options
from gateway.admin.call_results import RawResponse
from gateway.admin.errors import validation
from gateway.api import action_schemas as schemas
from gateway.api.call import Bytes, Call, Result
from gateway.api.route import IDEMPOTENCY_KEY, PAGING, Field, Query, route
from gateway.api.tenant import TENANT, TENANT_FIELD, tenant_of
from gateway.ipc.calls import AdHoc

_VERSION: Final[Query] = ("version", str, "The version of the action: a number, or `latest`.")
_RAW: Final[Query] = ("raw", bool, "true: the body of the response as it came, instead of JSON.")
_ONCE: Final[Field] = (
    IDEMPOTENCY_KEY,
    "Calls with the same key and the same input within 300 seconds are one call; other input gets 409.",
)
_LISTED: Final[tuple[Query, ...]] = (
    *PAGING,
    ("connector", str, "Only those of this connector."),
    ("search", str, "Only those whose name has this in it."),
)
_OF_CONNECTION: Final[Query] = ("connection", str, "Only those of this connection: its name or its TRN.")
_SECONDS: Final = 900.0
"""The longest call over the API. Most end sooner, because an action bounds its calls itself."""


def _filter(call: Call) -> Filter:
    return Filter(
        call.text("connector"),
        call.text("connection"),
        call.text("search"),
        call.number("offset") or 0,
        call.number("limit") or 0,
    )


def _options(call: Call, given: schemas.CallOptions, more: schemas.Execution | None = None) -> Options:
    overrides = None if more is None or more.overrides is None else more.overrides.record()
    return Options(
        given.timeout_ms / 1000,
        given.dry_run,
        call.request_id,
        call.text("version"),
        call.idempotency_key,
        given.all_pages,
        overrides,
    )


def _wants_raw(call: Call, options: Options) -> bool:
    """Whether the body is given as it came. Raises `AdminError` where there is none."""
    wanted = call.flag("raw") or call.accept.partition(";")[0].strip().lower() == "application/octet-stream"
    if wanted and (options.dry_run or options.all_pages):
        raise validation([("raw", "goes without dry_run and all_pages, which have no body of one response")])
    return wanted


def _as_it_came(found: RawResponse) -> Result:
    """Always 200, as the JSON form: the status of the third party must not look like one of this API."""
    fields = (*found.fields, ("X-Upstream-Status", str(found.status)))
    return 200, Bytes(found.body, fields, found.rest)


@route(
    "GET",
    "/connections",
    responds={200: schemas.ConnectionList},
    query=(TENANT, *_LISTED),
    fields=(TENANT_FIELD,),
)
async def list_connections(call: Call) -> Result:
    """List connections."""
    return 200, await call.administration.actions.connections(
        call.actor, tenant_of(call), *call.paging(), _filter(call)
    )


@route("GET", "/connections/{trn}", responds={200: schemas.ConnectionAnswer}, query=(TENANT,), fields=(TENANT_FIELD,))
async def get_connection(call: Call) -> Result:
    """Show a connection."""
    return 200, await call.administration.actions.connection(call.actor, tenant_of(call), call.parameters["trn"])


@route(
    "POST",
    "/connections/{trn}/test",
    responds={200: schemas.ConnectionTested},
    body=schemas.ConnectionTest,
    query=(TENANT,),
    fields=(TENANT_FIELD,),
    seconds=_SECONDS,
    ends_with_caller=True,
)
async def test_connection(call: Call) -> Result:
    """Call the base URL of a connection with its credentials."""
    given = call.model(schemas.ConnectionTest).options
    options = Options(given.timeout_ms / 1000, request_id=call.request_id)
    actions, trn = call.administration.actions, call.parameters["trn"]
    tested = await actions.test(call.actor, tenant_of(call), trn, options)
    return 200, tested | {"token": await call.administration.grants.brief(call.actor, tenant_of(call), trn)}


@route(
    "GET",
    "/connections/{trn}/tools",
    responds={200: schemas.ToolList},
    query=(TENANT,),
    fields=(TENANT_FIELD,),
    seconds=_SECONDS,
    ends_with_caller=True,
)
async def list_tools(call: Call) -> Result:
    """Ask a server of MCP for its tools."""
    options = Options(request_id=call.request_id)
    return 200, await call.administration.actions.tools(call.actor, tenant_of(call), call.parameters["trn"], options)


@route(
    "GET",
    "/actions",
    responds={200: schemas.ActionList},
    query=(TENANT, *_LISTED, _OF_CONNECTION),
    fields=(TENANT_FIELD,),
)
async def list_actions(call: Call) -> Result:
    """List actions."""
    page, per_page = call.paging()
    found = await call.administration.actions.actions(call.actor, tenant_of(call), page, per_page, _filter(call))
    return 200, found


@route(
    "GET",
    "/actions/{trn}",
    responds={200: schemas.ActionAnswer},
    query=(TENANT, _VERSION),
    fields=(TENANT_FIELD,),
)
async def get_action(call: Call) -> Result:
    """Show an action."""
    actions, trn, version = call.administration.actions, call.parameters["trn"], call.text("version")
    return 200, await actions.action(call.actor, tenant_of(call), trn, version)


@route(
    "GET",
    "/actions/{trn}/schema",
    responds={200: schemas.InputSchema},
    query=(TENANT, _VERSION),
    fields=(TENANT_FIELD,),
)
async def get_action_schema(call: Call) -> Result:
    """Show the JSON Schema of an action's input."""
    actions, trn, version = call.administration.actions, call.parameters["trn"], call.text("version")
    return 200, await actions.schema(call.actor, tenant_of(call), trn, version)


async def _executed(call: Call, action: str, body: schemas.Execution) -> Result:
    actions, options, tenant = call.administration.actions, _options(call, body.options, body), tenant_of(call)
    given: Mapping[str, object] = body.input
    if _wants_raw(call, options):
        return _as_it_came(await actions.execute_raw(call.actor, tenant, action, given, options))
    return 200, await actions.execute(call.actor, tenant, action, given, options)


@route(
    "POST",
    "/actions/{trn}/execute",
    responds={200: schemas.Executed},
    body=schemas.Execution,
    query=(TENANT, _VERSION, _RAW),
    fields=(TENANT_FIELD, _ONCE),
    seconds=_SECONDS,
    ends_with_caller=True,
    raw=True,
)
async def execute_action(call: Call) -> Result:
    """Call an action."""
    return await _executed(call, call.parameters["trn"], call.model(schemas.Execution))


@route(
    "POST",
    "/execute",
    responds={200: schemas.Executed},
    body=schemas.NamedExecution,
    query=(TENANT, _VERSION, _RAW),
    fields=(TENANT_FIELD, _ONCE),
    seconds=_SECONDS,
    ends_with_caller=True,
    raw=True,
)
async def execute(call: Call) -> Result:
    """Call the action that the body names."""
    body = call.model(schemas.NamedExecution)
    return await _executed(call, body.action_trn, body)


@route(
    "POST",
    "/execute/adhoc",
    responds={200: schemas.Executed},
    body=schemas.AdHocExecution,
    query=(TENANT, _RAW),
    fields=(TENANT_FIELD, _ONCE),
    seconds=_SECONDS,
    ends_with_caller=True,
    raw=True,
)
async def execute_adhoc(call: Call) -> Result:
    """Call a connection without a stored action."""
    body, actions, tenant = call.model(schemas.AdHocExecution), call.administration.actions, tenant_of(call)
    adhoc = AdHoc(body.connection_trn, body.method, body.path, body.headers, body.query, body.body)
    options = _options(call, body.options)
    if options.all_pages:
        raise validation([("options.all_pages", "is for stored actions, which have a pagination; leave it out")])
    if _wants_raw(call, options):
        return _as_it_came(await actions.execute_adhoc_raw(call.actor, tenant, adhoc, options))
    return 200, await actions.execute_adhoc(call.actor, tenant, adhoc, options)
