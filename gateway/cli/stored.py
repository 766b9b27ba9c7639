"""What `gateway check` tells of the proxies in the database. It changes nothing there, and makes no file."""

from __future__ import annotations

from gateway.config.model import Settings
from gateway.store import remarks as store_remarks
from gateway.store import schema
from gateway.store.database import Database
from gateway.store.problem import StoreError
from gateway.store.proxies import ProxyRepository


async def remarks(settings: Settings) -> list[str]:
    """Sentences about the proxies of ``settings.database``; one that says so when it can not be read."""
    assert settings.database is not None
    database = Database(settings.database)
    try:
        revision = await schema.revision_of(database)
        if revision is None:
            return []  # nothing is stored yet
        schema.check(revision)
        return list(store_remarks.remarks(settings, await ProxyRepository(database).list()))
    except StoreError as error:
        return [f"the proxies of the database were not checked: {error}"]
    finally:
        await database.aclose()
