import pytest

from gateway.config import header

ENV = {"KEY": "s3cret", "EMPTY": "", "LINES": "s3cret\r\nX-Evil: 1", "TRAILING": "s3cret\n", "EMOJI": "s3cret☃"}


@pytest.mark.parametrize("text", ["Authorization", "X-Api-Key", "x_1", "!#$%&'*+-.^_`|~"])
def test_a_token_is_a_name(text: str) -> None:
    assert header.name(text) == text


@pytest.mark.parametrize("text", ["", "a b", "a:", "ä", "a\n", "(x)", "a/b"])
def test_what_is_no_token_is_no_name(text: str) -> None:
    with pytest.raises(ValueError, match="use letters, digits"):
        header.name(text)


@pytest.mark.parametrize(
    "text",
    [
        "Connection",
        "KEEP-ALIVE",
        "Proxy-Connection",
        "te",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Content-Length",
        "expect",
    ],
)
def test_fields_of_the_connection_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the gateway sets it; remove it"):
        header.name(text)


def test_host_is_refused_with_the_way_to_go() -> None:
    with pytest.raises(ValueError, match="use preserve_host"):
        header.name("HOST")


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("plain", "plain"),
        ("Bearer {env.KEY}", "Bearer s3cret"),
        ("{env.KEY}-{env.KEY}", "s3cret-s3cret"),
        ("{env.EMPTY}", ""),
        ("  padded\t", "padded"),
        ("a\tb", "a\tb"),
        ('{"json": {"x": 1.5}}', '{"json": {"x": 1.5}}'),
        ("caf\u00e9", "caf\u00e9"),
    ],
)
def test_value(text: str, sent: str) -> None:
    assert header.value(text, ENV) == sent


def test_a_variable_is_not_a_template_again() -> None:
    assert header.value("{env.A}", {"A": "{env.B}"}) == "{env.B}"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("{env.NOPE}", "the variable NOPE of {env.NOPE} is not set; set it"),
        ("{env.1X}", "{env.NAME} with a name of"),
        ("{env.}", "{env.NAME} with a name of"),
        ("{secret.KEY}", "{secret.NAME} does not exist yet; use {env.NAME}"),
        ("@request.auth.id", "@request templates do not exist yet; remove"),
        ("{request.id}", "unknown template"),
        ("{ENV.KEY}", "unknown template"),
        ("{env.LINES}", "line break"),
        ("{env.TRAILING}", "line break"),
        ("{env.EMOJI}", "Latin-1"),
        ("a\x00b", "control character"),
        ("a\x7fb", "control character"),
    ],
)
def test_value_refuses_without_telling_the_secret(text: str, hint: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the sentence is looked at below
        header.value(text, ENV)
    assert hint in str(caught.value)
    assert "s3cret" not in repr(caught.value)
