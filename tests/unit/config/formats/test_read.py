import pathlib

import pytest

from gateway.config.errors import ConfigError
from gateway.config.formats.read import Format, format_of, text_of, tree_of


@pytest.mark.parametrize(
    ("name", "format_"), [("a.yaml", "yaml"), ("a.yml", "yaml"), ("a.JSON", "json"), ("a.b.toml", "toml")]
)
def test_the_suffix_tells_the_format(name: str, format_: Format) -> None:
    assert format_of(pathlib.Path(name)) == format_


@pytest.mark.parametrize("name", ["a", "a.txt", ".yaml", "yaml"])
def test_another_suffix_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"name the file \*\.yaml, \*\.yml, \*\.json, \*\.toml$"):
        format_of(pathlib.Path(name))


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: \xc3\xa4")
    assert text_of(file) == "a: ä"


def test_a_missing_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.yaml: there is no such file; check the path$"):
        text_of(tmp_path / "no.yaml")


def test_a_directory(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match=r"this is a directory; name the file in it$"):
        text_of(tmp_path)


def test_another_failure_to_read_is_told_in_the_system_s_words(tmp_path: pathlib.Path) -> None:
    loop = tmp_path / "loop.yaml"
    loop.symlink_to(loop)
    with pytest.raises(ConfigError, match=r"the file cannot be read \(.+\); check its owner and its mode$"):
        text_of(loop)


def test_what_is_not_utf_8_is_told_with_its_place(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigError, match=r"a\.yaml:2:4: not UTF-8; save the file"):
        text_of(file)


@pytest.mark.parametrize("format_", ["yaml", "json", "toml"])
@pytest.mark.parametrize("stray", ["\0", "\x1b", "\x7f", "\x9f", "\ufeff", "\ud800", "\uffff"])
def test_characters_that_nobody_sees_are_refused(format_: Format, stray: str) -> None:
    with pytest.raises(ConfigError, match=rf"f:2:3: the character U\+{ord(stray):04X} .*; remove it"):
        tree_of(f"\n..{stray}", format_, "f", [])


@pytest.mark.parametrize(("format_", "text"), [("yaml", "# c"), ("json", " "), ("toml", ""), ("yaml", "")])
def test_an_empty_text_is_refused(format_: Format, text: str) -> None:
    with pytest.raises(ConfigError, match="f:1: the file is empty; begin with a list of `proxies`"):
        tree_of(text, format_, "f", [])


@pytest.mark.parametrize(("format_", "text"), [("yaml", "- 1"), ("json", "[]"), ("yaml", "proxies"), ("json", "5")])
def test_the_top_level_is_a_mapping(format_: Format, text: str) -> None:
    with pytest.raises(ConfigError, match="f:1: the top level must be a mapping; begin with"):
        tree_of(text, format_, "f", [])
