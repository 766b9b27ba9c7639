import pytest

from gateway.config.formats.tree import Branch, Place, Scalar, grow
from gateway.config.variables import Substituted, Substitution, expand

ENV = {"NAME": "value", "EMPTY": "", "N": "5"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("${NAME}", "value"),
        ("a${NAME}b${N}c", "avalueb5c"),
        ("${UNSET:-default}", "default"),
        ("${EMPTY:-default}", "default"),  # as in a shell
        ("${UNSET:-}", ""),
        ("${EMPTY}", ""),
        ("$${NAME}", "${NAME}"),
        ("$$", "$"),
        ("$NAME costs 5$", "$NAME costs 5$"),
        ("${UNSET:-http://h:1/a-b}", "http://h:1/a-b"),
    ],
)
def test_expand(text: str, expanded: str) -> None:
    assert expand(text, ENV) == expanded


def test_what_comes_in_is_not_expanded_again() -> None:
    assert expand("${A}", {"A": "${B} $$"}) == "${B} $$"


@pytest.mark.parametrize("text", ["${", "${}", "${1A}", "${A B}", "${NAME:?no}", "${NAME-x}", "${NAME"])
def test_a_malformed_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write \$\{NAME\} or"):
        expand(text, ENV)


def test_an_unset_variable_is_named() -> None:
    with pytest.raises(ValueError, match=r"\$\{UNSET\} is not set; set it in the environment"):
        expand("${UNSET}", ENV)


def test_the_data_has_references_replaced_in_values_alone() -> None:
    root = grow("f", {"${NAME}": ["${NAME}", 5, None], "b": {"c": "$$"}}, {})
    assert Substitution(root, ENV).data() == {"${NAME}": ["value", 5, None], "b": {"c": "$"}}


@pytest.mark.parametrize(
    ("node", "resolved"),
    [(Scalar("${N}"), 5), (Scalar("1${N}", plain=True), 15), (Scalar("${EMPTY}"), None)],
)
def test_what_is_a_reference_alone_can_become_a_number(node: Scalar, resolved: object) -> None:
    value = Substitution(node, ENV).data()
    assert isinstance(value, Substituted)
    assert value.resolved == resolved


@pytest.mark.parametrize("text", ["1${N}", "$$", "5"])
def test_other_quoted_text_stays_text(text: str) -> None:
    assert type(Substitution(Scalar(text), ENV).data()) is str


def test_unset_variables_are_gathered_with_their_places() -> None:
    substitution = Substitution(grow("f", {"a": "${X}", "b": ["${Y}"]}, {("a",): 3, ("b", 0): 8}), {})
    substitution.data()
    assert [(problem.path, problem.line) for problem in substitution.problems] == [(("a",), 3), (("b", 0), 8)]


def test_aliases_of_aliases_stay_small() -> None:
    branch = Branch(is_list=True)
    for _ in range(30):  # two to the power of thirty leaves if each alias were a copy
        branch = Branch(is_list=True, places={0: Place(1, branch), 1: Place(1, branch)})
    data = Substitution(branch, {}).data()
    assert isinstance(data, list)
    assert data[0] is data[1]


TEXT = "${NAME} {id}"
HOLDS = {"NAME": "{id} {env.X}"}


@pytest.mark.parametrize(
    ("at", "read"),
    [
        (("actions", "a", "path"), "{char.brace}id} {char.brace}env.X} {id}"),
        (("actions", "a", "headers", "X"), "{char.brace}id} {char.brace}env.X} {id}"),
        (("actions", "a", "body", "value", "deep"), "{char.brace}id} {char.brace}env.X} {id}"),
        (("actions", "a", "config", "query", "q"), "{char.brace}id} {char.brace}env.X} {id}"),
        (("connectors", "http", "actions", "a", "request_body", "m"), "{char.brace}id} {char.brace}env.X} {id}"),
        (("actions", "a", "description"), "{id} {env.X} {id}"),
        (("connections", "c", "headers", "X"), "{id} {env.X} {id}"),
        (("connectors", "http", "connections", "c", "headers", "X"), "{id} {env.X} {id}"),
        (("proxies", "0", "headers", "X"), "{id} {char.brace}env.X} {id}"),
        (("proxies", "0", "path"), "{id} {env.X} {id}"),
    ],
)
def test_what_a_variable_holds_is_no_part_of_a_template(at: tuple[str, ...], read: str) -> None:
    data: object = TEXT
    for key in reversed(at):
        data = {key: data}
    for depth in (0, 2):
        inner = data
        for key in at[:depth]:
            assert isinstance(inner, dict)
            inner = inner[key]
        found = Substitution(grow("f", inner, {}), HOLDS, at[:depth]).data()
        for key in at[depth:]:
            assert isinstance(found, dict)
            found = found[key]
        assert found == read


def test_what_variables_put_into_connections_and_actions_is_known() -> None:
    data = {
        "connections": {"shop": {"base_url": "http://${NAME}/${N}", "headers": {"X": "${EMPTY}${UNSET:-x}"}}},
        "connectors": {"http": {"actions": {"find": {"path": "/${N}$$"}, "list": {"path": "/"}}}},
        "listen": "${NAME}:1",
    }
    substitution = Substitution(grow("f", data, {}), ENV)
    substitution.data()
    assert substitution.inserted == {("connections", "shop"): {"value", "5"}, ("actions", "find"): {"5"}}
