"""Key sets of token issuers, kept for the time in which an issuer is unreachable: public keys, as JSON text."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from gateway.store.database import Database
from gateway.store.errors import StoreError
from gateway.store.tables import KEY_SETS

_log = logging.getLogger(__name__)


class KeySetRepository:
    """No configuration: only a control process that starts needs to notice a change."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self) -> Mapping[str, str]:
        """The key sets by their address. Raises `StoreUnavailable`."""
        async with self._database.reading() as connection:
            rows = await connection.execute(select(KEY_SETS.c.url, KEY_SETS.c.key_set))
            return {row.url: row.key_set for row in rows}

    async def save(self, sets: Mapping[str, str]) -> bool:
        """Store these beside the others; False when the database is unavailable."""
        try:
            async with self._database.writing() as connection:
                await connection.execute(delete(KEY_SETS).where(KEY_SETS.c.url.in_(sets)))
                now = time.time()
                rows = [{"url": url, "key_set": keys, "updated": now} for url, keys in sets.items()]
                await connection.execute(insert(KEY_SETS), rows)
        except IntegrityError:
            _log.warning("the database rejects the keys of %s: an address is too long", ", ".join(sorted(sets)))
        except StoreError:
            return False
        return True
