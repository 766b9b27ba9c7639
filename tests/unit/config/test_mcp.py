from gateway.config.mcp import DOOR, Mcp, ToolRule
from gateway.config.values import proxy_name


def test_no_proxy_has_the_name_of_a_front_door() -> None:
    try:
        proxy_name(f"{DOOR}tools")
    except ValueError:
        return
    raise AssertionError("a proxy could have this name")


def test_what_is_not_said_admits_superusers_to_all_actions_of_the_default_tenant() -> None:
    assert Mcp() == Mcp("default", ("*",), (), (), (), "", 1024 * 1024)
    assert ToolRule(("a",)).access_rule == ""
