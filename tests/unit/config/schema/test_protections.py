import pytest
from pydantic import ValidationError

from gateway.config.schema.protections import CircuitBreaker


@pytest.mark.parametrize(
    "rule", [{"failure_threshold": 1}, {"failure_rate": 0.5}, {"slow_rate": 0.5, "slow_call": 1.0}]
)
def test_one_rule_is_enough_for_a_breaker(rule: dict[str, object]) -> None:
    assert CircuitBreaker.model_validate({"enabled": True, "failure_threshold": 0} | rule).enabled
    assert not CircuitBreaker.model_validate({"failure_threshold": 0}).enabled


def test_a_breaker_without_a_rule_is_refused() -> None:
    with pytest.raises(ValidationError, match="nothing opens this breaker"):
        CircuitBreaker.model_validate({"enabled": True, "failure_threshold": 0})


def test_a_wrong_rate_of_slow_calls_is_the_only_finding() -> None:
    with pytest.raises(ValidationError) as caught:
        CircuitBreaker.model_validate({"slow_rate": 2, "slow_call": 1.0})
    assert [error["loc"] for error in caught.value.errors()] == [("slow_rate",)]


def test_statuses_have_one_form_however_they_are_written() -> None:
    section = CircuitBreaker.model_validate({"failure_statuses": [429, " 503", "500 - 504", "599-599"]})
    assert section.failure_statuses == ("429", "503", "500-504", "599")
    with pytest.raises(ValidationError):
        CircuitBreaker.model_validate({"failure_statuses": [True]})
