"""Checks whether the database can be used at the start, and admits it as soon as it can."""

from __future__ import annotations

import asyncio
import logging

from gateway.store import schema
from gateway.store.database import is_embedded
from gateway.store.errors import StoreError, StoreUnavailable
from gateway.store.store import Store

_log = logging.getLogger("gateway")

_POLL_SECONDS = 0.2
_COLD_SECONDS = 2.0
"""Limit of the wait for the database at the start; then the proxies of the file are served without it."""


async def why_away(url: str) -> str:
    """Why the database cannot be used now; empty when it responds."""
    asking = asyncio.ensure_future(schema.status(url))
    await asyncio.wait({asking}, timeout=_COLD_SECONDS)
    if not asking.done():
        # It is not cancelled: to cancel a statement of SQLite means to wait for it.
        asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        return f"no response within {_COLD_SECONDS:g} seconds"
    try:
        await asking
    except StoreUnavailable as error:
        return str(error)
    return ""


async def admit(store: Store, url: str) -> None:
    """Use the database from now on. Raises `StoreError`."""
    if is_embedded(url):
        # A file of this machine alone; a database that several gateways share is upgraded on purpose.
        await schema.upgrade(url)
    await store.admit()


async def admit_later(store: Store, url: str) -> None:
    """As `admit`, as soon as the database is back and has the right schema."""
    logged = ""
    while True:
        await asyncio.sleep(_POLL_SECONDS)
        try:
            await admit(store, url)
            return
        except StoreUnavailable:
            continue
        except StoreError as error:
            if str(error) != logged:
                _log.error("the database cannot be used: %s", error)
            logged = str(error)
