from collections.abc import Mapping

import pytest

from gateway.actions.errors import FORBIDDEN_FIELD, InvalidCallError
from gateway.actions.fields import FieldLayers, Layered, check_value
from gateway.config.actions import FieldPolicy

Layers = list[Mapping[str, str | None]]
NAMES = ("connection", "action", "input")
PLAIN = FieldPolicy()


def fields(*layers: Mapping[str, str | None], policy: FieldPolicy = PLAIN) -> tuple[Layered, ...]:
    found = FieldLayers(policy)
    for layer, name in zip(layers, NAMES, strict=False):
        found.put(layer, name)
    return found.permitted([])


@pytest.mark.covers("ACT-10")
@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([{"X-A": "1"}, {"x-a": "2"}], [("x-a", "2", "action")]),
        ([{"X-A": "1"}, {}, {"x-A": None}], []),
        ([{"X-A": "1"}, {"X-B": "2"}], [("X-A", "1", "connection"), ("X-B", "2", "action")]),
        ([{" X-A ": "1"}], [("X-A", "1", "connection")]),
        ([{"Accept": "text/html, a/b"}, {"accept": "a/b,c/d"}], [("Accept", "a/b, c/d, text/html", "action")]),
        ([{"Accept": 'a/b;q="x,y"'}, {"Accept": "c/d"}], [("Accept", 'a/b;q="x,y", c/d', "action")]),
        ([{"Cache-Control": "no-cache"}, {}, {"cache-control": ""}], [("Cache-Control", "no-cache", "input")]),
        ([{"Cookie": "a=1; b=2"}, {"Cookie": "b=3; c=4"}], [("Cookie", "a=1; b=3; c=4", "action")]),
        ([{"Accept": "a/b"}, {"Accept": None}, {"Accept": "c/d"}], [("Accept", "c/d", "input")]),
    ],
)
def test_layers_replace_remove_or_add(layers: Layers, expected: list[tuple[str, str, str]]) -> None:
    assert list(fields(*layers)) == expected


@pytest.mark.covers("ACT-10")
@pytest.mark.parametrize("name", [*FieldPolicy().denied, "HOST", "Transfer-Encoding", " connection "])
def test_a_denied_field_is_left_out_with_a_warning_or_an_error(name: str) -> None:
    layers, warnings = FieldLayers(FieldPolicy()), list[str]()
    layers.put({name: "x", "X-A": "1"}, "input")
    assert layers.permitted(warnings) == (("X-A", "1", "input"),)
    assert warnings == [f"the header field {name.strip()} of the input may not be set, and is left out"]
    with pytest.raises(InvalidCallError, match="may not be set") as caught:
        fields({name: "s3cret"}, policy=FieldPolicy(drop_denied=False))
    assert caught.value.code == FORBIDDEN_FIELD
    assert "s3cret" not in f"{caught.value} {caught.value.fields}"


@pytest.mark.covers("ACT-10")
@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        *[("X-A", f"s3cret{bad}Host: evil", "line break or another control") for bad in "\r\n\0\x0b\x1f\x7f"],
        ("X-A", "s3cret Ω", "outside Latin-1"),
        ("X-A", "s3cret\ud800", "outside Latin-1"),
        *[(name, "s3cret", "has a name that is none") for name in ("", "X A", "X:A", "X\r\nY", "X\0", "Ä", "\u212aey")],
        ("X-A", "s3cret" + "x" * 8187, "too long"),
        *[("X-A", f"s3cret {bad}", "looks like a script") for bad in ("<SCRIPT>", "javascript:x", "Data:text/html")],
    ],
)
def test_what_no_field_may_carry_is_an_error_without_the_value(name: str, value: str, says: str) -> None:
    with pytest.raises(InvalidCallError, match=says) as caught:
        fields({name: value})
    assert "s3cret" not in f"{caught.value} {caught.value.fields}"
    assert caught.value.code == FORBIDDEN_FIELD


@pytest.mark.parametrize("value", ["", "a\tb", "é", "x" * 8192, "metadata: x"])
def test_what_a_field_may_carry(value: str) -> None:
    assert fields({"X-A": value}) == (("X-A", value, "connection"),)


def test_scripts_pass_when_the_policy_says_so_but_control_characters_do_not() -> None:
    policy = FieldPolicy(refuse_scripts=False)
    assert fields({"X-A": "data:x"}, policy=policy) == (("X-A", "data:x", "connection"),)
    with pytest.raises(InvalidCallError, match="control character"):
        fields({"X-A": "a\nb"}, policy=policy)


@pytest.mark.covers("ACT-10")
def test_the_number_of_fields_is_bounded() -> None:
    assert len(fields({f"X-{number}": "1" for number in range(64)})) == 64
    with pytest.raises(InvalidCallError, match="has 65 header fields, and may have 64"):
        fields({f"X-{number}": "1" for number in range(65)})


@pytest.mark.covers("ACT-10")
@pytest.mark.parametrize(("content_type", "passes"), [("application/JSON; charset=utf-8", True), ("text/plain", False)])
def test_content_types_are_those_of_the_policy(content_type: str, passes: bool) -> None:
    policy = FieldPolicy(content_types=("application/json",))
    assert fields({"X-A": "1"}, policy=policy)
    if passes:
        assert fields({"Content-Type": content_type}, policy=policy)
        return
    with pytest.raises(InvalidCallError, match="none of application/json"):
        fields({"Content-Type": content_type}, policy=policy)


def test_names_and_fields_can_be_asked_for() -> None:
    layers = FieldLayers(FieldPolicy())
    layers.put({"X-A": "1"}, "input")
    assert layers.names() == ["x-a"]
    assert layers.get("X-a") == ("X-A", "1", "input")
    assert layers.get("X-B") is None


def test_a_credential_is_checked_too() -> None:
    check_value("Authorization", "Bearer x", "auth")
    with pytest.raises(InvalidCallError, match="control character"):
        check_value("Authorization", "Bearer x\r\n", "auth")
