import pytest

from gateway.actions import eras


@pytest.mark.parametrize(
    ("code", "older", "newer"),
    [
        (eras.PARSE_ERROR, 400, 400),
        (eras.INVALID_REQUEST, 400, 400),
        (eras.HEADER_MISMATCH, 400, 400),
        (eras.UNSUPPORTED_VERSION, 400, 400),
        (eras.INVALID_PARAMS, 200, 400),
        (eras.METHOD_NOT_FOUND, 200, 404),
        (-32603, 200, 200),
    ],
)
def test_the_status_of_an_error_is_that_of_its_era(code: int, older: int, newer: int) -> None:
    assert (eras.status_of(code, modern=False), eras.status_of(code, modern=True)) == (older, newer)


def test_no_version_is_of_both_eras() -> None:
    assert not set(eras.MODERN) & set(eras.LEGACY)
    assert sorted(eras.SUPPORTED, reverse=True) == list(eras.SUPPORTED)
