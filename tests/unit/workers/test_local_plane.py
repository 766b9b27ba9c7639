"""A data plane in this process, from its first configuration to its end; tests/unit/ipc has it behind a channel."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from harness.client import Client, code_of
from harness.patience import eventually
from harness.records import proxy, serving

from gateway import launch
from gateway.app import Gateway
from gateway.config.records import Credentials, Document, Listener, TokenRecord
from gateway.core.address import Address
from gateway.identity.tokens import digest, mint
from gateway.ipc.calls import Asked
from gateway.ipc.channel import UnsentError
from gateway.ipc.messages import Health, InForce, Prepared
from gateway.workers import local_plane
from gateway.workers.handover import Handover, pair
from gateway.workers.local_plane import LINGER_SECONDS, LocalPlane, draining

DOCUMENT = serving(
    Document(listen=(Listener(Address("127.0.0.1", 0)),), access_log=None, drain_timeout=0.0),
    proxy("p", "/p", "http://127.0.0.1:1", access_rule="@request.auth.id = 'ci'"),
)


@pytest.fixture
async def plane(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LocalPlane]:
    # Both are for a whole process, and would reach the other tests of this one.
    monkeypatch.setattr(local_plane, "tune_gc", lambda: None)
    monkeypatch.setattr(launch, "end_within", lambda *_: None)
    made = LocalPlane()
    yield made
    await made.aclose()


async def ask(in_force: InForce, *lines: str) -> str:
    """The reason with which a request of a caller is rejected, or fails."""
    client = await Client.connect(in_force.addresses[0])
    try:
        return code_of(await client.ask("/p", *lines))
    finally:
        client.close()


async def test_before_the_first_configuration_there_is_nothing_to_say(plane: LocalPlane) -> None:
    assert await plane.ping() == Health(False, ())
    assert (await plane.state(), await plane.breakers(), await plane.take_used()) == ({}, {}, {})
    assert (await plane.explain("p"), await plane.find("r"), await plane.reset_breaker("p", "ann")) == (
        None,
        None,
        False,
    )
    assert await plane.refusals(3, 10) == {"next": 0, "items": []}
    assert await plane.sample() == os.getpid()
    plane.reopen_log()
    plane.stop()
    await plane.until_drained()


async def test_credentials_that_came_first_hold_from_the_first_request_on(plane: LocalPlane) -> None:
    token = mint()
    await plane.identify(Credentials({digest(token): TokenRecord("ci", "ci")}))
    in_force = await plane.apply(DOCUMENT)
    assert await ask(in_force, f"Authorization: Bearer {token}") == "dial_failed"
    assert (await plane.take_used()).keys() == {digest(token)}
    await plane.identify(Credentials())
    assert await ask(in_force, f"Authorization: Bearer {token}") == "unauthenticated"


async def test_each_configuration_counts_once(plane: LocalPlane) -> None:
    first = await plane.apply(DOCUMENT)
    assert await plane.apply(replace(DOCUMENT)) == first
    assert (await plane.apply(replace(DOCUMENT, drain_timeout=1.0))).generation == first.generation + 1 == 2
    assert (await plane.state()).keys() == (await plane.breakers()).keys() == {"p"}
    explanation = await plane.explain("p")
    assert explanation is not None
    assert explanation["proxy"] == "p"


async def test_two_that_apply_the_first_configuration_start_one_data_plane(plane: LocalPlane) -> None:
    first, second = await asyncio.gather(plane.apply(DOCUMENT), plane.apply(replace(DOCUMENT)))
    assert first == second
    assert first.generation == 1


async def test_a_call_before_the_first_configuration_has_not_begun(plane: LocalPlane) -> None:
    with pytest.raises(UnsentError, match="serves nothing yet"):
        await plane.call(Asked("default", "get-user"))


async def test_a_first_configuration_that_can_not_be_served_leaves_nothing(plane: LocalPlane) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        await plane.apply(replace(DOCUMENT, listen=(Listener(Address(*taken.getsockname()[:2])),)))
    assert plane.gateway is None
    assert (await plane.apply(DOCUMENT)).generation == 1


async def test_refusals_are_found_again(plane: LocalPlane) -> None:
    in_force = await plane.apply(DOCUMENT)
    await ask(in_force, "X-Request-Id: r-1")
    refusals = await plane.refusals(0, 10)
    assert (refusals["next"], [line["reason"] for line in refusals["items"]]) == (1, ["unauthenticated"])
    found = await plane.find(str(refusals["items"][0]["request_id"]))
    assert found == refusals["items"][0]


async def test_who_connects_after_a_stop_waits_for_the_next_process(plane: LocalPlane) -> None:
    await plane.apply(DOCUMENT)
    assert plane.gateway is not None
    assert plane.gateway.addresses
    plane.stop()
    assert not plane.gateway.addresses, "in the same turn, and not when the drain begins"


async def test_a_stop_drains_and_a_second_one_cuts(plane: LocalPlane) -> None:
    in_force = await plane.apply(replace(DOCUMENT, drain_timeout=60.0))
    client = await Client.connect(in_force.addresses[0])
    await client.send(b"POST /p HTTP/1.1\r\nhost: h\r\ncontent-le")  # its request never ends
    drained = asyncio.ensure_future(plane.until_drained())
    await asyncio.sleep(0.05)
    assert not drained.done()
    plane.stop()
    assert (await plane.ping()).draining
    plane.stop()
    await eventually(drained.done, "the end")
    client.close()


async def test_what_is_prepared_is_served_when_it_is_committed(plane: LocalPlane) -> None:
    assert await plane.prepare(DOCUMENT) == Prepared(0, changed=True)
    assert await plane.state() == {}
    assert (await plane.commit(7)).generation == 7
    assert await plane.prepare(replace(DOCUMENT)) == Prepared(7, changed=False)
    assert (await plane.commit(9)).generation == 9, "the same configuration has another number in the fleet"
    changed = replace(DOCUMENT, drain_timeout=1.0)
    assert await plane.prepare(changed) == Prepared(9, changed=True)
    assert (await plane.report())["generation"] == 9
    assert (await plane.commit(10)).generation == 10
    assert plane.gateway is not None
    assert plane.gateway.document == changed


async def test_what_is_abandoned_leaves_nothing(plane: LocalPlane) -> None:
    await plane.prepare(DOCUMENT)
    await plane.abandon()
    with pytest.raises(OSError, match="no configuration was prepared"):
        await plane.commit(1)
    in_force = await plane.apply(DOCUMENT)
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]
    listen = (*DOCUMENT.listen, Listener(Address("127.0.0.1", port)))
    await plane.prepare(replace(DOCUMENT, listen=listen))
    await plane.abandon()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    assert await ask(in_force) == "unauthenticated"
    assert (await plane.apply(DOCUMENT)).generation == 1


async def test_a_worker_that_was_replaced_serves_one_more_request_on_each_connection(plane: LocalPlane) -> None:
    in_force = await plane.apply(replace(DOCUMENT, drain_timeout=60.0))
    client = await Client.connect(in_force.addresses[0])
    await client.send(b"GET /p HTTP/1.1\r\nhost: h\r\n\r\n")
    assert (await client.response()).status == 401
    drained = asyncio.ensure_future(plane.until_drained())
    plane.retire()
    plane.retire()
    await eventually(lambda: plane.gateway is not None and plane.gateway.server.draining, "the drain")
    assert not drained.done()
    await client.send(b"GET /p HTTP/1.1\r\nhost: h\r\n\r\n")
    response = await client.response()
    assert response.status == 401
    assert b"connection: close" in [line.lower() for line in response.lines]
    await eventually(drained.done, "the end")
    client.close()


async def test_an_idle_connection_goes_to_the_worker_that_takes_over(plane: LocalPlane) -> None:
    """The old process is over at once; the new one serves what the caller sends before and after."""
    ends = pair()
    handovers = [Handover(*(socket.socket(fileno=os.dup(end.fileno())) for end in ends)) for _ in range(2)]
    old, new = (LocalPlane(handover=handover) for handover in handovers)
    client = await Client.connect((await old.apply(replace(DOCUMENT, drain_timeout=60.0))).addresses[0])
    try:
        assert (await client.ask("/p")).status == 401
        await new.apply(DOCUMENT)
        old.retire()
        await asyncio.wait_for(old.until_drained(), LINGER_SECONDS / 2)
        await old.aclose()
        for _ in range(2):
            response = await client.ask("/p")
            assert response.status == 401
            assert response.get("connection") is None
        assert new.gateway is not None
        assert new.gateway.connections == 1
        client.close()
        await eventually(lambda: new.gateway is not None and new.gateway.connections == 0, "the end")
    finally:
        client.close()
        await old.aclose()
        await new.aclose()
        for end in (*handovers, *ends):
            end.close()


async def test_a_connection_whose_caller_has_left_is_not_adopted(plane: LocalPlane) -> None:
    await plane.apply(DOCUMENT)
    assert plane.gateway is not None
    sock = socket.socket()  # as one that was reset: it has no peer
    plane.gateway.server.adopt(sock)
    assert (sock.fileno(), plane.gateway.connections) == (-1, 0)


async def test_a_worker_that_stops_adopts_no_connection(plane: LocalPlane) -> None:
    await plane.apply(DOCUMENT)
    assert plane.gateway is not None
    await plane.gateway.drain(0)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname(), timeout=5) as caller,
    ):
        accepted, _ = listener.accept()
        plane.gateway.server.adopt(accepted)
        assert accepted.fileno() == -1
        assert caller.recv(1) == b""


async def test_an_idle_connection_does_not_keep_a_replaced_worker(
    plane: LocalPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_plane, "LINGER_SECONDS", 0.05)
    in_force = await plane.apply(replace(DOCUMENT, drain_timeout=60.0))
    client = await Client.connect(in_force.addresses[0])
    await client.send(b"GET /p HTTP/1.1\r\nhost: h\r\n\r\n")
    await client.response()
    plane.retire()
    await asyncio.wait_for(plane.until_drained(), 10)
    client.close()


def test_a_drain_in_one_line() -> None:
    assert [draining(count) for count in (0, 1, 2)] == [
        "draining: 0 connections",
        "draining: 1 connection",
        "draining: 2 connections",
    ]


async def test_what_serves_and_what_is_prepared_moves(monkeypatch: pytest.MonkeyPatch, plane: LocalPlane) -> None:
    moved = list[Gateway]()
    monkeypatch.setattr(Gateway, "move", lambda gateway: moved.append(gateway))
    plane.move()
    assert not moved
    await plane.prepare(DOCUMENT)
    plane.move()
    await plane.commit(1)
    plane.move()
    assert moved == [plane.gateway, plane.gateway]
