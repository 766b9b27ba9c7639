"""One proxy by itself: the rules of the file, and the paths of its errors."""

from __future__ import annotations

import pytest

from gateway.config import single
from gateway.config.errors import ConfigError

PROXY = {"name": "a", "path": "/a", "upstream": "http://h"}


def problems(**changes: object) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        single.proxy({**PROXY, **changes}, env={"E": "x", "PGPASSWORD": "sk-live-9"}, secrets={"KEY"}, listed={"E"})
    assert "sk-live" not in str(caught.value)
    return [(".".join(map(str, p.path)), p.message) for p in caught.value.problems]


def test_a_good_one() -> None:
    made = single.proxy({**PROXY, "headers": {"X-Key": "{secret.KEY}"}}, env={}, secrets={"KEY"})
    assert (made.name, made.headers) == ("a", {"X-Key": "{secret.KEY}"})
    assert made.route("a", {}, {"KEY": "v"}).headers[0].parts == ("v",)


def test_a_proxy_of_the_database_has_a_url() -> None:
    """Nothing else is wrong with its protections, and all that is wrong is reported at once."""
    url = (
        "upstream",
        "must be a URL, as http://host:port, or connection/NAME; a file alone can name other upstreams",
    )
    assert problems(upstream="ai", max_concurrent=3) == [url]
    assert problems(upstream="ai", active="yes") == [("active", "must be true or false; write it without quotes"), url]


def test_every_problem_has_its_path() -> None:
    found = problems(path="a", timeout_config={"dial": 0}, color="red", max_concurrent="5")
    assert [path for path, _ in found] == ["path", "max_concurrent", "timeout_config.dial", "color"]
    assert found[2][1] == "must be above 0; write such a number"


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        ({"X-Key": "{secret.GONE}"}, "headers.X-Key"),
        ({"X-Key": "{env.GONE}"}, "headers.X-Key"),
        ({"X-Key": "{env.PGPASSWORD}"}, "headers.X-Key"),
        ({"X-Key": "sk-live-1"}, "headers.X-Key"),
        ({"authorization": "Bearer sk-live-1"}, "headers.authorization"),
    ],
)
def test_what_is_unknown_and_credentials_written_out_are_refused(headers: dict[str, str], path: str) -> None:
    assert [p for p, _ in problems(headers=headers)] == [path]


def test_variables_that_a_stored_proxy_may_not_name() -> None:
    headers = {"A": "{env.E} {env.PGPASSWORD}", "B": "{env.GATEWAY_MASTER_KEY}", "C": "{secret.KEY}", "D": "plain"}
    checked = single.stored({**PROXY, "headers": headers})
    assert single.unlisted(checked, {"E", "GATEWAY_MASTER_KEY"}) == ["GATEWAY_MASTER_KEY", "PGPASSWORD"]
    assert single.unlisted(single.stored(PROXY), ()) == []
    assert checked.headers == headers  # it is served; what it may not name is missing


def test_what_headers_name_of_whatever_shape_another_version_has_stored() -> None:
    assert single.references({"A": "{env.E} {secret.B}", "C": "plain", "D": 5}) == {"env.E", "secret.B"}
    assert single.references(["{secret.B}"]) == single.references(None) == set()


def test_secrets_that_the_store_does_not_have() -> None:
    checked = single.stored({**PROXY, "headers": {"A": "{secret.B} {secret.KEPT} {env.E}", "C": "{secret.A}"}})
    assert single.unknown_secrets(checked, {"KEPT"}) == ["A", "B"]
    assert single.unknown_secrets(single.stored(PROXY), ()) == []


def test_secrets_that_may_not_go_to_an_upstream() -> None:
    headers = {"A": "{secret.BOUND} {secret.FREE}", "B": "{secret.OTHER}"}
    settings = {**PROXY, "upstream": "https://H:443/x", "headers": headers}
    bound = {"BOUND": {"https://h"}, "OTHER": {"http://h", "https://h:444"}, "UNUSED": {"http://x"}}
    assert single.misdirected(single.stored(settings), [settings["upstream"]], bound) == ["OTHER"]
    assert single.misdirected(single.stored(settings), ["http://h"], bound) == ["BOUND"]
    assert single.misdirected(single.stored(PROXY), ["http://h"], bound) == []


def test_an_upstream_that_only_a_file_can_name() -> None:
    (problem,) = problems(upstream="ai")
    assert problem == (
        "upstream",
        "must be a URL, as http://host:port, or connection/NAME; a file alone can name other upstreams",
    )
    with pytest.raises(ConfigError, match="must be a URL"):
        single.stored({**PROXY, "upstream": "ai"})


def test_a_secret_that_may_be_sent_to_some_of_the_places_alone() -> None:
    checked = single.stored({**PROXY, "headers": {"A": "{secret.KEY}"}})
    assert single.misdirected(checked, ["http://h", "http://x"], {"KEY": {"http://h"}}) == ["KEY"]
    assert single.misdirected(checked, ["http://h", "http://x"], {"KEY": {"http://h", "http://x"}}) == []


@pytest.mark.parametrize(
    "tls", [{"ca": "/etc/passwd"}, {"client_cert": "/no/such", "client_key": 5}, {"server_name": "h"}]
)
def test_tls_names_files_of_the_machine_which_nobody_looks_at(tls: dict[str, object]) -> None:
    ((path, message),) = problems(upstream="https://h", tls=tls)
    assert path == "tls"
    assert message.startswith("names files of the gateway's machine, which only those who can write")
    with pytest.raises(ConfigError, match="names files of the gateway's machine"):
        single.stored({**PROXY, "upstream": "https://h", "tls": tls})


def test_no_tls_written_out_is_none() -> None:
    assert single.proxy({**PROXY, "tls": None}, env={}, secrets=set()).tls is None
    assert single.stored({**PROXY, "tls": None}).tls is None


def test_the_fallback_of_a_proxy_of_the_database_has_a_url_too() -> None:
    named = {"on": ["connect"], "upstream": "ai"}
    url = (
        "fallback.upstream",
        "must be a URL, as http://host:port, or connection/NAME; a file alone can name other upstreams",
    )
    assert problems(fallback=named) == [url]
    with pytest.raises(ConfigError, match=r"fallback\.upstream: must be a URL"):
        single.stored({**PROXY, "fallback": named})
    assert [path for path, _ in problems(fallback={"on": ["connect"], "upstream": "http://169.254.1.1"})] == [
        "fallback.upstream"
    ]
    assert single.stored({**PROXY, "fallback": {"on": ["connect"], "response": {}}}).fallback is not None


def test_a_proxy_of_the_database_may_name_a_connection() -> None:
    plain = {"name": "hub", "path": "/hub", "upstream": "connection/acme/shop"}
    fallback = {"on": ["connect"], "upstream": "connection/other"}
    checked = single.proxy({**plain, "fallback": fallback, "max_concurrent": 0}, env={}, secrets=())
    assert checked.named_upstreams() == {"connection/acme/shop", "connection/other"}
    assert single.stored(checked.model_dump(mode="json", exclude_defaults=True)) == checked
    with pytest.raises(ConfigError) as caught:
        single.proxy({**plain, "max_concurrent": 5, "endpoints": [{"url": "http://h"}]}, env={}, secrets=())
    assert {each.path for each in caught.value.problems} == {("max_concurrent",), ("endpoints",)}
