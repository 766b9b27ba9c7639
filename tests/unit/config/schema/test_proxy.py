import pytest
from pydantic import ValidationError

from gateway.config import records
from gateway.config.header_template import Context
from gateway.config.schema.proxy import Proxy
from gateway.config.schema.settings import Settings


def test_a_proxy_of_three_keys_has_the_defaults_of_the_document() -> None:
    plain = {"name": "a", "path": "/a", "upstream": "http://h"}
    made = Proxy.model_validate(plain)
    assert made.route("a", {}, {}) == records.Route("a", "/a", "a")
    assert made.own_upstream("a") == records.Upstream("a", (records.Endpoint("http://h"),))


def test_headers_are_kept_out_of_the_representation() -> None:
    plain = {"name": "a", "path": "/a", "upstream": "http://h", "headers": {"X-Key": "{env.KEY}", "X-Empty": ""}}
    settings = Settings.model_validate({"proxies": [plain]}, context=Context({"KEY": "s3cret"}))
    record = settings.record({"KEY": "s3cret"}, {})
    assert record.routes[0].headers == (
        records.Header("X-Key", ("s3cret",), secret=True),
        records.Header("X-Empty", ()),
    )
    assert "s3cret" not in repr(settings) + repr(record)


@pytest.mark.parametrize(
    ("cors", "hint"),
    [
        ({"allow_origins": ["app.test"]}, "write https://app.example.org"),
        ({"allow_origins": ["https://app.test/"]}, "an origin alone"),
        ({"allow_origins": ["https://*.app.test"]}, "an origin alone"),
        ({"allow_origins": ["https://user@app.test"]}, "an origin alone"),
        ({"allow_origins": ["null"]}, "every page can make its origin null"),
        ({"allow_origins": ["*", "https://app.test"]}, "write it alone"),
        ({"allow_origins": ["*"], "allow_credentials": True}, "list the origins instead of \\*"),
        ({"expose_headers": ["a b"]}, "not the name of a header field"),
        ({"allow_methods": ["GET"]}, "Extra inputs"),
    ],
)
def test_what_no_page_should_get_is_refused(cors: dict[str, object], hint: str) -> None:
    plain = {"name": "a", "path": "/a", "upstream": "http://h", "cors": cors}
    with pytest.raises(ValidationError, match=hint):
        Proxy.model_validate(plain)


def test_origins_are_written_as_browsers_write_them() -> None:
    listed = ["HTTPS://App.test:443", "http://localhost:3000", "http://[::1]:80", "capacitor://localhost"]
    plain = {"name": "a", "path": "/a", "upstream": "http://h", "cors": {"allow_origins": listed}}
    expected = ("https://app.test", "http://localhost:3000", "http://[::1]", "capacitor://localhost")
    assert Proxy.model_validate(plain).cors.allow_origins == expected
