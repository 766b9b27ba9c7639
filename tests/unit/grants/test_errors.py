import pytest

from gateway.grants.errors import NotAuthorizedError, ProviderAwayError, ProviderRefusedError


@pytest.mark.parametrize(
    ("error", "ends"),
    [("invalid_grant", True), ("access_denied", True), ("invalid_client", False), ("http_4", False)],
)
def test_some_errors_end_a_grant(error: str, ends: bool) -> None:
    assert ProviderRefusedError(error).ends_grant is ends
    assert str(ProviderRefusedError(error)) == f"the identity provider refuses: {error}"


def test_an_error_says_what_is_missing() -> None:
    assert NotAuthorizedError("x", bound=True).lack == "not_authorized"
    assert NotAuthorizedError("x", bound=False).lack == "unbound"
    assert ProviderAwayError("x").wait == 0.0
