"""Reads what a language model's response says of its tokens, in pieces cut anywhere, with bounded memory.

Sources: OpenAI, chat completions (``usage``; in a stream in the last chunk, when the request has ``stream_options:
{include_usage: true}``, and null in all others) and responses (``response.usage`` in the last event); Anthropic,
messages (``message.usage`` in the event message_start, ``usage`` with the totals so far in message_delta).

A stream costs one search of each piece once its first token was seen: only lines with an object of usage are parsed.
Nothing here raises: what cannot be read is not known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal, Protocol

import orjson

from gateway.core.usage import MOST_TOKENS, NOT_SAID, Usage

Vendor = Literal["openai", "anthropic"]
Json = Mapping[str, object]

MOST_BYTES: Final = 262_144
"""Of a line of a stream, and of a body of JSON that is parsed as a whole."""
TAIL: Final = 65_536
"""Bytes at the end of a longer body in which its usage is looked for: all vendors write it last."""
_MOST_EVENTS: Final = 100
"""Events without a token that are parsed in search of the first one."""
_MOST_MEMBERS: Final = 16
"""Members of a long body that are tried."""
_MOST_NAME: Final = 100

_DATA: Final = b"data:"
_BOM: Final = b"\xef\xbb\xbf"
_LINE_END: Final = re.compile(rb"[\r\n]")
_USAGE: Final = re.compile(rb'"usage"\s*:\s*\{')
_MEMBER: Final = re.compile(rb'"(?:usage|model)"\s*:')
_UNFIT: Final = re.compile(r"[^A-Za-z0-9._:/@+-]")


class UsageReader(Protocol):
    """Of one response; writes into a `Usage` what it finds."""

    def feed(self, piece: bytes, now: float) -> None:
        """More of the body came at ``now``."""
        ...

    def finish(self, now: float) -> None:
        """The body is complete."""
        ...


class _Facts:
    """Takes facts out of parsed JSON."""

    __slots__ = ("_counts", "_inner", "_says_token", "_uncached", "_written", "malformed", "overlong", "usage")

    def __init__(self, usage: Usage, vendor: Vendor) -> None:
        self.usage = usage
        self.malformed = False
        self.overlong = False
        """A part was left out for its length."""
        anthropic = vendor == "anthropic"
        self._inner = "message" if anthropic else "response"
        self._counts: Callable[[Json], None] = self._of_anthropic if anthropic else self._of_openai
        self._says_token = _token_of_anthropic if anthropic else _token_of_openai
        self._uncached = self._written = NOT_SAID

    def take(self, message: Json, now: float) -> None:
        """Model and usage, of a message or of what an event has in it."""
        for holder in (message, message.get(self._inner)):
            if not isinstance(holder, dict):
                continue
            model = holder.get("model")
            if isinstance(model, str) and not self.usage.model:
                self.usage.model = _UNFIT.sub("_", model[:_MOST_NAME])
            counts = holder.get("usage")
            if isinstance(counts, dict):
                self.usage.read_at = now
                self._counts(counts)

    def has_token(self, event: Json) -> bool:
        """A part of the result is in it."""
        return self._says_token(event)

    def finish(self) -> None:
        """Say what is not known."""
        usage = self.usage
        if self.malformed:
            usage.unknown = "malformed"
        elif usage.input >= 0 or usage.output >= 0:
            usage.unknown = ""
        else:
            usage.unknown = "too_long" if self.overlong else "absent"

    def _of_openai(self, counts: Json) -> None:
        usage = self.usage
        usage.input = self._newest(usage.input, counts, "prompt_tokens", "input_tokens")
        usage.output = self._newest(usage.output, counts, "completion_tokens", "output_tokens")
        for name in ("prompt_tokens_details", "input_tokens_details"):
            details = counts.get(name)
            if isinstance(details, dict):
                usage.cached = self._newest(usage.cached, details, "cached_tokens")

    def _of_anthropic(self, counts: Json) -> None:
        """The prompt has three parts there, of which an event may repeat only some."""
        usage = self.usage
        self._uncached = self._newest(self._uncached, counts, "input_tokens")
        self._written = self._newest(self._written, counts, "cache_creation_input_tokens")
        usage.cached = self._newest(usage.cached, counts, "cache_read_input_tokens")
        usage.output = self._newest(usage.output, counts, "output_tokens")
        parts = [part for part in (self._uncached, self._written, usage.cached) if part != NOT_SAID]
        usage.input = min(sum(parts), MOST_TOKENS) if parts else NOT_SAID

    def _newest(self, before: int, counts: Json, *names: str) -> int:
        for name in names:
            value = counts.get(name)
            if value is None:
                continue
            if type(value) is int and 0 <= value <= MOST_TOKENS:
                return value
            self.malformed = True
        return before


class EventUsage:
    """A `UsageReader` of a stream of server-sent events. A vendor's event has its data in one line."""

    __slots__ = ("_begun", "_events", "_facts", "_parts", "_size", "_skips")

    def __init__(self, usage: Usage, vendor: Vendor) -> None:
        self._facts = _Facts(usage, vendor)
        self._parts: list[bytes] = []
        """Of the line that has not ended."""
        self._size = 0
        self._skips = False
        """That line is too long."""
        self._events = 0
        """Those that were parsed in search of the first token."""
        self._begun = False
        """A line has ended."""

    def feed(self, piece: bytes, now: float) -> None:
        """As `UsageReader.feed`."""
        last = max(piece.rfind(b"\n"), piece.rfind(b"\r")) + 1
        if not last:
            self._keep(piece)
            return
        whole = piece[:last]
        if self._skips:
            end = _LINE_END.search(whole)
            whole = whole[end.end() :] if end is not None else b""
        elif self._parts:
            whole = b"".join(self._parts) + whole
        self._parts, self._size, self._skips = [], 0, False
        self._keep(piece[last:])
        self._read(whole, now)

    def finish(self, now: float) -> None:
        """As `UsageReader.finish`; a last line may have no end."""
        self._read(b"".join(self._parts), now)
        self._facts.finish()

    def _keep(self, part: bytes) -> None:
        if not part or self._skips:
            return
        self._size += len(part)
        if self._size > MOST_BYTES:
            self._parts, self._skips, self._facts.overlong = [], True, True
        else:
            self._parts.append(part)

    def _read(self, lines: bytes, now: float) -> None:
        """Whole lines."""
        if not self._begun:
            self._begun = True
            lines = lines.removeprefix(_BOM)
        if not self._seeks and len(lines) <= MOST_BYTES and not _USAGE.search(lines):
            return
        for line in lines.splitlines():
            if len(line) > MOST_BYTES:
                self._facts.overlong = True
            elif line.startswith(_DATA) and (self._seeks or _USAGE.search(line)):
                self._read_event(line[len(_DATA) :], now)

    @property
    def _seeks(self) -> bool:
        """The first token has not come."""
        return not self._facts.usage.first_token_at and self._events < _MOST_EVENTS

    def _read_event(self, data: bytes, now: float) -> None:
        event = _parsed(data)
        if event is None:
            return
        facts = self._facts
        facts.take(event, now)
        if self._seeks:
            self._events += 1
            if facts.has_token(event):
                facts.usage.first_token_at = now


