from __future__ import annotations

from unit.scene import Clock

from gateway.policy.stores import MemoryStores


def test_each_machine_of_one_process_has_a_store_of_its_own() -> None:
    stores = MemoryStores(Clock())
    one, other = stores.permits("ai"), stores.permits("ai")
    one.resize(3)
    assert (one.limit, other.limit) == (3, 0)
    stores.breaker("ai", "http://a").begin(1.0)
    assert stores.breaker("ai", "http://a").word == 0
    stores.forget(one)
    assert (stores.permits("ai").limit, one.limit) == (0, 3)
    assert stores.learned("ai") is not stores.learned("ai")
    assert stores.census("ai") is None, "no other process has connections"
    assert stores.linger == 0.0, "no other process gets the permit"
    assert stores.processes == 1


def test_each_rate_limit_has_a_table_of_its_own() -> None:
    stores = MemoryStores(Clock())
    one, other = stores.rates("ai client", 8), stores.rates("ai client", 16)
    one.table.put(-1, 7, 2.0, 1.0)
    assert one.table.find(7) >= 0
    assert other.table.find(7) < 0
    assert len(other.table.hashes) == 16
    stores.forget(one)
    assert len(stores.seed) == 16
    assert stores.seed == stores.seed != MemoryStores(Clock()).seed
