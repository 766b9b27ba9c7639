"""The connector `mongodb` without a server. `tests/connectors/test_mongodb.py` has one that emulates it."""

from __future__ import annotations

import datetime
import gc
import warnings

import pytest
from bson import ObjectId
from harness.ports import reserved_port

from gateway.config.networks import Destinations
from gateway.config.schema.mongodb import MongoAction, MongoConnection
from gateway.connectors.connector import Call, ForbiddenError, RejectedError
from gateway.connectors.mongodb import Mongo, MongoAwayError


def connector(url: str, **keys: object) -> Mongo:
    Mongo.load()
    keys = {"connect_timeout_ms": 100, **keys}
    return Mongo(MongoConnection.model_validate({"url": url, **keys}), Destinations())


async def test_a_server_that_is_away_is_a_failure() -> None:
    made = connector(f"mongodb://127.0.0.1:{reserved_port()}/shop")
    with pytest.raises(MongoAwayError):
        await made.test()
    await made.aclose()
    del made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # a dial that the client cancels leaves its socket
        gc.collect()


async def test_a_denied_address_is_not_dialled() -> None:
    made = connector("mongodb://169.254.169.254:80/shop", tls={"mode": "off"})
    with pytest.raises(ForbiddenError):
        await made.test()
    await made.aclose()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"id": "zz"}, "an $oid must have 24 hexadecimal digits"),
        ({"id": 7}, "a $oid must be a text"),
        ({"id": {"$ne": 1}}, "no value may have one that begins with $"),
    ],
)
async def test_values_that_fit_nowhere_are_rejected(given: dict[str, object], says: str) -> None:
    made = connector("mongodb://127.0.0.1:9/shop")
    action = MongoAction(connection="c", collection="o", arguments={"filter": {"_id": {"$oid": "{id}"}}})
    with pytest.raises(RejectedError) as error:
        await made.perform(Call(action, given, 1000))
    assert says in error.value.message
    await made.aclose()


def test_types_that_json_does_not_have() -> None:
    from gateway.connectors.mongodb import _special

    assert _special("$oid", "0" * 24) == ObjectId("0" * 24)
    assert _special("$date", "2026-01-02T03:04:05+00:00") == datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


async def test_authorities_of_ones_own_are_a_file_for_as_long_as_the_client_lives() -> None:
    made = connector("mongodb://db.invalid/shop", tls={"mode": "verify"}, auth_database="admin")
    assert made._authorities is None
    await made.aclose()
