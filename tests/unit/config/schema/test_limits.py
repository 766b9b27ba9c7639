import pytest
from pydantic import ValidationError

from gateway.config.schema.limits import Limits
from gateway.core.limits import AUTO


@pytest.mark.parametrize(("written", "kept"), [("auto", AUTO), (0, 0), (10_000, 10_000)])
def test_connections_are_a_number_or_auto(written: object, kept: int) -> None:
    assert Limits.model_validate({"max_connections": written}).max_connections == kept


@pytest.mark.parametrize(("written", "hint"), [("many", 'or "auto"'), (-1, "at least 0"), (1 << 21, "less than")])
def test_other_connections_are_rejected(written: object, hint: str) -> None:
    with pytest.raises(ValidationError, match=hint):
        Limits.model_validate({"max_connections": written})


@pytest.mark.parametrize("lag", [0, 0.05, 60])
def test_the_lag_that_sheds_load_is_none_or_above_noise(lag: float) -> None:
    assert Limits(shed_loop_lag=lag).shed_loop_lag == lag


@pytest.mark.parametrize(("lag", "hint"), [(0.01, "at least 0.05"), (-1, "greater than"), (61, "less than")])
def test_other_lags_are_rejected(lag: float, hint: str) -> None:
    with pytest.raises(ValidationError, match=hint):
        Limits(shed_loop_lag=lag)
