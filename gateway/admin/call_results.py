"""How calls that ended are shown: as JSON, or as the bytes that the third party sent."""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import Awaitable
from dataclasses import asdict, dataclass, field
from typing import Final, TypeVar

import orjson

from gateway.actions.pages import Walk
from gateway.admin.errors import AdminError, unavailable
from gateway.admin.representations import Resource
from gateway.ipc.calls import Called, Calls, Failure
from gateway.ipc.channel import ChannelError

Answer = TypeVar("Answer")

_LARGE: Final = 1 << 18
"""Bytes of JSON whose parsing would keep the event loop from others."""
_SHOWN: Final = ("content-type", "content-encoding", "content-language", "etag", "last-modified")
"""Fields that say what the bytes of a response are."""


class Rest:
    """What follows of a long body. To be closed, whether it was read or not."""

    def __init__(self, calls: Calls, called: Called) -> None:
        self._calls = calls
        self._called: Called = {**called, "body": b""}  # which is not to be kept until the end of the rest
        self._name = called.get("rest", "")

    async def piece(self) -> bytes:
        """The next piece; empty at the end. Raises `AdminError` when the body has broken off."""
        while self._name:
            found = await asked_of_plane(self._calls.piece(self._name))
            if found["done"]:
                self._name = ""
            if (failure := found["failure"]) is not None:
                raise error_of(failure, self._called)
            if found["data"]:
                return found["data"]
        return b""

    async def aclose(self) -> None:
        """End the call, if it has not ended."""
        name, self._name = self._name, ""
        if name:
            with contextlib.suppress(ChannelError):
                await self._calls.leave(name)


@dataclass(frozen=True, slots=True)
class RawResponse:
    """A response whose body is given on as it came. ``fields``: those of it that say what the body is. ``rest``: what
    follows ``body``; None: nothing."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)
    request_id: str
    rest: Rest | None = None


async def asked_of_plane(answer: Awaitable[Answer]) -> Answer:
    """Raises `AdminError` while the data plane is away."""
    try:
        return await answer
    except ChannelError as error:
        raise unavailable(str(error)) from None


def raw(called: Called, calls: Calls) -> RawResponse:
    """Raises `AdminError` when there is no response of the third party. ``calls``: what made the call."""
    if (failure := called["failure"]) is not None:
        raise error_of(failure, called)
    fields = {name.lower(): (name, value) for name, value in called["headers"] if name.lower() in _SHOWN}
    rest = Rest(calls, called) if "rest" in called else None
    return RawResponse(called["status"], tuple(fields.values()), called["body"], called["request_id"], rest)


def walked(walk: Walk, items: list[object], last: Called, attempts: int, seconds: float) -> Resource:
    """All pages of a call together. ``last``: the call of the last page."""
    return {
        "items": items,
        "pages": walk.pages,
        "complete": walk.stop is None,
        "stopped": None if walk.stop is None else asdict(walk.stop),
        "action_trn": last["action"],
        "request_id": last["request_id"],
        "attempts": attempts,
        "execution_time_ms": round(seconds * 1000, 3),
    }


async def result(called: Called) -> Resource:
    """The response of a call. Raises `AdminError` when there is none of the upstream's."""
    if (failure := called["failure"]) is not None:
        raise error_of(failure, called)
    about = {"action_trn": called["action"], "request_id": called["request_id"]}
    if (planned := called["planned"]) is not None:
        return {**about, "dry_run": True, "request": planned}
    body, encoding = await _decoded(called["body"], called["headers"])
    return {
        "status": called["status"],
        "headers": called["headers"],
        "body": body,
        "body_encoding": encoding,
        **about,
        **({"replayed": True} if called.get("replayed") else {}),
        "attempts": called["attempts"],
        "execution_time_ms": round(called["seconds"] * 1000, 3),
    }


async def _decoded(body: bytes, headers: list[tuple[str, str]]) -> tuple[object, str]:
    """The body for JSON, and how it stands there: ``json``, ``text`` or ``base64``."""
    kinds = [value for name, value in headers if name.lower() == "content-type"]
    coded = any(name.lower() == "content-encoding" and value != "identity" for name, value in headers)
    kind = kinds[0].partition(";")[0].strip().lower() if kinds else ""
    if not coded and body and (kind == "application/json" or kind.endswith("+json")):
        try:
            return (await asyncio.to_thread(orjson.loads, body) if len(body) > _LARGE else orjson.loads(body)), "json"
        except orjson.JSONDecodeError:
            pass
    if not coded:
        try:
            return body.decode(), "text"
        except UnicodeDecodeError:
            pass
    return b64encode(body).decode(), "base64"


def error_of(failure: Failure, called: Called) -> AdminError:
    extra: dict[str, object] = {"message": failure["message"], "action_trn": called["action"]}
    if called["attempts"]:
        extra["attempts"] = called["attempts"]
    if retry_after := failure.get("retry_after"):
        extra["retry_after"] = retry_after
    fields = failure.get("fields", [])
    return AdminError(failure["status"], failure["code"], failure["title"], failure["message"], fields, extra)
