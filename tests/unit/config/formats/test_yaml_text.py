import pytest

from gateway.config.errors import ConfigError, Path, Problem
from gateway.config.formats.tree import Branch, Node, locate
from gateway.config.formats.yaml_text import read
from gateway.config.variables import Substitution

TEXT = """\
# a comment
a: 1
b:
  - x: yes
    y: "2"

  - {x: [1,
         2]}
c: &anchor
  d: 1
e: *anchor
"""


def data(text: str) -> object:
    return Substitution(read(text, "f.yaml", []), {}).data()


def test_values_are_those_of_yaml_1_2() -> None:
    assert data(TEXT) == {"a": 1, "b": [{"x": "yes", "y": "2"}, {"x": [1, 2]}], "c": {"d": 1}, "e": {"d": 1}}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a",), 2),
        (("b",), 3),
        (("b", 0), 4),
        (("b", 0, "y"), 5),
        (("b", 1), 7),
        (("b", 1, "x", 1), 8),
        (("e",), 11),
        (("e", "d"), 10),  # where the value is written
    ],
)
def test_lines(path: Path, line: int) -> None:
    root: Node = read(TEXT, "f.yaml", [])
    assert locate(root, path) == (line, path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 'true'", "true"),
        ("a: |\n  5\n", "5\n"),
        ("a: !!str 5", "5"),
        ("a: ! 5", "5"),
        ("a:", None),
        ("a: !!map {}", {}),
        ("a: !!seq []", []),
    ],
)
def test_quotes_and_plain_tags_make_text(text: str, value: object) -> None:
    assert data(text) == {"a": value}


def test_keys_are_text_as_written() -> None:
    assert data("{true: 1, 5: 2, ~: 3}") == {"true": 1, "5": 2, "~": 3}


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n...\n"])
def test_a_text_without_a_value_is_null(text: str) -> None:
    assert data(text) is None


def test_duplicate_keys_are_told_with_both_lines() -> None:
    problems: list[Problem] = []
    read("a:\n  b: 1\n  c: 2\n  b: 3\nd: 1\nd: 2\n", "f.yaml", problems)
    assert [problem.render("f.yaml") for problem in problems] == [
        "f.yaml:4: a.b: this key is already in line 2; remove one of the two",
        "f.yaml:6: d: this key is already in line 5; remove one of the two",
    ]


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ("a:\n\t- b", "f.yaml:2:1: not valid YAML", "spaces, not with tabs"),
        ("b: 2\na: [1}", "f.yaml:2:6: not valid YAML", "check the indentation"),
        ("a: [1,\nb: 2\n", "f.yaml:2:5: not valid YAML: ", "(line 1)"),
        ("a: 'x", "f.yaml:1:", "check the indentation"),
        ("a: {b: ${N}}", "f.yaml:1:9: not valid YAML", 'put quotes around a value with ${...}: "${NAME}"'),
        ("a: *x", "f.yaml:1: a: no anchor &x", "define it first"),
        ("a: &x\n  b: *x", "f.yaml:2: a.b: *x refers to itself", "remove the loop"),
        ("a: !!python/object:os.system x", "f.yaml:1: a: tags are not supported", "remove the word"),
        ("a: !!set {}", "f.yaml:1: a: tags are not supported", "remove the word"),
        ("a: 1\n---\nb: 1", "f.yaml:2: a second document", "keep one document"),
        ("a:\n  <<: {b: 1}", "f.yaml:2: a: merge keys", "write the keys out"),
        ("? [a]\n: b", "f.yaml:1: a key must be a plain word", "write `key: value`"),
        ("[" * 5000, "f.yaml:1: nested deeper than 32 levels", "remove the inner levels"),
        ("{a: " * 5000, "f.yaml:1: nested deeper than 32 levels", "remove the inner levels"),
        ("- " * 5000, "f.yaml:1: nested deeper than 32 levels", "remove the inner levels"),
        ("a:\n  " + "[" * 33 + "\n]\n}", "f.yaml:2: nested deeper than 32 levels", "remove the inner levels"),
        ("a: '" + "[" * 5000 + "', b", "f.yaml:1:", "check the"),
    ],
)
def test_broken_texts(text: str, told: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text, "f.yaml", [])
    assert str(caught.value).startswith(told)
    assert hint in str(caught.value)


def test_a_bomb_of_aliases_costs_what_it_is_long() -> None:
    text = "a0: &a0 [1, 1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 31))
    root = read(text, "f.yaml", [])
    assert isinstance(root, Branch)
    assert len(root.places) == 31
