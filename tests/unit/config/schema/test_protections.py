import pytest
from pydantic import ValidationError

from gateway.config.schema.protections import Queue


@pytest.mark.parametrize("half", [{"max_waiting": 5}, {"timeout": 1.0}])
def test_a_queue_needs_places_and_a_time(half: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="a queue needs max_waiting and timeout"):
        Queue.model_validate(half)


def test_a_wrong_number_of_places_is_the_only_finding() -> None:
    with pytest.raises(ValidationError) as caught:
        Queue.model_validate({"max_waiting": -1, "timeout": 1.0})
    assert [error["loc"] for error in caught.value.errors()] == [("max_waiting",)]
