"""Other paths to connections and actions, for clients that were made for them: the same handlers in other forms.

Below ``/api/v1`` actions are also called tasks, results are plain, and errors are `ApiError`. At ``/kinds``,
``/actions``, ``/execute`` and ``/health`` results and errors have an envelope.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final

from pydantic import BaseModel

from gateway.admin.errors import validation
from gateway.api import forms
from gateway.api import other_schemas as bodies
from gateway.api.call import Call, Result
from gateway.api.dialects import ENVELOPED, TASKS, Dialect
from gateway.api.input import Count
from gateway.api.route import Handler, Query, Route
from gateway.api.routes import actions, call_records, health, inspection, kinds
from gateway.api.tenant import TENANT

_PAGE_SIZE: Final = 50
_MOST: Final = 1000
"""Items of a list."""
Form = Callable[[Call, Handler], Awaitable[Result]]
"""Calls the handler, and gives its result another form."""


async def _task(call: Call, handler: Handler) -> Result:
    """A call, of which ``output`` of the body names the part that is shown."""
    body = dict(call.body)
    output = Call.model(replace(call, body={"output": body.pop("output", "full")}), bodies.Shown).output
    return _shown(await handler(replace(call, body=body)), lambda found: forms.task_result(found, output))


async def _adhoc_task(call: Call, handler: Handler) -> Result:
    body = call.model(bodies.AdHocTask)
    plain = body.plain().model_dump()
    return _shown(await handler(replace(call, body=plain)), lambda found: forms.task_result(found, body.output))


async def _plain(call: Call, handler: Handler) -> Result:
    return await handler(call)


async def _enveloped(call: Call, handler: Handler) -> Result:
    result = await handler(call)
    return _shown(result, lambda found: forms.envelope(found, call.request_id, success=result[0] < 400))


async def _enveloped_call(call: Call, handler: Handler) -> Result:
    """A name alone must state its version, so that a new one does not change what a client calls."""
    given = call.body.get("action_trn")
    name = call.parameters.get("trn") or (given if isinstance(given, str) else "")
    if name and not name.startswith("trn:") and not call.text("version"):
        raise validation([("version", "is missing, and the action is not named by a TRN; write ?version=latest")])
    return _shown(await handler(call), lambda found: forms.enveloped_call(found, call.request_id))


async def _enveloped_page(call: Call, handler: Handler) -> Result:
    """A list by page and page size, with the names that its parameters have here."""
    page, size = call.number("page") or 1, call.number("page_size") or _PAGE_SIZE
    query: dict[str, object] = {
        "connector": call.text("kind"),
        "connection": call.text("connection"),
        "search": call.text("q"),
        "page": page,
        "per_page": size,
        "tenant": call.text("tenant"),
    }
    result = await handler(replace(call, query=query))
    return _shown(result, lambda found: forms.envelope(_by_page_size(found), call.request_id))


def _by_page_size(found: Mapping[str, object]) -> Mapping[str, object]:
    return {"page_size" if key == "per_page" else key: value for key, value in found.items()}


async def _listed(call: Call, handler: Handler) -> Result:
    """A list of which a part is named by ``limit`` and ``offset``, and whose parameter for the name is ``pattern``."""
    limit = call.number("limit") or _MOST
    return await handler(replace(call, query={**call.query, "search": call.text("pattern"), "limit": limit}))


def _shown(result: Result, form: Callable[[Mapping[str, object]], Mapping[str, object]]) -> Result:
    """In its form, unless it is the bytes of a third party."""
    status, body = result
    return (status, form(body)) if isinstance(body, Mapping) else result


def _other(
    dialect: Dialect,
    path: str,
    route: Route,
    form: Form = _plain,
    answer: type[BaseModel] | None = None,
    body: type[BaseModel] | None = None,
    query: tuple[Query, ...] | None = None,
) -> Route:
    """``route`` at another path, in another form. ``query`` None: its own parameters."""

    async def handle(call: Call) -> Result:
        return await form(call, route.handler)

    words = [word for word in path.replace("{trn}", "by trn").replace("/", " ").split() if word]
    return replace(
        route,
        dialect=dialect,
        path=path,
        operation=f"{dialect.name}{route.method.title()}{''.join(word.title() for word in words)}",
        handler=handle,
        responses=route.responses if answer is None else dict.fromkeys(route.responses, answer),
        body=body or route.body,
        query=route.query if query is None else query,
    )


_WINDOW: Final[tuple[Query, ...]] = (
    TENANT,
    ("connector", str, "Only those of this connector."),
    ("pattern", str, "Only those whose name has this in it."),
    ("offset", Count, "How many are left out at the beginning."),
    ("limit", int, f"How many are listed; {_MOST} when it is not given."),
)


def _tasks() -> list[Route]:
    """The paths below ``/api/v1``. An action has a path as a task, and one by its own word."""
    made = [
        _other(TASKS, "/connections", actions.list_connections, _listed, bodies.ConnectionItems, query=_WINDOW),
        _other(TASKS, "/connections", call_records.create_connection),
        _other(TASKS, "/connections/{trn}", actions.get_connection),
        _other(TASKS, "/connections/{trn}", call_records.replace_connection),
        _other(TASKS, "/connections/{trn}", call_records.delete_connection),
        _other(TASKS, "/connections/{trn}/test", actions.test_connection),
        _other(TASKS, "/connections/{trn}/tools", actions.list_tools),
    ]
    of_connection = ("connection", str, "Only those of this connection: its name or its TRN.")
    for word in ("tasks", "actions"):
        made += [
            _other(
                TASKS,
                f"/{word}",
                actions.list_actions,
                _listed,
                bodies.ActionItems,
                query=(*_WINDOW, of_connection),
            ),
            _other(TASKS, f"/{word}", call_records.create_action),
            _other(TASKS, f"/{word}/{{trn}}", actions.get_action),
            _other(TASKS, f"/{word}/{{trn}}", call_records.replace_action),
            _other(TASKS, f"/{word}/{{trn}}", call_records.delete_action),
            _other(TASKS, f"/{word}/{{trn}}/schema", actions.get_action_schema),
            _other(
                TASKS,
                f"/{word}/{{trn}}/execute",
                actions.execute_action,
                _task,
                bodies.TaskResult,
                bodies.TaskExecution,
            ),
        ]
    return [
        *made,
        _other(TASKS, "/execute", actions.execute, _task, bodies.TaskResult, bodies.NamedTask),
        _other(TASKS, "/execute/adhoc", actions.execute_adhoc, _adhoc_task, bodies.TaskResult, bodies.AdHocTask),
        _other(TASKS, "/kinds", kinds.list_kinds),
        _other(TASKS, "/system/health", health.ready),
        _other(TASKS, "/system/stats", kinds.system_stats),
        _other(TASKS, "/system/metrics", inspection.metrics),
    ]


_PAGES: Final[tuple[Query, ...]] = (
    TENANT,
    ("kind", str, "Only those of this connector."),
    ("connection", str, "Only those of this connection: its name or its TRN."),
    ("q", str, "Only those whose name has this in it."),
    ("page", int, "The page, from 1."),
    ("page_size", int, "How many are on a page; 50 when it is not given."),
)


def _in_envelopes() -> list[Route]:
    return [
        _other(ENVELOPED, "/kinds", kinds.list_kinds, _enveloped, bodies.Envelope),
        _other(ENVELOPED, "/actions", actions.list_actions, _enveloped_page, bodies.Envelope, query=_PAGES),
        _other(ENVELOPED, "/actions/{trn}/schema", actions.get_action_schema, _enveloped, bodies.Envelope),
        _other(ENVELOPED, "/actions/{trn}/execute", actions.execute_action, _enveloped_call, bodies.Envelope),
        _other(ENVELOPED, "/execute", actions.execute, _enveloped_call, bodies.Envelope),
        _other(ENVELOPED, "/health", health.ready, _enveloped, bodies.Envelope),
    ]


ROUTES: Final = (*_tasks(), *_in_envelopes())
