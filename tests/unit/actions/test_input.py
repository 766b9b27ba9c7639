from typing import Any

import pytest

from gateway.actions.errors import InvalidCallError
from gateway.actions.input import InputCheck, InvalidSchemaError, schema_of
from gateway.config.actions import Action, Parameter

OWNER = Parameter("owner", "path", {"type": "string", "maxLength": 3}, required=True)
LIMIT = Parameter("limit", "query", {"type": "integer"}, required=True, default=20)


def action(*parameters: Parameter, schema: dict[str, Any] | None = None) -> Action:
    return Action("a", "c", parameters=parameters, input_schema=schema)


def test_the_schema_follows_from_the_parameters() -> None:
    assert schema_of(action(OWNER, LIMIT)) == {
        "type": "object",
        "properties": {"owner": {"type": "string", "maxLength": 3}, "limit": {"type": "integer", "default": 20}},
        "required": ["owner"],
        "additionalProperties": False,
    }
    assert schema_of(action()) is None
    assert schema_of(action(OWNER, schema={"minProperties": 1})) == {"minProperties": 1}


@pytest.mark.parametrize(
    ("given", "places"),
    [
        ({}, ["input"]),
        ({"owner": "s3cret"}, ["owner"]),
        ({"owner": 3}, ["owner"]),
        ({"owner": "ada", "limit": "s3cret"}, ["limit"]),
        ({"owner": "ada", "other": "s3cret"}, ["input"]),
        ({"owner": "s3cret", "limit": "s3cret"}, ["limit", "owner"]),
    ],
)
def test_what_does_not_fit_is_named_by_its_place_and_without_its_value(
    given: dict[str, Any], places: list[str]
) -> None:
    with pytest.raises(InvalidCallError) as caught:
        InputCheck(action(OWNER, LIMIT)).check(given)
    assert sorted(place for place, _ in caught.value.fields) == places
    assert "s3cret" not in f"{caught.value} {caught.value.fields}"


def test_what_fits_passes_and_everything_fits_an_action_without_a_schema() -> None:
    InputCheck(action(OWNER, LIMIT)).check({"owner": "ada"})
    InputCheck(action()).check({"anything": [1]})


def test_the_number_of_places_is_bounded() -> None:
    check = InputCheck(action(schema={"additionalProperties": {"type": "integer"}}))
    with pytest.raises(InvalidCallError) as caught:
        check.check({f"p{number}": "x" for number in range(20)})
    assert len(caught.value.fields) == 10


def test_a_schema_that_is_none_is_named() -> None:
    with pytest.raises(InvalidSchemaError, match="is no JSON Schema"):
        InputCheck(action(schema={"type": 3}))


@pytest.mark.parametrize("place", ["owner", "other"])
def test_an_input_that_is_too_deep_is_rejected(place: str) -> None:
    value: Any = "s3cret"
    for _ in range(1000):
        value = [value]
    with pytest.raises(InvalidCallError, match="nested too deeply") as caught:
        InputCheck(action(OWNER, LIMIT)).check({place: value})
    assert [where for where, _ in caught.value.fields] == ["input"]
