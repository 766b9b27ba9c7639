import pytest

from gateway.config.placeholders import parts, placeholders, quoted, without_places


@pytest.mark.parametrize(
    ("template", "names"),
    [
        ("/orders/{id}", ["id"]),
        ("{a}-{b-c}{a}", ["a", "b-c", "a"]),
        ("{1}{}{ a }{a.b}", []),
        ({"title": "{title}", "list": ["{x}", {"deep": ("{y}",)}], "number": 3}, ["title", "x", "y"]),
        (None, []),
    ],
)
def test_names_are_found_in_texts_and_structures(template: object, names: list[str]) -> None:
    assert list(placeholders(template)) == names


@pytest.mark.parametrize("text", ["{id}", "a{b}c", "{", "{char.brace}", "{{id}}", "no brace", "}"])
def test_a_quoted_text_stands_for_itself(text: str) -> None:
    assert list(placeholders(quoted(text))) == []
    assert parts(f"x{quoted(text)}y") == [f"x{text}y"]


def test_texts_and_the_names_between_them() -> None:
    assert parts("{a}/{b}/{char.brace}b}") == ["", "a", "/", "b", "/{b}"]
    assert without_places("{a} x {char.brace}b}") == " x b}"
