from __future__ import annotations

from gateway.core.text import counted, printable


def test_a_noun_fits_its_count() -> None:
    assert [counted(count, "action") for count in (0, 1, 2)] == ["0 actions", "1 action", "2 actions"]
    assert [counted(count, "proxy", "proxies") for count in (1, 2)] == ["1 proxy", "2 proxies"]


def test_nothing_commands_a_terminal() -> None:
    assert printable("é \x1b[31mred\x07\n€") == "é  [31mred  €"