class BodyUsage:
    """A `UsageReader` of a body of JSON: of a long one its end is enough, because what begins with a member of the
    outermost object is an object itself, when a brace is put before it, and what begins deeper inside is none."""

    __slots__ = ("_cut", "_facts", "_kept", "_size")

    def __init__(self, usage: Usage, vendor: Vendor) -> None:
        self._facts = _Facts(usage, vendor)
        self._kept: list[bytes] = []
        self._size = 0
        self._cut = False
        """Its beginning is no longer kept."""

    def feed(self, piece: bytes, now: float) -> None:
        """As `UsageReader.feed`."""
        del now
        self._kept.append(piece)
        self._size += len(piece)
        if self._size > MOST_BYTES:
            self._kept = [b"".join(self._kept)[-TAIL:]]
            self._size = TAIL
            self._cut = True

    def finish(self, now: float) -> None:
        """As `UsageReader.finish`."""
        facts, body = self._facts, b"".join(self._kept)
        self._kept = []
        if self._cut:
            body = body[-TAIL:]
            facts.overlong = True
            message = next(_from_members(body), None)
        else:
            message = _parsed(body)
            facts.malformed = message is None
        if message is not None:
            facts.take(message, now)
        facts.finish()


def _from_members(tail: bytes) -> Iterator[Json]:
    """The end of an object from its first member that is looked for."""
    for found in list(_MEMBER.finditer(tail))[-_MOST_MEMBERS:]:
        message = _parsed(b"{" + tail[found.start() :])
        if message is not None:
            yield message


def _parsed(data: bytes) -> Json | None:
    try:
        parsed: object = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _token_of_openai(event: Json) -> bool:
    """Content, reasoning, a refusal or a call of a tool; the first chunk has a role alone."""
    kind = event.get("type")
    if isinstance(kind, str):
        return kind.endswith(".delta") and bool(event.get("delta"))
    choices = event.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            delta = choice.get("delta")
            parts = delta.items() if isinstance(delta, dict) else ()
            if choice.get("text") or any(value for name, value in parts if name != "role"):
                return True
    return False


def _token_of_anthropic(event: Json) -> bool:
    """A delta of a block with something in it: text, thinking, the input of a tool."""
    delta = event.get("delta")
    if event.get("type") != "content_block_delta" or not isinstance(delta, dict):
        return False
    return any(value for name, value in delta.items() if name != "type")
