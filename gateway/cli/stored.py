"""What `gateway check` reports about the proxies in the database. It changes nothing there, and makes no file."""

from __future__ import annotations

import os

from gateway.config import places
from gateway.config import remarks as config_remarks
from gateway.config.errors import Problem
from gateway.config.schema.settings import Settings
from gateway.store import remarks as store_remarks
from gateway.store import schema
from gateway.store.calls import connection_names
from gateway.store.database import Database, file_of, is_embedded
from gateway.store.errors import StoreError
from gateway.store.keys import VARIABLE, KeyRing
from gateway.store.proxies import ProxyRepository
from gateway.store.repository import usable
from gateway.store.secrets import origins


def problems(settings: Settings) -> list[Problem]:
    """What prevents a gateway from starting with the keys that are here. Another machine may have others."""
    url = settings.database
    assert url is not None
    why = KeyRing.problem(url, os.environ)
    if not why and is_embedded(url) and not settings.serves_without_database:
        why = places.not_sqlite(file_of(url))
    return [Problem(why, ("database",))] if why else []


async def remarks(settings: Settings) -> list[str]:
    """Sentences about the proxies of ``settings.database``; one that says so when it cannot be read."""
    assert settings.database is not None
    return [*_without_key(settings.database), *await _remarks(settings, settings.database)]


def _without_key(url: str) -> list[str]:
    needed = not is_embedded(url) and not os.environ.get(VARIABLE)
    return [f"{VARIABLE} is not set here, and a gateway with this database needs it; set it there"] if needed else []


async def _remarks(settings: Settings, url: str) -> list[str]:
    database = Database(url)
    try:
        revision = await schema.revision_of(database)
        if revision is None:
            nothing = store_remarks.remarks(settings, [], (), {})  # is stored yet
            return [*nothing, *store_remarks.without_connection(settings, ())]
        schema.check(revision)
        # What this version cannot serve is left out, and logged at the start.
        stored = usable(await ProxyRepository(database).list())
        own = {proxy.name for proxy in settings.proxies}
        nested = config_remarks.remarks([*settings.proxies, *(proxy for proxy in stored if proxy.name not in own)])
        secrets = await origins(database)
        bound = {key: allowed for key, allowed in secrets.items() if allowed}
        lost = store_remarks.without_connection(settings, await connection_names(database))
        return [*store_remarks.remarks(settings, stored, secrets, bound), *nested, *lost]
    except StoreError as error:
        which = f" {file_of(url)}" if is_embedded(url) else ""  # a URL may hold a password
        return [f"the proxies of the database{which} were not checked: {error}"]
    finally:
        await database.aclose()
