from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.config import fallback as records
from gateway.config.header_template import Context
from gateway.config.schema.fallback import Fallback, FixedResponse
from gateway.config.schema.proxy import Proxy
from gateway.config.schema.settings import Settings

ON = ["connect", "503", "500-502"]
URL = "http://127.0.0.1:9001"


def test_the_record_has_words_and_ranges_apart() -> None:
    made = Fallback.model_validate({"on": ON, "upstream": URL}).record("p")
    assert made == records.Fallback(("connect",), ((503, 503), (500, 502)), "fallback of p")
    assert Fallback.model_validate({"on": ON, "upstream": "ai"}).record("p").upstream == "upstream ai"
    model = Fallback.model_validate({"on": ON, "upstream": "ai", "rewrite": {"model": "m"}}).record("p")
    assert model.rewrite == (("model", "m"),)
    fixed = Fallback.model_validate({"on": ["deadline"], "response": {"body": "b"}}).record("p")
    assert fixed == records.Fallback(("deadline",), (), "", records.FixedResponse(body="b"))


def test_a_response_has_the_defaults_of_its_record() -> None:
    made = records.FixedResponse()
    assert FixedResponse().model_dump() == {"status": made.status, "body": made.body, "content_type": made.content_type}


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"on": [], "upstream": URL}, "must list"),
        ({"on": ["503"]}, "an upstream or a response"),
        ({"on": ["503"], "upstream": URL, "response": {}}, "and not both"),
        ({"on": ["deadline"], "upstream": URL}, "no time"),
        ({"on": ["conect"], "response": {}}, "must be connect, reset"),
        ({"on": ["status"], "response": {}}, "must be connect, reset"),
        ({"on": ["50"], "response": {}}, "must be connect, reset"),
        ({"on": ["199"], "response": {}}, "200 to 599"),
        ({"on": ["600"], "response": {}}, "200 to 599"),
        ({"on": ["503-500"], "response": {}}, "the lower status first"),
        ({"on": ["503"], "upstream": "h2c://u@h"}, "must not hold a user"),
        ({"on": ["503"], "response": {}, "rewrite": {"model": "m"}}, "here is none; remove rewrite"),
        ({"on": ["503"], "upstream": URL, "rewrite": {"model": "m" * 201}}, "at most 200"),
        ({"on": ["503"], "upstream": URL, "rewrite": {"stream": True}}, "Extra inputs"),
        ({"on": ["503"], "response": {"status": 204, "body": "b"}}, "has no body"),
        ({"on": ["503"], "response": {"content_type": "a\r\nb"}}, "no media type"),
        ({"on": ["503"], "response": {"status": 199}}, "greater than or equal to 200"),
    ],
)
def test_what_is_refused(written: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Fallback.model_validate(written)


@pytest.mark.parametrize("url", ["h2c://g:1/base", "H2C://g:1/base", "http://g:1/base"])
def test_http_2_may_be_spoken_to_it_without_tls(url: str) -> None:
    mode = "auto" if url.startswith("http:") else "always"
    made = proxy({"on": ON, "upstream": url})
    second = made.fallback_upstream()
    assert second is not None
    assert (second.http2, second.endpoints[0].url) == (mode, "http://g:1/base")
    assert made.own_urls() == ["http://h/base", "http://g:1/base"]
    assert Proxy.model_validate(made.model_dump()) == made, "it survives being stored"


def test_h2c_leads_elsewhere_too_and_carries_no_websockets() -> None:
    with pytest.raises(ValidationError, match="the upstream of the proxy itself"):
        proxy({"on": ON, "upstream": "h2c://H:80/base/"})
    settings = {"name": "p", "path": "/p", "upstream": "http://h", "websocket": True}
    with pytest.raises(ValidationError, match="WebSockets go over"):
        Proxy.model_validate(settings | {"fallback": {"on": ON, "upstream": "h2c://g"}})
    assert Proxy.model_validate(settings | {"fallback": {"on": ON, "upstream": "http://g"}}).websocket


def test_a_response_without_a_body_may_have_any_status() -> None:
    assert FixedResponse(status=204).body == ""


def proxy(fallback: object, upstream: str = "http://h/base") -> Proxy:
    return Proxy.model_validate({"name": "p", "path": "/p", "upstream": upstream, "fallback": fallback})


@pytest.mark.parametrize(
    ("upstream", "second"),
    [("http://h/base", "http://H:80/base/"), ("ai", "ai"), ("http://h", "http://h/")],
)
def test_it_leads_elsewhere(upstream: str, second: str) -> None:
    with pytest.raises(ValidationError, match="the upstream of the proxy itself"):
        proxy({"on": ON, "upstream": second}, upstream)


def test_it_is_none_of_the_other_endpoints() -> None:
    own = {"name": "p", "path": "/p", "upstream": "http://h", "endpoints": [{"url": "http://i:1"}]}
    with pytest.raises(ValidationError, match="the upstream of the proxy itself"):
        Proxy.model_validate(own | {"fallback": {"on": ON, "upstream": "http://i:1/"}})
    assert Proxy.model_validate(own | {"fallback": {"on": ON, "upstream": "http://i:2"}}).fallback is not None


@pytest.mark.parametrize("second", ["http://h/other", "https://h/base", "h"])
def test_another_place_is_another_upstream(second: str) -> None:
    assert proxy({"on": ON, "upstream": second}).fallback is not None


def test_what_stands_in_a_proxy() -> None:
    url, name, fixed = (proxy({"on": ON} | more) for more in ({"upstream": URL}, {"upstream": "ai"}, {"response": {}}))
    assert [each.own_urls() for each in (url, name, fixed)] == [
        ["http://h/base", URL],
        ["http://h/base"],
        ["http://h/base"],
    ]
    assert [each.named_upstreams() for each in (url, name, fixed)] == [set(), {"ai"}, set()]
    made = url.fallback_upstream()
    assert made is not None
    assert (made.name, made.endpoints[0].url, made.max_concurrent) == ("fallback of p", URL, 0)
    assert name.fallback_upstream() is None
    assert fixed.fallback_upstream() is None
    assert proxy(None).fallback_upstream() is None


def settings(*proxies: dict[str, Any], **more: Any) -> Settings:
    upstreams = [{"name": "ai", "endpoints": [{"url": "https://ai"}]} | more]
    return Settings.model_validate({"upstreams": upstreams, "proxies": list(proxies)})


P = {"name": "p", "path": "/p", "upstream": "http://h"}


def test_the_document_has_both_upstreams_of_a_route() -> None:
    made = settings(
        P | {"fallback": {"on": ON, "upstream": "ai"}},
        P | {"name": "q", "path": "/q", "fallback": {"on": ON, "upstream": URL}},
        P | {"name": "r", "path": "/r", "active": False, "fallback": {"on": ON, "upstream": "http://off"}},
    ).record({}, {})
    assert [route.upstreams() for route in made.routes[:2]] == [("p", "upstream ai"), ("q", "fallback of q")]
    assert {upstream.name for upstream in made.used_upstreams()} == {"p", "q", "upstream ai", "fallback of q"}
    assert made.sharers() == {"p": ["p"], "q": ["q"]}


def test_a_secret_that_is_bound_elsewhere_goes_to_neither() -> None:
    header = {"headers": {"X-Key": "{secret.KEY}"}}
    made = Settings.model_validate(
        {"proxies": [P | header | {"fallback": {"on": ON, "upstream": URL}}]}, context=Context({}, {"KEY"})
    )
    (proxy_,) = made.proxies
    assert made.urls(proxy_) == ["http://h", URL]
    for bound, missing in (({"http://h"}, True), ({"http://h", URL}, False)):
        (route,) = made.record({}, {"KEY": "k"}, bound={"KEY": bound}).routes
        assert (route.headers[0].parts != ("k",)) is missing


def test_websockets_need_http_1_1_at_the_fallback_too() -> None:
    over = P | {"websocket": True, "fallback": {"on": ON, "upstream": "ai"}}
    with pytest.raises(ValidationError, match="relays WebSockets"):
        settings(over, http2="always")
    made = settings(over).record({}, {})
    assert {upstream.name: upstream.http2 for upstream in made.upstreams} == {"p": "never", "upstream ai": "never"}
