import json
import re
from typing import Any, get_args

import pytest

from gateway.config.schema.form import Group, choices, in_group, typed, widget
from gateway.config.schema.json_schema import schema
from gateway.config.schema.proxy import Proxy

PROXY: dict[str, Any] = Proxy.model_json_schema()["properties"]


def test_each_keyword_begins_with_x() -> None:
    found = in_group("Basics") | widget("headers") | choices({"": "None"}, own="Else") | typed("^/", "Begin with /")
    assert found == {
        "x-group": "Basics",
        "x-widget": "headers",
        "x-choices": {"": "None"},
        "x-own": "Else",
        "x-typed": {"pattern": "^/", "message": "Begin with /"},
    }


def test_each_key_of_a_proxy_that_can_be_set_is_in_a_group_and_each_group_is_used() -> None:
    shown = {name: key for name, key in PROXY.items() if "const" not in key and key.get("x-widget") != "none"}
    groups = {name: key.get("x-group") for name, key in shown.items()}
    assert [name for name, group in groups.items() if group is None] == []
    assert list(dict.fromkeys(groups.values())) == list(get_args(Group))


@pytest.mark.parametrize("name", [name for name, key in PROXY.items() if "x-typed" in key])
def test_a_hint_is_silent_about_what_is_good(name: str) -> None:
    key = PROXY[name]
    pattern = re.compile(key["x-typed"]["pattern"])
    assert all(pattern.search(example) for example in key["examples"])
    assert not pattern.search("a b")


@pytest.mark.parametrize("url", ["http://h", "HTTPS://h:1/base", "h2c://h:1", "H2C://[::1]:1"])
def test_each_scheme_may_be_typed(url: str) -> None:
    assert re.search(PROXY["upstream"]["x-typed"]["pattern"], url)
    shown = Proxy(name="x", path="/", upstream="http://x").model_dump()  # the form sends each key
    assert Proxy.model_validate({**shown, "upstream": url}).http2 == ("always" if url[1] == "2" else "auto")


@pytest.mark.parametrize("value", PROXY["access_rule"]["x-choices"])
def test_what_users_select_is_good(value: str) -> None:
    assert Proxy(name="x", path="/", upstream="http://x", access_rule=value).access_rule == value


def test_labels_are_in_the_file_s_schema_too_and_names_make_none() -> None:
    defs: Any = schema()["$defs"]
    assert defs["Proxy"]["properties"]["strip_path"]["title"] == "Remove the prefix before forwarding"
    assert "title" not in defs["Proxy"]["properties"]["name"]
    assert "Strip Path" not in json.dumps(defs)
