import pytest

from gateway.config.errors import ConfigError, Path
from gateway.config.formats.toml_text import read
from gateway.config.formats.tree import locate
from gateway.config.variables import Substitution

TEXT = '''\
# comment with [brackets] = and "quotes"
a = 1
"b" = "x = [1] # no comment"
'c' = """
d = 4
"""
e = [
  "one", # two = 2
  { f = 1, g = [1, 2] },
]
h.i."j.k" = 2026-01-01 10:00:00 # a date
l = \'\'\'x\'\'\'

[m]
n = true
[m.o]
p = 0x1f
[[proxies]]
name = "a"
queue.timeout = 1
[proxies.headers]
"X-A" = 'b'
[[proxies]]
name = "b"
[[proxies.deep]]
q = 1
[[proxies.deep]]
q = 2
'''


def test_values_are_those_of_tomllib() -> None:
    data = Substitution(read(TEXT, "f.toml", []), {}).data()
    assert isinstance(data, dict)
    assert data["proxies"] == [
        {"name": "a", "queue": {"timeout": 1}, "headers": {"X-A": "b"}},
        {"name": "b", "deep": [{"q": 1}, {"q": 2}]},
    ]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a",), 2),
        (("b",), 3),
        (("c",), 4),
        (("e",), 7),
        (("e", 0), 8),
        (("e", 1), 9),
        (("e", 1, "g", 1), 9),
        (("h", "i", "j.k"), 11),
        (("l",), 12),
        (("m",), 14),
        (("m", "n"), 15),
        (("m", "o", "p"), 17),
        (("proxies",), 18),
        (("proxies", 0), 18),
        (("proxies", 0, "name"), 19),
        (("proxies", 0, "queue", "timeout"), 20),
        (("proxies", 0, "headers"), 21),
        (("proxies", 0, "headers", "X-A"), 22),
        (("proxies", 1), 23),
        (("proxies", 1, "name"), 24),
        (("proxies", 1, "deep", 0, "q"), 26),
        (("proxies", 1, "deep", 1, "q"), 28),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines(path: Path, line: int, end: str) -> None:
    assert locate(read(TEXT.replace("\n", end), "f.toml", []), path) == (line, path)


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_a_text_without_a_key_is_null(text: str) -> None:
    assert Substitution(read(text, "f.toml", []), {}).data() is None


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ("a = 1\nb = \n", "f.toml:2:5: not valid TOML", "check the quotes"),
        ("a = 1\na = 2\n", "f.toml:2:", "check the quotes"),
        ("[a]\n[a]\n", "f.toml:2:", "check the quotes"),
        ("a = 1\nb = [", "f.toml:2", "check the quotes"),
        ("a = 1\nb: 2", "f.toml:2:2: not valid TOML", "check the quotes"),
        ("a" + ".a" * 40 + " = 1", "f.toml:1: nested deeper than 32 levels", "remove the inner levels"),
        ("a = " + "[" * 40 + "]" * 40, "f.toml:1: nested deeper than 32 levels", "remove the inner levels"),
        ("a = " + "[" * 9000 + "]" * 9000, "f.toml:1: nested deeper than 32 levels", "remove the inner levels"),
        ("a = " + "{a = " * 9000, "f.toml:1: nested deeper than 32 levels", "remove the inner levels"),
        ("a = '" + "[" * 40 + "'\nb", "f.toml:2", "check the quotes"),
        ("a = " + "1" * 5000, "f.toml:1: a number has too many digits", "write a smaller one"),
    ],
)
def test_broken_texts(text: str, told: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text, "f.toml", [])
    assert str(caught.value).startswith(told)
    assert hint in str(caught.value)
