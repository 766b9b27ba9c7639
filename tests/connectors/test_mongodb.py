"""The connector `mongodb` with the real client, on an emulation of the server (mongoeco): see docs/connectors.md."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Iterator

import pytest
from harness import mongodb
from harness.calling import Calling
from harness.patience import eventually

ACTIONS = """
actions:
  add: {connection: db, collection: orders, operation: insert_one, read_only: false,
    arguments: {document: "{document}"}}
  find: {connection: db, collection: orders, arguments: {filter: {item: "{item}"}, sort: {_id: 1}}}
  hurried: {connection: db, collection: orders, operation: find_one, timeout_ms: 300,
    arguments: {filter: {_id: "{id}"}}}
  one: {connection: db, collection: orders, operation: find_one, arguments: {filter: {_id: "{id}"}}}
  all: {connection: db, collection: orders, max_rows: 2, arguments: {sort: {_id: 1}, projection: {_id: 1}}}
  above: {connection: db, collection: orders, operation: count_documents, arguments: {filter: {_id: {$gt: "{least}"}}}}
  items: {connection: db, collection: orders, operation: distinct, arguments: {key: item}}
  change: {connection: db, collection: orders, operation: update_one, read_only: false,
    arguments: {filter: {_id: "{id}"}, update: {$set: {item: "a {item}"}}}}
  total: {connection: db, collection: orders, operation: aggregate,
    arguments: {pipeline: [{$match: {_id: {$lt: 100}}}, {$group: {_id: null, n: {$sum: 1}}}]}}
  remove: {connection: db, collection: orders, operation: delete_many, read_only: false, arguments: {filter: {}}}
  wrong: {connection: db, collection: orders, operation: aggregate, arguments: {pipeline: [{$nothing: 1}]}}
  small: {connection: db, collection: orders, limits: {max_bytes: 30}, arguments: {}}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[mongodb.Mongo]:
    yield from mongodb.start()


def calling(server: mongodb.Mongo, **keys: object) -> Calling:
    more = "".join(f", {key}: {value}" for key, value in keys.items())
    return Calling(f"connections: {{db: {{kind: mongodb, url: '{server.url}', retry: once{more}}}}}\n{ACTIONS}")


@pytest.mark.covers("ACT-36")
async def test_operations_with_values_in_their_places(server: mongodb.Mongo) -> None:
    async with calling(server) as make:
        assert await make.test("db") == ""
        await make.body("remove")
        for number, item in enumerate(("tea", "milk", "tea")):
            assert (await make.body("add", document={"_id": number, "item": item}))["inserted_id"] == number
        assert [each["_id"] for each in (await make.body("find", item="tea"))["documents"]] == [0, 2]
        assert await make.body("one", id=1) == {"document": {"_id": 1, "item": "milk"}}
        assert await make.body("one", id="1") == {"document": None}
        assert await make.body("all") == {"documents": [{"_id": 0}, {"_id": 1}], "truncated": True}
        assert await make.body("above", least=0) == {"count": 2}
        assert sorted((await make.body("items"))["values"]) == ["milk", "tea"]
        assert (await make.body("change", id=1, item="cup"))["modified_count"] == 1
        assert (await make.body("one", id=1))["document"]["item"] == "a cup"
        assert (await make.body("total"))["documents"] == [{"_id": None, "n": 3}]
        assert make.upstream.limiter.in_flight == 0


async def test_what_is_rejected_is_a_response(server: mongodb.Mongo) -> None:
    async with calling(server, circuit_breaker="{enabled: true, failure_threshold: 1}") as make:
        await make.body("remove")
        await make.body("add", document={"_id": 1, "item": "x" * 40})
        assert (await make("add", document={"_id": 1}))["status"] == 409
        assert (await make("wrong"))["status"] == 400
        hostile = await make("find", item={"$ne": None})
        assert (hostile["status"], b"no value may have one that begins with $" in hostile["body"]) == (400, True)
        assert await make.code("small") == "answer_too_large"
        assert make.upstream.gate.state.word == "closed"


@pytest.mark.covers("ACT-36")
async def test_five_slow_calls_take_the_limit_and_the_rest_is_rejected(server: mongodb.Mongo) -> None:
    async with calling(server, max_concurrent=5) as make:
        await make.fill_limit_of_five(server, "above", least=0)


@pytest.mark.covers("ACT-36")
async def test_a_call_whose_time_is_over_takes_its_connection_with_it(server: mongodb.Mongo) -> None:
    async with calling(server, max_concurrent=1) as make:
        await make.body("remove")
        for number in (1, 2):
            await make.body("add", document={"_id": number, "item": f"item {number}"})
        server.freeze()
        assert await make.code("hurried", id=1) == "total_timeout"
        server.thaw()
        assert (await make.body("one", id=2))["document"]["item"] == "item 2"  # and not the reply that came too late
        server.freeze()
        caller = asyncio.ensure_future(make("one", id=1))
        await eventually(lambda: make.upstream.limiter.in_flight == 1, "the call runs")
        caller.cancel()  # it has left
        with pytest.raises(asyncio.CancelledError):
            await caller
        server.thaw()
        await eventually(lambda: make.upstream.limiter.in_flight == 0, "the permit is back")
        assert (await make.body("one", id=2))["document"]["item"] == "item 2"


@pytest.mark.covers("ACT-36")
async def test_a_server_that_dies_opens_the_breaker_and_heals() -> None:
    for server in mongodb.start():
        breaker = "{enabled: true, failure_threshold: 3, recovery_timeout: 1}"
        async with calling(server, circuit_breaker=breaker, connect_timeout_ms=1000) as make:
            assert await make.code("above", least=0) == ""
            server.kill()
            codes = [await make.code("above", least=0) for _ in range(4)]
            assert codes == ["upstream_reset"] * 3 + ["breaker_open"]
            await asyncio.to_thread(server.again)
            async with asyncio.timeout(60):
                while await make.code("above", least=0):
                    pass
            assert await make.body("above", least=0) == {"count": 0}
            assert make.upstream.limiter.in_flight == 0
    del make
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # a dial that the client cancels leaves its socket
        gc.collect()
