import pytest
from pydantic import ValidationError

from gateway.config import records
from gateway.config.schema.connections import Connection
from gateway.config.schema.proxy import Proxy
from gateway.config.schema.section import Section
from gateway.config.schema.sql import SqlConnection
from gateway.config.schema.upstream import Upstream

PLAIN = {"name": "a", "path": "/a", "upstream": "http://h"}


@pytest.mark.parametrize(
    ("limits", "hint"),
    [
        ([{"key": "ip", "rate": 1}], "must be all, client, principal or header:NAME"),
        ([{"key": "header:", "rate": 1}], "must be all, client, principal or header:NAME"),
        ([{"key": "header:a b", "rate": 1}], "must be all, client, principal or header:NAME"),
        ([{"key": "all", "rate": 0}], "greater than 0"),
        ([{"key": "all"}], "Field required"),
        ([{"key": "all", "rate": 1, "scope": "fleet"}], "fleet is not available yet; remove scope"),
        ([{"key": "all", "rate": 1, "unit": "tokens"}], "unit: tokens need ai"),
        ([{"key": "all", "rate": 1, "name": "a b"}], "pattern"),
        ([{"key": "all", "rate": 1}, {"key": "all", "rate": 2}], "two limits have the name all"),
        ([{"key": "all", "rate": 1, "name": "x"}, {"key": "client", "rate": 2, "name": "x"}], "the name x"),
        ([{"key": "all", "rate": 1, "name": f"n{number}"} for number in range(9)], "at most 8"),
    ],
)
def test_a_rate_limit_that_cannot_be_meant_is_refused(limits: list[dict[str, object]], hint: str) -> None:
    with pytest.raises(ValidationError, match=hint):
        Proxy.model_validate(PLAIN | {"rate_limits": limits})


@pytest.mark.parametrize(("limit", "most"), [({"rate": 2.5}, 3), ({"rate": 100, "burst": 4}, 4), ({"rate": 0.1}, 1)])
def test_no_request_may_weigh_more_than_a_bucket_holds(limit: dict[str, object], most: int) -> None:
    proxy = PLAIN | {"rate_limits": [{"key": "header:X-Team"} | limit]}
    made = Proxy.model_validate(proxy | {"rate_weight": most}).route("a", {}, {})
    assert (made.rate_limits[0].tokens, made.rate_limits[0].shown_name) == (most, "header:x-team")
    with pytest.raises(ValidationError, match=f"it takes {most + 1} tokens, and a bucket .* holds {most}"):
        Proxy.model_validate(proxy | {"rate_weight": most + 1})


@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_a_limit_of_tokens_takes_any_weight(vendor: str) -> None:
    """Its weight is that of a token, which is taken when a response has ended."""
    limits = [{"key": "client", "rate": 100, "unit": "tokens"}]
    made = Proxy.model_validate(PLAIN | {"ai": vendor, "rate_limits": limits, "rate_weight": 500}).route("a", {}, {})
    assert (made.ai, made.rate_limits[0].unit, made.rate_weight) == (vendor, "tokens", 500)
    of_requests = {"key": "all", "rate": 100}
    with pytest.raises(ValidationError, match="limit all holds 100"):
        Proxy.model_validate(PLAIN | {"ai": vendor, "rate_limits": [*limits, of_requests], "rate_weight": 500})


@pytest.mark.parametrize(
    ("limits", "hint"),
    [
        ([{"rate": 1, "key": "client"}], "must be all: a call of an action has no caller"),
        ([{"rate": 1, "key": "header:X-Team"}], "must be all: a call of an action has no caller"),
        ([{"rate": 1, "scope": "fleet"}], "fleet is not available yet; remove scope"),
        ([{"rate": 1}, {"rate": 2}], "two limits have the name all"),
        ([{"rate": 1, "shared": True}], "Extra inputs"),
        ([{"rate": 1, "unit": "tokens"}], "Extra inputs"),
        ([{"per": 60}], "Field required"),
    ],
)
@pytest.mark.parametrize(
    ("section", "plain"),
    [
        (Connection, {"base_url": "http://h"}),
        (SqlConnection, {"kind": "sql", "url": "sqlite:///a.db"}),
        (Upstream, {"name": "u", "endpoints": [{"url": "http://h"}]}),
    ],
)
def test_a_limit_of_an_upstream_that_cannot_be_meant_is_refused(
    section: type[Section], plain: dict[str, object], limits: list[dict[str, object]], hint: str
) -> None:
    with pytest.raises(ValidationError, match=hint):
        section.model_validate(plain | {"rate_limits": limits})


def test_a_limit_of_an_upstream_is_one_bucket_of_which_callers_hear_nothing() -> None:
    limits = [{"rate": 100, "per": 60, "burst": 20, "name": "minute"}, {"rate": 1, "mode": "shadow"}]
    made = Upstream.model_validate({"name": "u", "endpoints": [{"url": "http://h"}], "rate_limits": limits})
    minute = records.RateLimit("all", 100, 60, 20, "minute", fields="never")
    assert made.record().rate_limits == (minute, records.RateLimit("all", 1, fields="never", mode="shadow"))


@pytest.mark.parametrize(
    "connection",
    [
        Connection.model_validate({"base_url": "http://h", "rate_limits": [{"rate": 5}]}),
        SqlConnection.model_validate({"kind": "sql", "url": "sqlite:///a.db", "rate_limits": [{"rate": 5}]}),
    ],
)
def test_the_limits_of_a_connection_are_those_of_its_upstream(connection: Connection | SqlConnection) -> None:
    (limit,) = connection.upstream("shop").record().rate_limits
    assert (limit.key, limit.rate, limit.shown_name) == ("all", 5.0, "all")
