import pytest
from pydantic import ValidationError

from gateway.config.schema.proxy import Proxy

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
