"""What `gateway check` tells of the proxies in the database. It changes nothing there, and makes no file."""

from __future__ import annotations

from gateway.config import remarks as config_remarks
from gateway.config import single
from gateway.config.problem import ConfigError
from gateway.config.schema.proxy import Proxy
from gateway.config.schema.settings import Settings
from gateway.store import remarks as store_remarks
from gateway.store import schema
from gateway.store.database import Database, file_of, is_embedded
from gateway.store.problem import StoreError
from gateway.store.proxies import ProxyRepository, StoredProxy
from gateway.store.secrets import origins


async def remarks(settings: Settings) -> list[str]:
    """Sentences about the proxies of ``settings.database``; one that says so when it can not be read."""
    assert settings.database is not None
    database = Database(settings.database)
    try:
        revision = await schema.revision_of(database)
        if revision is None:
            return list(store_remarks.remarks(settings, [], (), {}))  # nothing is stored yet
        schema.check(revision)
        proxies = await ProxyRepository(database).list()
        usable = [proxy for proxy in proxies if _usable(proxy) is not None]
        own = {proxy.name for proxy in settings.proxies}
        more = [found for proxy in proxies if proxy.name not in own and (found := _usable(proxy)) is not None]
        nested = config_remarks.remarks([*settings.proxies, *more])
        secrets = await origins(database)
        bound = {key: allowed for key, allowed in secrets.items() if allowed}
        return [*store_remarks.remarks(settings, usable, secrets, bound), *nested]
    except StoreError as error:
        which = f" {file_of(settings.database)}" if is_embedded(settings.database) else ""  # a URL may hold a password
        return [f"the proxies of the database{which} were not checked: {error}"]
    finally:
        await database.aclose()


def _usable(proxy: StoredProxy) -> Proxy | None:
    """None: this version can not serve it, and says so when it starts."""
    try:
        return single.stored(proxy.settings)
    except ConfigError:
        return None
