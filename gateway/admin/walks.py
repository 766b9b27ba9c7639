"""All pages of an action: an iterator of calls, each with its own limits, breaker and retries; and what they give."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

from gateway.actions.pages import Walk
from gateway.admin.call_results import asked_of_plane, error_of, walked
from gateway.admin.representations import Resource
from gateway.core.clock import Clock
from gateway.ipc.calls import Asked, Called, Calls


async def each_page(calls: Calls, asked: Asked, walk: Walk, clock: Clock) -> AsyncIterator[tuple[list[object], Called]]:
    """The items of each page, and its call, until the last one, or until ``walk.stop`` says why there are no more.

    Raises `AdminError` when already the first page has no response: there is nothing to give then.
    """
    began = clock()
    while not walk.ended:
        called = await asked_of_plane(calls.call(_next(asked, walk, clock() - began)))
        if (failure := called["failure"]) is not None:
            if not walk.pages:
                raise error_of(failure, called)
            walk.fail(failure["code"], failure["message"])
            yield [], called
        else:
            yield walk.take(called["status"], called["headers"], called["body"]), called


async def every_page(calls: Calls, asked: Asked, walk: Walk, clock: Clock) -> Resource:
    """The items of all pages together, bounded by the rules of ``walk``. Raises `AdminError` as `each_page`."""
    began, attempts = clock(), 0
    items: list[object] = []
    first: Called | None = None
    async for page, called in each_page(calls, asked, walk, clock):
        items += page
        attempts += called["attempts"]
        first = first or called
    assert first is not None, "a walk begins with a page"
    return walked(walk, items, first, attempts, clock() - began)


def _next(asked: Asked, walk: Walk, spent: float) -> Asked:
    """The call for the next page. A time that the caller gives is for all pages together."""
    number = walk.pages + 1
    if number == 1:
        return dataclasses.replace(asked, input=walk.given)
    return dataclasses.replace(
        asked,
        input=walk.given,
        link=walk.link,
        timeout=max(0.001, asked.timeout - spent) if asked.timeout else 0.0,
        request_id=f"{asked.request_id}-{number}" if asked.request_id else "",
    )
