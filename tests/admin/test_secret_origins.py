"""A secret that is bound to upstream origins goes nowhere else, whichever way a proxy is changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from admin.conftest import Api

KEY = {"value": "sk-live-1234567890", "origins": ["https://API.example.org:443/", "http://127.0.0.1:9000"]}
WEB = {
    "name": "web",
    "path": "/web",
    "upstream": "https://api.example.org/base",
    "headers": {"Authorization": "Bearer {secret.KEY}"},
}


async def test_origins_are_kept_in_one_form_and_audited(api: Api) -> None:
    made = await api.call("PUT", "/secrets/KEY", KEY)
    assert (made.status, made.body["origins"]) == (200, ["http://127.0.0.1:9000", "https://api.example.org"])
    again = await api.call("PUT", "/secrets/KEY", {"value": "sk-live-0987654321"})  # a new value stays bound
    assert again.body["origins"] == made.body["origins"]
    freed = await api.call("PATCH", "/secrets/KEY", {"origins": []})
    assert (freed.status, freed.body["origins"]) == (200, [])
    assert (await api.call("GET", "/secrets")).body["items"][0]["origins"] == []
    bound = next(row for row in (await api.store.audit.list())[0] if row.action == "secret.bind")
    assert bound.before is not None
    assert bound.after is not None
    assert (bound.before["origins"], bound.after["origins"]) == (made.body["origins"], [])
    assert not [text for text in api.texts if "sk-live" in text]


@pytest.mark.parametrize(
    "change",
    [
        {"upstream": "https://evil.example.org"},
        {"upstream": "http://api.example.org"},
        {"upstream": "https://api.example.org:8443"},
        {"upstream": "https://api.example.org.evil.org"},
    ],
)
async def test_a_proxy_does_not_take_it_elsewhere(api: Api, change: dict[str, Any]) -> None:
    await api.call("PUT", "/secrets/KEY", KEY)
    assert (await api.call("POST", "/proxies", WEB)).status == 201
    other = WEB | {"name": "two", "path": "/two"} | change
    for method, path, body in (
        ("PATCH", "/proxies/web", change | {"version": 1}),
        ("PUT", "/proxies/web", WEB | change | {"version": 1}),
        ("PATCH", "/proxies/web?dry_run=true", change | {"version": 1}),
        ("POST", "/proxies", other),
        ("POST", "/proxies?dry_run=true", other),
        ("POST", "/proxies/validate", other),
    ):
        refused = await api.call(method, path, body)
        assert (refused.status, refused.body["code"]) == (400, "validation"), (method, path)
        (field,) = refused.body["fields"]
        assert field["path"] == "upstream"
        assert "KEY may be sent to http://127.0.0.1:9000, https://api.example.org alone" in field["message"]
    assert (await api.call("GET", "/proxies/web")).body["upstream"] == WEB["upstream"]
    assert (await api.call("GET", "/proxies")).body["total"] == 1


async def test_what_stays_at_the_origins_is_free(api: Api) -> None:
    await api.call("PUT", "/secrets/KEY", KEY)
    await api.call("PUT", "/secrets/FREE", {"value": "v"})
    assert (await api.call("POST", "/proxies", WEB)).status == 201
    for version, upstream in enumerate(("https://API.example.org:443/other", "http://127.0.0.1:9000/x"), 1):
        changed = await api.call("PATCH", "/proxies/web", {"upstream": upstream, "version": version})
        assert changed.status == 200, changed.body
    away = {"upstream": "https://else.example.org", "headers": {"Authorization": "Bearer {secret.FREE}"}, "version": 3}
    assert (await api.call("PATCH", "/proxies/web", away)).status == 200


async def test_a_binding_that_a_proxy_breaks_is_refused(api: Api) -> None:
    await api.call("PUT", "/secrets/KEY", {"value": "v"})
    await api.call("POST", "/proxies", WEB)
    api.file.upstreams = ({"name": "named", "endpoints": [{"url": "http://h"}], "max_concurrent": 7},)
    headers = {"X": "{secret.KEY}"}
    api.file.declared = (
        {"name": "own", "path": "/own", "upstream": "http://h", "headers": headers},
        {"name": "shared", "path": "/shared", "upstream": "named", "headers": headers},
    )
    for method, body in (
        ("PATCH", {"origins": ["https://api.example.org"]}),
        ("PUT", {"value": "w", "origins": ["https://api.example.org"]}),
    ):
        refused = await api.call(method, "/secrets/KEY", body)
        assert (refused.status, refused.body["code"]) == (409, "secret_in_use")
        assert "send this secret elsewhere: own, shared;" in refused.body["details"]
    assert (await api.store.secrets.reveal())["KEY"] == "v"
    both = await api.call("PATCH", "/secrets/KEY", {"origins": ["https://api.example.org", "http://H:80"]})
    assert both.body["origins"] == ["http://h", "https://api.example.org"]
    shared = (await api.call("GET", "/proxies/shared")).body
    assert (shared["upstream"], shared["max_concurrent"]) == ("named", 7)


async def test_a_fallback_does_not_take_it_elsewhere(api: Api) -> None:
    await api.call("PUT", "/secrets/KEY", KEY)
    second = {"fallback": {"on": ["connect"], "upstream": "http://127.0.0.1:9001"}}
    refused = await api.call("POST", "/proxies", WEB | second)
    assert (refused.status, [field["path"] for field in refused.body["fields"]]) == (400, ["fallback.upstream"])
    good = {"fallback": {"on": ["connect"], "upstream": "http://127.0.0.1:9000"}}
    assert (await api.call("POST", "/proxies", WEB | good)).status == 201
    narrowed = await api.call("PATCH", "/secrets/KEY", {"origins": ["https://api.example.org"]})
    assert (narrowed.status, narrowed.body["code"]) == (409, "secret_in_use")


@pytest.mark.parametrize(
    ("origin", "hint"),
    [
        ("api.example.org", "must begin with http"),
        ("https://api.example.org/v1", "remove the path"),
        ("https://u:p@api.example.org", "must not hold a user"),
        ("https://api.example.org?x", "query"),
        ("https://a b", "holds a space"),
        ("https://", "host is missing"),
    ],
)
async def test_what_is_no_origin(api: Api, origin: str, hint: str) -> None:
    await api.call("PUT", "/secrets/KEY", {"value": "v"})
    for method, body in (("PATCH", {}), ("PUT", {"value": "w"})):
        refused = await api.call(method, "/secrets/KEY", body | {"origins": ["https://good.example.org", origin]})
        assert (refused.status, refused.body["fields"][0]["path"]) == (400, "origins.1")
        assert hint in refused.body["fields"][0]["message"]


async def test_there_must_be_a_secret(api: Api) -> None:
    assert (await api.call("PATCH", "/secrets/NONE", {"origins": []})).status == 404


async def test_bindings_travel_with_the_values(api: Api, tmp_path: Path) -> None:
    from gateway.cli import files

    file = tmp_path / "out.json"
    files.write(file, {"secrets": {"A": "v", "B": {"value": "$w", "origins": ["https://b.example.org"]}}})
    assert files.secrets(file, files.read(file)) == {
        "A": files.Secret("v"),
        "B": files.Secret("$w", ("https://b.example.org",)),
    }
    for wrong in ({"value": 1}, {"origins": []}, {"value": "sk-live", "x": 1}, {"value": "sk-live", "origins": "a"}, 7):
        file.write_text(json.dumps({"secrets": {"A": wrong}}))
        with pytest.raises(files.BadFile) as caught:
            files.secrets(file, files.read(file))
        assert "secrets.A" in caught.value.message
        assert "sk-live" not in caught.value.message
