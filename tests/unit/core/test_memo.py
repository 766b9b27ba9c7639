from gateway.core.memo import Memo


def test_the_entry_that_was_put_longest_ago_makes_room() -> None:
    memo: Memo[str, int] = Memo(2)
    for number, key in enumerate("abc"):
        memo.put(key, number)
    assert memo == {"b": 1, "c": 2}


def test_putting_renews_and_reading_does_not() -> None:
    memo: Memo[str, int] = Memo(2)
    memo.put("a", 1)
    memo.put("b", 1)
    memo.put("a", 2)
    assert memo.get("b") == 1
    memo.put("c", 1)
    assert memo == {"a": 2, "c": 1}


def test_a_full_one_keeps_all_when_a_known_key_is_put() -> None:
    memo: Memo[str, int] = Memo(2)
    memo.put("a", 1)
    memo.put("b", 1)
    memo.put("b", 2)
    assert memo == {"a": 1, "b": 2}
