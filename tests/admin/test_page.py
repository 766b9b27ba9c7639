"""The live page's files: their headers, and that nothing else is ever served."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

import pytest
from admin.conftest import Api

from gateway import api as api_room
from gateway.api.static import StaticFiles
from gateway.errors import REASONS

FOLDER = Path(api_room.__file__).parent / "page"
FILES = sorted(path.name for path in FOLDER.iterdir())


async def fetch(api: Api, path: str, **headers: str) -> tuple[int, Mapping[str, str], bytes]:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    async with api.session.get(api.base + path, headers=given, allow_redirects=False) as answer:
        return answer.status, answer.headers, await answer.read()


@pytest.mark.parametrize("name", ["", "reasons.json", *FILES])
async def test_every_file_is_served_to_everybody_with_a_strict_policy(api: Api, name: str) -> None:
    status, headers, body = await fetch(api, f"/_/{name}")
    assert status == 200
    assert body == StaticFiles.load().assets[name].content != b""
    policy = headers["Content-Security-Policy"]
    for rule in (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ):
        assert rule in policy.split("; ")
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-cache"
    assert headers["Server"] == "breakwater"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("", "text/html; charset=utf-8"),
        ("app.js", "text/javascript; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
        ("reasons.json", "application/json"),
    ],
)
async def test_kinds(api: Api, name: str, kind: str) -> None:
    assert (await fetch(api, f"/_/{name}"))[1]["Content-Type"] == kind


async def test_what_is_known_is_not_sent_again(api: Api) -> None:
    _, headers, _ = await fetch(api, "/_/app.js")
    for known in (headers["ETag"], f'"other", W/{headers["ETag"]}'):
        status, again, body = await fetch(api, "/_/app.js", If_None_Match=known)
        assert (status, body, again["ETag"]) == (304, b"", headers["ETag"])
    assert (await fetch(api, "/_/app.js", If_None_Match='"other"'))[0] == 200
    assert (await fetch(api, "/_/style.css"))[1]["ETag"] != headers["ETag"]


@pytest.mark.parametrize("path", ["/", "/_"])
async def test_the_way_to_the_page(api: Api, path: str) -> None:
    status, headers, _ = await fetch(api, path)
    assert (status, headers["Location"]) == (308, "/_/")


@pytest.mark.parametrize(
    "path",
    [
        *("/_/../web.py", "/_/..%2fweb.py", "/_/%2e%2e/web.py", "/_//etc/passwd", "/_/....//web.py"),
        *("/_/../../../../etc/passwd", "/_/app.js/", "/_/app.js%00", "/_/page", "/_/.", "/_/nothing.js", "/web.py"),
    ],
)
async def test_nothing_else_is_there(api: Api, path: str) -> None:
    host, port = api.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    assert b" 404 " in answer.split(b"\r\n")[0]
    assert b'"code":"not_found"' in answer


async def test_a_foreign_name_gets_no_page(api: Api) -> None:
    for path in ("/_/", "/_/app.js", "/"):
        status, headers, _ = await fetch(api, path, Host="evil.example")
        assert (status, headers["X-Gateway-Reason"]) == (421, "misdirected")


async def test_the_page_is_read_only(api: Api) -> None:
    async with api.session.post(api.base + "/_/app.js") as answer:
        assert answer.status == 405


def test_every_reason_is_explained() -> None:
    text = StaticFiles.load().assets["reasons.json"].content.decode()
    assert all(f'"{code}":' in text for code in REASONS)


class _Sources(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_needs_nobody_else_and_writes_no_markup() -> None:
    """No address of a stranger's, no inline code, no sink that turns text into elements."""
    parser = _Sources()
    parser.feed((FOLDER / "index.html").read_text())
    for tag, attributes in parser.found:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        assert "//" not in (attributes.get("src") or "") + (attributes.get("href") or "")
    for path in FOLDER.glob("*.js"):
        text = path.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            path
        )
        for found in re.findall(r"""from ['"]([^'"]+)['"]""", text):
            assert (FOLDER / found).is_file(), f"{path.name} imports {found}"
