import pytest

from gateway.config.errors import ConfigError, Path, Problem
from gateway.config.formats.json_text import read
from gateway.config.formats.tree import locate
from gateway.config.variables import Substitution

TEXT = """{
\t"a": 1, "b": [
    {"x": -1.5e2, "\\u0079": "\\ud83d\\ude00\\/"},

    [], {}, true,
    null
  ],
  "c"
  :
  {"d": false}
}
"""


def test_values() -> None:
    assert Substitution(read(TEXT, "f.json", []), {}).data() == {
        "a": 1,
        "b": [{"x": -150.0, "y": "\U0001f600/"}, [], {}, True, None],
        "c": {"d": False},
    }


@pytest.mark.parametrize(
    ("path", "line"),
    [(("a",), 2), (("b",), 2), (("b", 0, "y"), 3), (("b", 1), 5), (("b", 4), 6), (("c",), 8), (("c", "d"), 10)],
)
def test_lines(path: Path, line: int) -> None:
    assert locate(read(TEXT, "f.json", []), path) == (line, path)


def test_a_text_of_blanks_is_null() -> None:
    assert Substitution(read(" \n", "f.json", []), {}).data() is None


def test_duplicate_keys_are_told_with_both_lines() -> None:
    problems: list[Problem] = []
    read('{"a": 1,\n "b": {"c": 1,\n "c": 2},\n "\\u0061": 2}', "f.json", problems)
    assert [problem.render("f.json") for problem in problems] == [
        "f.json:3: b.c: this key is already in line 2; remove one of the two",
        "f.json:4: a: this key is already in line 1; remove one of the two",
    ]


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ('{"a": 1,\n "b" 2}', "f.json:2:6: not valid JSON", "check the commas"),
        ("{'a': 1}", "f.json:1:2: not valid JSON", "check the commas"),
        ('{"a": 1} {}', "f.json:1:10: not valid JSON", "check the commas"),
        ('{"a": yes}', "f.json:1:7: not valid JSON", "check the commas"),
        ('{"a":\n NaN}', "f.json:2: a: NaN and Infinity are not JSON", "write a number"),
        ('{"a": [-Infinity]}', "f.json:1: a.0: NaN and Infinity are not JSON", "write a number"),
        ("[" * 40 + "]" * 40, "f.json:1: nested deeper than 32 levels", "remove the inner levels"),
        ("[" * 40, "f.json:1: nested deeper than 32 levels", "remove the inner levels"),
        ('{"' + "[" * 40 + '": }', "f.json:1:4", "check the commas"),
        ('{"a":' * 200_000, "f.json:1: nested deeper than 32 levels", "remove the inner levels"),
        ("[" * 200_000, "f.json:1: nested deeper than 32 levels", "remove the inner levels"),
    ],
)
def test_broken_texts(text: str, told: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text, "f.json", [])
    assert str(caught.value).startswith(told)
    assert hint in str(caught.value)
