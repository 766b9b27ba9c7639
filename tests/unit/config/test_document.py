import dataclasses

import pytest

from gateway.config.document import Document, Header, Proxy


def test_header_values_are_kept_out_of_the_representation() -> None:
    proxy = Proxy("a", "/a", "http://h", headers=(Header("Authorization", ("s3cret",)),))
    assert "s3cret" not in repr(Document(proxies=(proxy,)))


def test_documents_are_compared_by_value_headers_too() -> None:
    """A reload of an unchanged file is seen to be one, and a new secret is seen to be new."""
    one, same, other = (Proxy("a", "/a", "http://h", headers=(Header("X", (value,)),)) for value in ("1", "1", "2"))
    assert Document(proxies=(one,)) == Document(proxies=(same,))
    assert Document(proxies=(one,)) != Document(proxies=(other,))


def test_a_document_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Document().drain_timeout = 1.0  # type: ignore[misc]
