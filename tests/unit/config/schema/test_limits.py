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
