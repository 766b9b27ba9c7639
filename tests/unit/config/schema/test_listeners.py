import pytest

from gateway.config.schema.listeners import as_listener, listed


def test_one_address_is_a_list_of_one() -> None:
    assert listed("127.0.0.1:1") == ("127.0.0.1:1",)
    assert listed(["127.0.0.1:1", {"address": "[::1]:1"}]) == ("127.0.0.1:1", {"address": "[::1]:1"})


def test_no_address_at_all_is_rejected() -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        listed([])


def test_text_stands_for_a_mapping_with_an_address() -> None:
    assert as_listener("127.0.0.1:1") == {"address": "127.0.0.1:1"}
    assert as_listener({"address": "127.0.0.1:1"}) == {"address": "127.0.0.1:1"}
    with pytest.raises(ValueError, match="must be an address"):
        as_listener(8080)
