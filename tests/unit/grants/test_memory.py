"""The store in memory does what that of the database does (tests/store/test_grants.py)."""

from gateway.core.grant import IssuedTokens
from gateway.grants.memory import MemoryGrants

FIRST, SECOND = IssuedTokens("a1", "r1", 1.0, 2.0), IssuedTokens("a2", "", 2.0, 3.0)


async def test_a_lease_is_of_one_process_and_ends() -> None:
    grants = MemoryGrants()
    assert await grants.read("a") is None
    assert await grants.versions() == {}
    assert await grants.lease("a", "b", "p1", 0, 10.0, 20.0)
    assert not await grants.lease("a", "b", "p2", 0, 19.9, 30.0)
    assert not await grants.lease("a", "b", "p2", 1, 25.0, 30.0), "another version"
    assert await grants.lease("a", "b", "p2", 0, 20.0, 30.0)
    await grants.release("a", "p1", 0, "x")
    assert await grants.versions() == {"a": (0, "")}
    await grants.release("a", "p2", 0, "invalid_client")
    await grants.release("none", "p2", 0, "x")
    assert await grants.versions() == {"a": (0, "invalid_client")}


async def test_a_result_replaces_the_version_that_it_began_with() -> None:
    grants = MemoryGrants()
    assert not await grants.settle("a", "b", 0, FIRST)
    assert await grants.lease("a", "b", "p1", 0, 10.0, 20.0)
    assert await grants.settle("a", "b", 0, FIRST)
    assert not await grants.settle("a", "b", 0, SECOND)
    assert not await grants.settle("a", "other", 1, SECOND)
    assert await grants.settle("a", "b", 1, SECOND)
    kept = await grants.read("a")
    assert kept is not None
    assert (kept.access, kept.refresh, kept.version, kept.holder) == ("a2", "r1", 2, "")
    assert await grants.lease("a", "other", "p1", 2, 10.0, 20.0)
    kept = await grants.read("a")
    assert kept is not None
    assert (kept.access, kept.refresh, kept.version) == ("", "", 2)
