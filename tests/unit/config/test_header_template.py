import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import header_template
from gateway.config.records import AuthField, Missing, Part

ENV = {"KEY": "s3cret", "EMPTY": "", "LINES": "s3cret\r\nX-Evil: 1", "TRAILING": "s3cret\n", "EMOJI": "s3cret☃"}


@pytest.mark.parametrize("text", ["Authorization", "X-Api-Key", "x_1", "!#$%&'*+-.^_`|~"])
def test_a_token_is_a_name(text: str) -> None:
    assert header_template.name(text) == text


@pytest.mark.parametrize("text", ["", "a b", "a:", "ä", "a\n", "(x)", "a/b"])
def test_what_is_no_token_is_no_name(text: str) -> None:
    with pytest.raises(ValueError, match="use letters, digits"):
        header_template.name(text)


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
        header_template.name(text)


def test_host_is_refused_with_the_way_to_go() -> None:
    with pytest.raises(ValueError, match="use preserve_host"):
        header_template.name("HOST")


CONTEXT = header_template.Context(ENV, {"API_KEY"})
SECRETS = {"API_KEY": "sk-1", "LINES": "a\nb", "EMOJI": "\u2603"}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("plain", ("plain",)),
        ("Bearer {env.KEY}", ("Bearer s3cret",)),
        ("{env.KEY}-{env.KEY}", ("s3cret-s3cret",)),
        ("{env.EMPTY}", ()),
        ("  padded\t", ("padded",)),
        ("a\tb", ("a\tb",)),
        ('{"json": {"x": 1.5}}', ('{"json": {"x": 1.5}}',)),
        ("caf\u00e9", ("caf\u00e9",)),
        ("Bearer {secret.API_KEY}", ("Bearer sk-1",)),
        ("{env.KEY}{secret.API_KEY}", ("s3cretsk-1",)),
        ("@request.auth.id", (AuthField("id"),)),
        ("user @request.auth.org.id;{env.KEY}", ("user ", AuthField("org.id"), ";s3cret")),
    ],
)
def test_a_template(text: str, parts: tuple[Part, ...]) -> None:
    assert header_template.template(text, CONTEXT) == text
    assert header_template.resolve(text, ENV, SECRETS) == parts


@pytest.mark.parametrize("key", ["GONE", "LINES", "EMOJI"])
def test_a_secret_that_can_not_be_sent_is_missing(key: str) -> None:
    assert header_template.resolve(f"a {{secret.{key}}}", ENV, SECRETS) == ("a ", Missing(f"secret.{key}"))


def test_a_variable_that_has_gone_is_missing() -> None:
    assert header_template.resolve("{env.KEY}", {}, {}) == (Missing("env.KEY"),)


def test_a_value_is_not_a_template_again() -> None:
    assert header_template.resolve("{env.A}", {"A": "{env.B}"}, {}) == ("{env.B}",)
    assert header_template.resolve("{secret.A}", {"B": "b"}, {"A": "{env.B}"}) == ("{env.B}",)


def test_references() -> None:
    assert header_template.references("{env.A} {secret.B} @request.auth.id {secret.B}") == {"env.A", "secret.B"}
    assert header_template.is_template("@request.auth.id")
    assert not header_template.is_template("{json}")


@pytest.mark.parametrize("name", ["Authorization", "x-api-key", "Cookie", "X-Secret", "X-Auth-Token", "X-Password"])
def test_names_of_credentials(name: str) -> None:
    assert header_template.is_credential(name)
    assert not header_template.is_credential("X-Tenant")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("{env.NOPE}", "the variable NOPE of {env.NOPE} is not set; set it"),
        ("{env.1X}", "unknown template; there are {env.NAME}"),
        ("{env.}", "unknown template"),
        ("{env.A", "unknown template"),
        ("{secret.NOPE}", "there is no secret NOPE for {secret.NOPE}; store it first"),
        ("@request.method", "unknown template"),
        ("@request.auth.", "unknown template"),
        ("{request.id}", "unknown template"),
        ("{ENV.KEY}", "unknown template"),
        ("{env.LINES}", "line break"),
        ("{env.TRAILING}", "line break"),
        ("{env.EMOJI}", "Latin-1"),
        ("a\x00b", "control character"),
        ("a\x7fb", "control character"),
    ],
)
def test_a_template_is_refused_without_telling_the_secret(text: str, hint: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the sentence is looked at below
        header_template.template(text, CONTEXT)
    assert hint in str(caught.value)
    assert "s3cret" not in repr(caught.value)


@pytest.mark.parametrize("listed", [None, {"GATEWAY_MASTER_KEY", "KEY"}])
def test_no_template_reads_the_gateways_own_variables(listed: set[str] | None) -> None:
    env = {"GATEWAY_MASTER_KEY": "s3cret", "KEY": "k", "OTHER": "o", "gateway_x": "x"}
    with pytest.raises(ValueError, match="of the gateway's own") as caught:
        header_template.template("{env.GATEWAY_MASTER_KEY}", header_template.Context(env, listed=listed))
    assert "s3cret" not in repr(caught.value)
    assert header_template.readable(env, listed) == (
        {"KEY": "k"} if listed else {"KEY": "k", "OTHER": "o", "gateway_x": "x"}
    )


def test_a_record_names_listed_variables_alone() -> None:
    context = header_template.Context({"A": "a", "B": "b"}, listed={"A", "C"})
    assert header_template.template("{env.A}", context) == "{env.A}"
    with pytest.raises(ValueError, match="add B to template_env in the configuration file"):
        header_template.template("{env.B}", context)
    with pytest.raises(ValueError, match=r"C of .* is not set"):
        header_template.template("{env.C}", context)


def test_what_was_checked_before_may_name_what_is_gone() -> None:
    text = "{env.GONE}{secret.GONE}{env.GATEWAY_X}"
    assert header_template.template(text, header_template.Context(lenient=True)) == text
    with pytest.raises(ValueError, match="control character"):
        header_template.template("{env.GONE}\n", header_template.Context(lenient=True))


def test_secrets_need_a_database() -> None:
    with pytest.raises(ValueError, match="needs a database; set `database`"):
        header_template.template("{secret.API_KEY}", header_template.Context(ENV))


CHARACTERS = st.sampled_from(["{", "}", "@", "env", "secret", "char", ".", "request", "auth", "A", "brace", "x", "req"])


@given(*[st.lists(CHARACTERS, max_size=8).map("".join)] * 2)
def test_what_is_quoted_is_text_and_nothing_else(value: str, behind: str) -> None:
    env, secrets = {"A": "leaked"}, {"A": "leaked"}
    written = header_template.quoted(value) + behind
    parts = header_template.resolve(written, env, secrets)
    shown = "".join(part if isinstance(part, str) else f"<{part}>" for part in parts)
    plain = header_template.resolve(behind, env, secrets)
    after = "".join(part if isinstance(part, str) else f"<{part}>" for part in plain)
    assert shown.strip() == (value + after).strip()


def test_characters_are_no_references() -> None:
    text = "{char.brace}env.KEY} {char.at}request.auth.id"
    assert header_template.resolve(text, ENV, {}) == ("{env.KEY} @request.auth.id",)
    assert header_template.template(text, CONTEXT) == text
    assert (header_template.references(text), header_template.is_template(text)) == (set(), False)
    with pytest.raises(ValueError, match="there is no character dot"):
        header_template.template("{char.dot}", CONTEXT)
