import pytest
from pydantic import ValidationError

from gateway.config.schema.section import Section
from gateway.config.variables import Substituted


class Shelf(Section):
    width: float = 1
    books: int = 0
    open: bool = True
    label: str = ""


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("books", "5", 5),
        ("width", "1.5", 1.5),
        ("open", "false", False),
        ("label", "5", "5"),
        ("label", "true", "true"),
        ("label", "", ""),
    ],
)
def test_a_reference_becomes_what_the_field_needs(field: str, text: str, value: object) -> None:
    shelf = Shelf.model_validate({field: Substituted(text)})
    assert getattr(shelf, field) == value
    assert type(getattr(shelf, field)) is type(value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("books", "5"),
        ("books", True),
        ("books", 5.0),
        ("width", "1"),
        ("width", True),
        ("width", float("inf")),
        ("open", 1),
        ("open", "true"),
        ("label", 5),
        ("label", None),
        ("books", Substituted("five")),
        ("unknown", 1),
    ],
)
def test_nothing_else_is_converted(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Shelf.model_validate({field: value})


def test_a_whole_number_is_a_number() -> None:
    assert Shelf.model_validate({"width": 2}).width == 2


def test_an_error_does_not_show_the_value() -> None:
    with pytest.raises(ValidationError) as caught:
        Shelf.model_validate({"books": "s3cret"})
    assert "s3cret" not in str(caught.value)


def test_a_section_is_frozen() -> None:
    with pytest.raises(ValidationError):
        Shelf().books = 2
