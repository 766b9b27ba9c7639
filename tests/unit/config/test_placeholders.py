import pytest

from gateway.config.placeholders import placeholders


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
