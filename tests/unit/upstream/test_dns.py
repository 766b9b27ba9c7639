"""Resolution by a real name server on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from harness.dns import NameServer, name_server
from harness.patience import eventually

from gateway.config.records import Endpoint, Upstream
from gateway.upstream import dns
from gateway.upstream.dns import Answer, Resolver
from gateway.upstream.names import Names

Make = Callable[[], Resolver]


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    async with name_server() as made:
        yield made


@pytest.fixture
async def resolver(server: NameServer) -> AsyncIterator[Resolver]:
    made = Resolver(["127.0.0.1"], server.port)
    yield made
    await made.aclose()


async def test_the_addresses_of_both_families_and_their_time_to_live(server: NameServer, resolver: Resolver) -> None:
    server.table["ai.test"] = ["10.0.0.2", "10.0.0.1", "fd00::1"]
    server.ttl = 7
    found = await resolver("AI.test")
    assert sorted(found.addresses) == ["10.0.0.1", "10.0.0.2", "fd00::1"]
    assert found.ttl == 7


async def test_a_name_of_the_hosts_file_has_no_time_to_live(resolver: Resolver) -> None:
    found = await resolver("localhost")
    assert found.ttl is None
    assert "127.0.0.1" in found.addresses


async def test_an_answer_that_may_not_be_cached_is_valid_for_an_unknown_time(
    server: NameServer, resolver: Resolver
) -> None:
    server.table["ai.test"] = ["10.0.0.1"]
    server.ttl = 0
    assert await resolver("ai.test") == Answer(("10.0.0.1",), None)


async def test_what_dns_does_not_know_is_resolved_by_the_system(
    server: NameServer, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def by_directory(host: str) -> Answer:
        if host != "printer.local":
            raise OSError("Name or service not known")
        return Answer(("192.0.2.7",))

    assert "127.0.0.1" in (await dns._by_system("localhost")).addresses
    monkeypatch.setattr(dns, "_by_system", by_directory)
    server.table["empty.test"] = []
    assert await resolver("printer.local") == Answer(("192.0.2.7",))
    for name in ("nowhere.test", "empty.test"):
        with pytest.raises(OSError, match="not known"):
            await resolver(name)


async def test_a_name_server_that_fails_is_an_error_with_its_words(server: NameServer, resolver: Resolver) -> None:
    server.fails = True
    with pytest.raises(OSError, match=r"(?i)dns server|server failure|refused"):
        await resolver("ai.test")


async def test_it_resolves_again_after_it_was_closed(server: NameServer, resolver: Resolver) -> None:
    server.table["ai.test"] = ["10.0.0.1"]
    await resolver("ai.test")
    await resolver.aclose()
    assert (await resolver("ai.test")).addresses == ("10.0.0.1",)


async def test_a_new_address_is_found_when_the_answer_before_is_no_longer_valid(
    server: NameServer, resolver: Resolver
) -> None:
    """The interval alone would find it after an hour."""
    server.table["ai.test"] = ["10.0.0.1"]
    server.ttl = 1
    changes: list[int] = []
    ai = Upstream("ai", (Endpoint("http://ai.test:9000", expand_dns=True, dns_interval=3600.0),))
    names = Names(lambda: changes.append(1), resolver)
    await names.learn([ai])
    names.follow([ai])
    server.table["ai.test"] = ["10.0.0.2"]
    await eventually(lambda: changes != [])
    assert [each.address for each in names.expanded(ai).endpoints] == ["10.0.0.2"]
    await names.aclose()
