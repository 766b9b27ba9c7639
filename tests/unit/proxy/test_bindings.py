"""What is bound once is found again by its real address; real sockets, because the kernel decides what is in use."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator

import pytest

from gateway.core.address import Address
from gateway.proxy.bindings import Bindings, KeptBindings, close

FREE = Address("127.0.0.1", 0)


@pytest.fixture
async def bindings() -> AsyncIterator[Bindings]:
    made = Bindings()
    yield made
    made.close()


async def ports(bindings: Bindings, address: Address) -> dict[int, int]:
    """The ports of ``address`` by family."""
    sockets = await bindings.open(address)
    try:
        return {sock.family: sock.getsockname()[1] for sock in sockets}
    finally:
        close(sockets)


async def port(bindings: Bindings, address: Address) -> int:
    return (await ports(bindings, address))[socket.AF_INET]


def listens(port: int, host: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


async def test_an_address_keeps_its_port_until_it_is_wanted_no_more(bindings: Bindings) -> None:
    first = await port(bindings, FREE)
    assert await port(bindings, FREE) == first
    await bindings.keep([FREE])
    assert await port(bindings, FREE) == first
    await bindings.keep([])
    assert not listens(first)


@pytest.mark.parametrize("spelling", ["127.0.0.1", "localhost", "127.1"])
async def test_a_port_that_the_system_chose_can_be_written_down(bindings: Bindings, spelling: str) -> None:
    chosen = await port(bindings, Address(spelling, 0))
    for other in ("127.0.0.1", "localhost"):
        assert await port(bindings, Address(other, chosen)) == chosen
    await bindings.keep([Address("127.0.0.1", chosen)])
    assert listens(chosen)
    await bindings.keep([])
    assert not listens(chosen)


async def test_of_all_addresses_of_the_machine_one_can_stay(bindings: Bindings) -> None:
    every = await ports(bindings, Address("", 0))
    kept = Address("0.0.0.0", every[socket.AF_INET])
    assert await ports(bindings, kept) == {socket.AF_INET: kept.port}
    await bindings.keep([kept])
    assert listens(kept.port)
    assert socket.AF_INET6 not in every or not listens(every[socket.AF_INET6], "::1")


async def test_a_duplicate_alone_does_not_listen_on(bindings: Bindings) -> None:
    (given,) = await bindings.open(FREE)
    where = given.getsockname()[1]
    await bindings.keep([])
    assert not listens(where)
    with pytest.raises(OSError, match="Invalid argument"):
        given.accept()
    given.close()


async def test_what_fails_leaves_nothing_behind(bindings: Bindings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = Address("localhost", taken.getsockname()[1])
        with pytest.raises(OSError, match=r"listen: cannot listen on 127\.0\.0\.1:\d+: Address already in use; stop"):
            await bindings.open(busy)
        assert not listens(busy.port, "::1")
    assert await port(bindings, busy) == busy.port


@pytest.mark.parametrize("name", ["nowhere.invalid", f"{'x' * 64}.invalid"])
async def test_a_name_without_an_address_is_a_sentence(bindings: Bindings, name: str) -> None:
    with pytest.raises(OSError, match=rf"listen: cannot listen on {name}:80: .*; write an address of this machine"):
        await bindings.open(Address(name, 80))


async def test_after_the_end_nothing_is_opened() -> None:
    bindings = Bindings()
    chosen = await port(bindings, FREE)
    bindings.close()
    assert not listens(chosen)
    with pytest.raises(OSError, match="the gateway is stopping"):
        await bindings.open(FREE)


async def test_each_slot_has_a_socket_of_the_same_port() -> None:
    bindings = Bindings(3)
    address = Address("127.0.0.1", 0)
    found = [(await bindings.open(address, slot))[0] for slot in range(3)]
    try:
        (where,) = {sock.getsockname() for sock in found}
        callers = [socket.create_connection(where, timeout=5) for _ in range(60)]
        accepted = [_accepted(sock) for sock in found]
        assert sum(map(len, accepted)) == 60
        assert all(accepted), "the kernel spreads connections"
        close([*callers, *(sock for each in accepted for sock in each)])
        again = (await bindings.open(address, 1))[0]
        assert again.getsockname() == where
        again.close()
    finally:
        close(found)
        bindings.close()


def _accepted(listener: socket.socket) -> list[socket.socket]:
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(listener.accept()[0])
    return found


@pytest.mark.parametrize("shared", [False, True])
async def test_an_address_of_another_program_is_in_use_for_several_slots_too(*, shared: bool) -> None:
    with socket.socket() as other:
        if shared:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        bindings = Bindings(2)
        with pytest.raises(OSError, match="Address already in use"):
            await bindings.open(Address(*other.getsockname()))
        bindings.close()


async def test_an_address_is_open_while_one_slot_wants_it() -> None:
    bindings = Bindings(2)
    address = Address("127.0.0.1", 0)
    try:
        (first,), (second,) = await bindings.open(address, 0), await bindings.open(address, 1)
        where = first.getsockname()
        for slot in (0, 1):
            await bindings.keep([address], slot)
        await bindings.keep([], 0)
        socket.create_connection(where, timeout=5).close()
        await bindings.keep([], 1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(where, timeout=5)
        close([first, second])
    finally:
        bindings.close()


async def test_the_next_program_knows_what_is_bound_and_who_wants_it() -> None:
    before = Bindings(2)
    name = Address("localhost", 0)
    sockets = await before.open(name)
    there = [sock.getsockname() for sock in sockets]
    close(sockets)
    close(await before.open(FREE, 1))
    await before.keep([name])
    await before.keep([FREE], 1)
    kept: KeptBindings = json.loads(json.dumps(before.kept()))
    kept["bound"] = [[os.dup(each) for each in row] for row in kept["bound"]]
    after = Bindings(2, kept)
    try:
        sockets = await after.open(name)
        assert [sock.getsockname() for sock in sockets] == there
        close(sockets)
        own = await port(after, FREE)
        await after.keep([])
        assert listens(own), "slot 1 wants it still"
        await after.keep([], 1)
        before.close()
        assert not listens(own)
    finally:
        after.close()
        before.close()


def blocks(sock: socket.socket) -> bool:
    """For every process that has it, whatever Python there thinks of its own object."""
    return os.get_blocking(sock.fileno())


async def test_what_is_given_out_never_blocks_neither_after_a_takeover() -> None:
    before = Bindings()
    first = await before.open(FREE)
    kept: KeptBindings = json.loads(json.dumps(before.kept()))
    kept["bound"] = [[os.dup(each) for each in row] for row in kept["bound"]]
    after = Bindings(1, kept)
    second = await after.open(FREE)
    try:
        assert [blocks(sock) for sock in (*first, *second)] == [False, False]
        with pytest.raises(BlockingIOError):
            first[0].accept()
    finally:
        close((*first, *second))
        after.close()
        before.close()
