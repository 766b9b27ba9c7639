"""The live page's files: read once, at the start, and served as they are. What the page shows comes from the API."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import ClassVar, Final, Self

import orjson
from aiohttp import web

from gateway.errors import REASONS

_HEADERS: Final = {
    # The files change only with the gateway; a revalidation costs almost nothing.
    "Cache-Control": "no-cache",
    # Trusted types: no text of a caller can become markup, whatever the code does.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_KINDS: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
}


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Asset:
    content: bytes
    kind: str
    etag: str

    @classmethod
    def of(cls, name: str, content: bytes) -> Self:
        return cls(content, _KINDS[name.rpartition(".")[2]], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


@dataclass(frozen=True, slots=True)
class StaticFiles:
    """``assets`` by what follows `BASE` in the path; nothing else is ever looked up."""

    BASE: ClassVar = "/_/"
    assets: Mapping[str, Asset]

    @classmethod
    def load(cls) -> Self:
        folder = resources.files("gateway.api") / "page"
        found = {
            file.name: Asset.of(file.name, file.read_bytes())
            for file in folder.iterdir()
            if file.name.rpartition(".")[2] in _KINDS
        }
        return cls({"": found["index.html"], **found, "reasons.json": Asset.of("reasons.json", _reasons())})


def add_static_files(files: StaticFiles, router: web.UrlDispatcher) -> None:
    """Serve ``files``, and lead browsers there from the root."""

    def serve(asset: Asset) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            known = request.headers.get("If-None-Match", "")
            headers = {**_HEADERS, "ETag": asset.etag}
            if asset.etag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
                return web.Response(status=304, headers=headers)
            return web.Response(body=asset.content, headers={**headers, "Content-Type": asset.kind})

        return handle

    async def lead(_: web.Request) -> web.StreamResponse:
        return web.Response(status=308, headers={**_HEADERS, "Location": files.BASE})

    for path in ("/", files.BASE.rstrip("/")):
        router.add_get(path, lead)
    for name, asset in files.assets.items():
        router.add_get(files.BASE + name, serve(asset))


def _reasons() -> bytes:
    """Why the gateway refuses, for people: the table of `gateway.errors`."""
    table = {
        reason.code: {
            "status": reason.status,
            "title": reason.title,
            "source": reason.source.value,
            "details": reason.details,
        }
        for reason in REASONS.values()
    }
    return orjson.dumps(table)
