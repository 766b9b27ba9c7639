from gateway.actions.errors import INVALID_INPUT, MISCONFIGURED, InvalidCallError


def test_an_error_has_a_code_and_places() -> None:
    error = InvalidCallError("the input is wrong", [("a.b", "is missing")])
    assert (str(error), error.message, error.code) == ("the input is wrong", "the input is wrong", INVALID_INPUT)
    assert error.fields == [("a.b", "is missing")]
    assert InvalidCallError("x", code=MISCONFIGURED).code == "validation.misconfigured"
