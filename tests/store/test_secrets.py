"""Secrets at rest: encrypted, bound to their row, readable with the right key alone."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from gateway.store.database import Database
from gateway.store.errors import KeyProblem, NotFound, StoreError
from gateway.store.keys import KeyRing
from gateway.store.secrets import mask
from gateway.store.store import Store

OLD, NEW = "11" * 32, "33" * 32


async def run(url: str, statement: str) -> list[tuple[object, ...]]:
    database = Database(url)
    try:
        async with database.writing() as connection:
            result = await connection.execute(text(statement))
            return [tuple(row) for row in result] if result.returns_rows else []
    finally:
        await database.aclose()


async def test_a_secret_is_masked_everywhere_but_where_it_is_needed(store: Store, url: str) -> None:
    made = await store.secrets.put("KEY", "sk-live-1234567890", "root@x", "for the upstream")
    assert (made.masked, made.version, made.description) == ("****7890", 1, "for the upstream")
    assert await store.secrets.reveal() == {"KEY": "sk-live-1234567890"}
    again = await store.secrets.put("KEY", "sk-live-0987654321", "root@x")
    assert (again.version, again.description, again.created) == (2, "for the upstream", made.created)
    assert await store.secrets.list() == [again]
    assert await store.secrets.get("KEY") == again
    assert await store.secrets.get("NONE") is None
    everything = repr([await run(url, f"SELECT * FROM {t}") for t in ("secrets", "audit", "revision")])
    assert "sk-live" not in everything + repr(made) + repr(store.secrets.__dict__)


async def test_delete(store: Store) -> None:
    await store.secrets.put("KEY", "value", "t")
    await store.secrets.delete("KEY", "t")
    with pytest.raises(NotFound):
        await store.secrets.delete("KEY", "t")
    assert await store.secrets.reveal(["KEY"]) == {}


async def test_writers_of_the_same_secret_come_one_after_the_other(store: Store) -> None:
    made = await asyncio.gather(*(store.secrets.put("KEY", f"value {n}", "t") for n in range(6)))
    assert sorted(secret.version for secret in made) == [1, 2, 3, 4, 5, 6]
    last = max(range(6), key=lambda n: made[n].version)
    assert await store.secrets.reveal() == {"KEY": f"value {last}"}


async def test_a_value_that_is_put_during_a_change_of_keys_is_kept(store: Store, url: str) -> None:
    await asyncio.gather(*(store.secrets.put(f"K{n}", "old", "t") for n in range(10)))
    both = await Store.open(url, KeyRing.of(f"{NEW},{OLD}"))
    await asyncio.gather(both.secrets.rekey("cli"), *(both.secrets.put(f"K{n}", "new", "t") for n in range(10)))
    assert set((await both.secrets.reveal()).values()) == {"new"}
    await both.aclose()


@pytest.mark.parametrize(("key", "value"), [("k" * 257, "s3cret"), ("K", "s3cret" * 1000), ("K", "s3cret\udcff")])
async def test_a_secret_that_is_refused_does_not_show(store: Store, key: str, value: str) -> None:
    with pytest.raises(StoreError) as caught:
        await store.secrets.put(key, value, "t")
    assert "s3cret" not in str(caught.value)
    assert await store.secrets.list() == []


async def test_a_ciphertext_that_is_moved_to_another_row_does_not_decrypt(store: Store, url: str) -> None:
    await store.secrets.put("A", "value of a", "t")
    await store.secrets.put("B", "value of b", "t")
    await run(url, "UPDATE secrets SET value = (SELECT value FROM secrets s WHERE s.key = 'A') WHERE key = 'B'")
    assert await store.secrets.reveal(["A"]) == {"A": "value of a"}
    with pytest.raises(KeyProblem, match="moved to another row"):
        await store.secrets.reveal(["B"])


async def test_keys_are_exchanged_one_after_the_other(store: Store, url: str) -> None:
    await store.secrets.put("A", "value of a", "t")
    both = await Store.open(url, KeyRing.of(f"{NEW},{OLD}"))
    assert await both.secrets.reveal() == {"A": "value of a"}
    assert await both.secrets.rekey("cli") == 1
    assert await both.secrets.rekey("cli") == 0
    await both.aclose()
    new = await Store.open(url, KeyRing.of(NEW))
    assert await new.secrets.reveal() == {"A": "value of a"}
    await new.aclose()
    with pytest.raises(KeyProblem, match="a key that is not here"):
        await store.secrets.reveal()


@pytest.mark.parametrize(("value", "shown"), [("", "****"), ("x" * 11, "****"), ("abcdefgh1234", "****1234")])
def test_mask(value: str, shown: str) -> None:
    assert mask(value) == shown


async def test_where_a_secret_may_be_sent_to(store: Store) -> None:
    await store.secrets.put("A", "v", "ann", origins=["https://a", "https://b"])
    await store.secrets.put("B", "v", "ann")
    assert await store.secrets.bound() == {"A": frozenset({"https://a", "https://b"})}
    assert (await store.secrets.put("A", "w", "ann")).origins == ("https://a", "https://b")
    before = await store.revision()
    assert (await store.secrets.bind("A", [], "ann")).origins == ()
    assert await store.revision() > before  # others have to hear of it
    assert await store.secrets.bound() == {}
    assert await store.secrets.reveal() == {"A": "w", "B": "v"}
    with pytest.raises(NotFound):
        await store.secrets.bind("NONE", [], "ann")
    with pytest.raises(StoreError, match="too many"):
        await store.secrets.bind("A", [f"https://{number}.example.org" for number in range(1000)], "ann")
