"""Key sets of issuers in both databases."""

from __future__ import annotations

from gateway.store.keys import KeyRing
from gateway.store.store import Store


async def test_key_sets_are_kept_by_their_address_and_change_no_configuration(store: Store, url: str) -> None:
    assert await store.key_sets.load() == {}
    before = await store.revision()
    assert await store.key_sets.save({"https://a/k": '{"keys":[]}', "https://b/k": "B"})
    assert await store.key_sets.save({"https://b/k": "B2"})
    again = await Store.open(url, KeyRing.of("11" * 32))
    assert await again.key_sets.load() == {"https://a/k": '{"keys":[]}', "https://b/k": "B2"}
    await again.aclose()
    assert await store.revision() == before


async def test_an_address_that_is_too_long_is_left_out(store: Store) -> None:
    assert await store.key_sets.save({"https://a/" + "x" * 3000: "A"})  # again would not help
    assert await store.key_sets.load() == {}
