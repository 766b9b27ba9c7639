import pytest

from gateway.config.errors import ConfigError, Path, Problem
from gateway.config.formats.tree import MAX_DEPTH, Branch, Place, Scalar, check_depth, grow, locate

ROOT = grow("f", {"listen": "x", "proxies": [{"name": "a"}], "tls": {"cert": 1}}, {("proxies",): 3, ("proxies", 0): 4})


@pytest.mark.parametrize(
    ("path", "line", "shown"),
    [
        (("proxies",), 3, ("proxies",)),
        (("proxies", 0, "name"), 4, ("proxies", 0, "name")),  # no line of its own: the parent's
        (("proxies", 0, "path"), 4, ("proxies", 0, "path")),  # missing: told whole, at its parent
        (("listen", 0, "address"), 1, ("listen",)),  # one address, read by the model as a list of one
        (("tls", 0, "cert"), 1, ("tls", "cert")),
        ((), 1, ()),
    ],
)
def test_locate(path: Path, line: int, shown: Path) -> None:
    assert locate(ROOT, path) == (line, shown)


def test_the_second_use_of_a_key_is_a_problem_and_changes_nothing() -> None:
    branch, problems = Branch(), list[Problem]()
    first = Place(1, Scalar(1))
    branch.add(("a",), first, problems)
    branch.add(("a",), Place(5, Scalar(2)), problems)
    assert branch.places == {"a": first}
    assert [problem.render("f") for problem in problems] == [
        "f:5: a: this key is already in line 1; remove one of the two"
    ]


def test_depth_is_bounded() -> None:
    check_depth("f", ("a",) * MAX_DEPTH, 1)
    with pytest.raises(ConfigError, match=r"^f:9: nested deeper than 32 levels; remove"):
        check_depth("f", ("a",) * (MAX_DEPTH + 1), 9)
