"""The connector `mongodb`: fixed operations of collections with values in their places."""

from __future__ import annotations

import datetime
import importlib
import tempfile
from collections.abc import Mapping
from typing import Any, Final

from gateway.config.networks import Destinations
from gateway.config.schema.mongodb import MongoAction, MongoConnection
from gateway.connectors.addresses import permitted
from gateway.connectors.connector import Call, Connector, RejectedError, TooLargeError

_BATCH: Final = 100
_DUPLICATE: Final = 11000
_ILL: Final = frozenset((6, 7, 18, 50, 89, 91, 189, 202, 262, 9001, 10107, 11600, 11602, 13435, 13436))
"""Codes of errors (MongoDB, Error Codes) that do not speak of the operation."""
_DENIED: Final = 13
_TIMES: Final = {"find": "max_time_ms", "find_one": "max_time_ms"}
_COUNTS: Final = ("matched_count", "modified_count", "deleted_count", "inserted_id", "inserted_ids", "upserted_id")


class MongoAwayError(Exception):
    """It is away, or does not work."""


class Mongo(Connector[MongoConnection, MongoAction]):
    """A database of MongoDB, by the asynchronous client of pymongo."""

    Connection = MongoConnection
    Action = MongoAction
    failures = (MongoAwayError, OSError, TimeoutError)

    @classmethod
    def load(cls) -> None:
        importlib.import_module("pymongo")

    def __init__(self, connection: MongoConnection, destinations: Destinations) -> None:
        super().__init__(connection, destinations)
        from pymongo import AsyncMongoClient

        server = self._server = connection.server
        mode = connection.tls.mode
        options: dict[str, Any] = {}
        self._authorities = None
        if mode == "verify" or (mode == "auto" and not server.local):
            options["tls"] = True
            if connection.tls.ca_pem is not None:  # the client takes a path alone
                self._authorities = tempfile.NamedTemporaryFile("w", suffix=".pem")  # noqa: SIM115 - closed by aclose
                self._authorities.write(connection.tls.ca_pem)
                self._authorities.flush()
                options["tlsCAFile"] = self._authorities.name
        if server.user:
            options |= {"username": server.user, "password": server.password}
            options["authSource"] = connection.auth_database or server.name
        self._client: Any = AsyncMongoClient(
            server.host,
            server.port,
            directConnection=True,
            maxPoolSize=connection.max_concurrent,
            maxIdleTimeMS=int(connection.idle * 1000),
            serverSelectionTimeoutMS=connection.connect_timeout_ms,
            connectTimeoutMS=connection.connect_timeout_ms,
            retryReads=False,
            retryWrites=False,
            tz_aware=True,
            **options,
        )

    async def perform(self, call: Call[MongoAction]) -> object:
        """Documents, or what has changed. Raises as `Connector.perform`."""
        try:
            arguments = call.action.filled(call.input, _special)
        except ValueError as error:
            raise RejectedError(str(error)) from None
        return await self._asked(lambda: self._execute(call, arguments))

    async def test(self) -> None:
        """Whether it answers a ping."""
        await self._asked(lambda: self._client[self._server.name].command("ping"))

    async def aclose(self) -> None:
        """Close the client."""
        await self._client.close()
        if self._authorities is not None:
            self._authorities.close()

    async def _asked(self, work: Any) -> Any:
        from bson.errors import BSONError
        from pymongo.errors import ConfigurationError, InvalidOperation, OperationFailure, PyMongoError

        await permitted(self._server.host, self._server.port, self.destinations)
        try:
            return await work()
        except OperationFailure as error:
            if error.code in _ILL:
                raise MongoAwayError(str(error.code)) from None
            status = {_DUPLICATE: 409, _DENIED: 403}.get(error.code or 0, 400)
            details = error.details or {}
            raise RejectedError(str(details.get("errmsg", "the operation failed")), str(error.code), status) from None
        except (BSONError, ConfigurationError, InvalidOperation, TypeError, ValueError) as error:
            raise RejectedError(str(error)) from None
        except PyMongoError as error:
            raise TimeoutError if self._silent(error) else MongoAwayError(type(error).__name__) from None

    def _silent(self, error: Exception) -> bool:
        """Whether the server has taken a connection, and has not answered in `connect_timeout_ms`."""
        from pymongo.errors import NetworkTimeout, ServerSelectionTimeoutError

        seen = self._client.topology_description.server_descriptions().values()
        unanswered = any(each.error is None or isinstance(each.error, NetworkTimeout) for each in seen)
        return unanswered and isinstance(error, ServerSelectionTimeoutError)

    async def _execute(self, call: Call[MongoAction], arguments: dict[str, Any]) -> object:
        action = call.action
        collection = self._client[self._server.name][action.collection]
        if action.read_only:
            # The server stops by itself then: it does not notice that a connection is gone.
            most = action.timeout_ms or action.limits.timeout_ms or self.connection.timeout_ms
            arguments = {**arguments, _TIMES.get(action.operation, "maxTimeMS"): most}
        if action.operation in ("find", "aggregate"):
            if isinstance(sort := arguments.get("sort"), Mapping):
                arguments = {**arguments, "sort": list(sort.items())}
            made = getattr(collection, action.operation)(**arguments)
            cursor = made if action.operation == "find" else await made
            async with cursor:
                return await _read(cursor.batch_size(min(_BATCH, action.max_rows + 1)), call)
        found = await getattr(collection, action.operation)(**arguments)
        if action.operation == "distinct":
            return {"values": found[: action.max_rows], "truncated": len(found) > action.max_rows}
        if action.operation == "find_one":
            return {"document": found}
        if action.operation == "count_documents":
            return {"count": found}
        return {name: getattr(found, name) for name in _COUNTS if hasattr(found, name)}


async def _read(cursor: Any, call: Call[MongoAction]) -> dict[str, object]:
    """Documents until there are as many as there may be. Raises `TooLargeError`."""
    documents: list[object] = []
    size = 0
    async for document in cursor:
        if len(documents) == call.action.max_rows:
            return {"documents": documents, "truncated": True}
        documents.append(document)
        size += len(repr(document))
        if size > call.max_bytes * 2:  # at least so many when it is JSON
            raise TooLargeError
    return {"documents": documents, "truncated": False}


def _special(kind: str, value: Any) -> Any:
    """A value of BSON that JSON does not have. Raises ValueError."""
    from bson import ObjectId

    if not isinstance(value, str):
        raise ValueError(f"a {kind} must be a text; write one")
    if kind == "$date":
        return datetime.datetime.fromisoformat(value)
    if not ObjectId.is_valid(value):
        raise ValueError("an $oid must have 24 hexadecimal digits; write such a text")
    return ObjectId(value)
