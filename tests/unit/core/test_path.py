from __future__ import annotations

import pytest

from gateway.core.path import canonical, climbs, forms, is_plain, leads_to, readings, resolved


@pytest.mark.parametrize("path", [b"/", b"/a/b", b"/a.b/c-d_e~f", b"/-/ai/v1", b"/a:b@c,d=e", b"/a/"])
def test_most_paths_are_plain(path: bytes) -> None:
    assert is_plain(path)
    assert forms(path) == []
    assert canonical(path) == path


@pytest.mark.parametrize(
    ("path", "form"),
    [
        (b"//a///b", b"/a/b"),
        (b"/%61%62", b"/ab"),
        (b"/%2561", b"/a"),
        (b"/%25252525%32%35%36%31", b"/a"),
        (b"/a/./b/../c", b"/a/c"),
        (b"/a/%2e%2E/b", b"/b"),
        (b"/a%2fb", b"/a/b"),
        (b"/a%252Fb", b"/a/b"),
        (b"/a\\b%5Cc", b"/a/b/c"),
        (b"/a;p=1/b;q", b"/a/b"),
        (b"/a/..;x/b", b"/b"),
        (b"/..", b"/"),
        (b"/a//", b"/a/"),
        (b"/a/b/..", b"/a/"),
        (b"/a%2f", b"/a/"),
        (b"/a%zz%", b"/a%zz%"),
        (b"/caf%C3%A9", b"/caf\xc3\xa9"),
    ],
)
def test_the_canonical_form(path: bytes, form: bytes) -> None:
    assert canonical(path) == form
    assert canonical(form) == form


def test_back_ends_differ_in_what_they_do_first() -> None:
    """A servlet container drops parameters before it decodes, others after it; some resolve plain dots first of all."""
    assert readings(b"/a;%2fz/b") == [[b"a", b"z", b"b"], [b"a", b"b"]]
    assert readings(b"/q/a/%2e%2e/../b") == [[b"q", b"a", b"..", b"..", b"b"], [b"q", b"a", b"b"]]
    assert forms(b"/x/../%2e%2e/a") == [b"/x/../../a", b"/a", b"/../a"]


def test_more_layers_than_can_be_read() -> None:
    assert canonical(b"/%%%3361") == b"/a"
    path = b"/" + b"%" * 40 + b"3" * 39 + b"61"
    assert readings(path) == []
    for look in (forms, canonical):
        with pytest.raises(ValueError, match="too many times"):
            look(path)


def test_a_percent_encoded_a_thousand_times_is_read_at_once() -> None:
    assert canonical(b"/%" + b"25" * 5000 + b"61") == b"/a"


def test_dots() -> None:
    assert resolved([b"a", b"..", b"..", b"b"]) == [b"b"]
    assert climbs([b"a", b"..", b"..", b"b"])
    assert not climbs([b"a", b"..", b"b", b".."])


@pytest.mark.parametrize(
    ("segments", "leads"),
    [
        ("admin x", True),
        ("x admin", False),
        ("x .. admin", True),
        ("x .. admin ..", True),
        ("x .. y admin", False),
        ("admin .. x", True),
        ("Admin", False),
        ("", False),
    ],
)
def test_where_segments_lead(segments: str, leads: bool) -> None:
    assert leads_to(segments.encode().split(), [b"admin"]) is leads


def test_where_segments_lead_over_two_names() -> None:
    assert leads_to([b"a", b"x", b"..", b"b"], [b"a", b"b"])
    assert leads_to([b"a", b"..", b"a", b"b", b".."], [b"a", b"b"])
    assert not leads_to([b"a", b"x", b"b"], [b"a", b"b"])
    assert leads_to([b"anything"], [])
