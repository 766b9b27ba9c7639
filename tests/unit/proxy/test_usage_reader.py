"""The usage of models, from recorded shapes that are cut anywhere, and from what no vendor sends."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from harness.models import (
    ANTHROPIC,
    ANTHROPIC_BODY,
    CHAT_USAGE,
    OPENAI_BODY,
    OPENAI_CHAT,
    OPENAI_RESPONSES,
    chat_chunk,
    events,
)

from gateway.core.usage import MOST_TOKENS, Usage
from gateway.proxy.usage_reader import MOST_BYTES, TAIL, BodyUsage, EventUsage, Vendor

Facts = tuple[str, int, int, int, str]
STREAMS: list[tuple[Vendor, list[bytes], Facts, int]] = [
    ("openai", OPENAI_CHAT, ("gpt-4o-mini-2024-07-18", 19, 10, 4, ""), 2),
    ("openai", OPENAI_RESPONSES, ("gpt-5", 19, 10, 4, ""), 3),
    ("anthropic", ANTHROPIC, ("claude-sonnet-4-5", 19, 10, 4, ""), 4),
]
"""The last number: which event has the first token."""


def facts(usage: Usage) -> Facts:
    return usage.model, usage.input, usage.output, usage.cached, usage.unknown


def streamed(vendor: Vendor, *pieces: bytes, finish: bool = True) -> Usage:
    """The piece number n comes at n seconds."""
    usage = Usage()
    reader = EventUsage(usage, vendor)
    for number, piece in enumerate(pieces, 1):
        reader.feed(piece, float(number))
    if finish:
        reader.finish(float(len(pieces)))
    return usage


def whole(vendor: Vendor, *pieces: bytes) -> Usage:
    usage = Usage()
    reader = BodyUsage(usage, vendor)
    for piece in pieces:
        reader.feed(piece, 1.0)
    reader.finish(2.0)
    return usage


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    bounds = [0, *sorted(places), len(data)]
    return [data[first:last] for first, last in itertools.pairwise(bounds)]


@pytest.mark.parametrize(("vendor", "stream", "expected", "first"), STREAMS)
class TestStreams:
    def test_all_of_it_is_read(self, vendor: Vendor, stream: list[bytes], expected: Facts, first: int) -> None:
        usage = streamed(vendor, *stream)
        assert facts(usage) == expected
        assert usage.first_token_at == first
        assert usage.read_at > first

    @pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
    def test_pieces_may_be_cut_anywhere(
        self, vendor: Vendor, stream: list[bytes], expected: Facts, first: int, line_end: bytes
    ) -> None:
        del first
        data = b"\xef\xbb\xbf" + b": hello\n\n".join(stream).replace(b"\n", line_end)
        for place in range(len(data) + 1):
            usage = streamed(vendor, *cut(data, [place]))
            assert (facts(usage), usage.first_token_at > 0) == (expected, True)
        usage = streamed(vendor, *cut(data, range(1, len(data))))
        assert (facts(usage), usage.first_token_at > 0) == (expected, True)

    def test_what_came_before_a_cut_counts(
        self, vendor: Vendor, stream: list[bytes], expected: Facts, first: int
    ) -> None:
        usage = streamed(vendor, *stream[:first], finish=False)
        assert usage.unknown == "cut"
        assert (usage.input, usage.output) == ((19, 1) if vendor == "anthropic" else (-1, -1))
        assert usage.model == expected[0]


def test_a_stream_that_says_nothing_of_usage() -> None:
    assert facts(streamed("openai", *OPENAI_CHAT[:3], OPENAI_CHAT[4])) == (
        "gpt-4o-mini-2024-07-18", -1, -1, -1, "absent",
    )  # fmt: skip
    assert streamed("openai", b"").unknown == "absent"


@pytest.mark.parametrize(
    ("vendor", "event", "token"),
    [
        ("openai", chat_chunk(role="assistant", content=""), False),
        ("openai", chat_chunk(reasoning_content="Hm"), True),
        ("openai", chat_chunk(tool_calls=[{"index": 0, "function": {"name": "f"}}]), True),
        ("openai", {"choices": [{"text": "a"}]}, True),
        ("openai", {"choices": [{"text": ""}]}, False),
        ("openai", {"choices": ["a", {"delta": "a"}]}, False),
        ("openai", {"choices": {"delta": 1}}, False),
        ("openai", {"type": "response.reasoning_summary_text.delta", "delta": "Hm"}, True),
        ("openai", {"type": "response.output_text.delta", "delta": ""}, False),
        ("openai", {"type": "response.in_progress"}, False),
        ("anthropic", {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "Hm"}}, True),
        (
            "anthropic",
            {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": ""}},
            False,
        ),
        ("anthropic", {"type": "content_block_delta", "delta": "a"}, False),
        ("anthropic", {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, False),
    ],
)
def test_what_a_token_is(vendor: Vendor, event: dict[str, Any], token: bool) -> None:
    assert bool(streamed(vendor, *events(event)).first_token_at) is token


def test_totals_so_far_take_the_place_of_earlier_ones() -> None:
    grown = {"input_tokens": 30, "cache_read_input_tokens": 20, "output_tokens": 12}
    last = events({"type": "message_delta", "delta": {}, "usage": grown}, named=True)
    assert facts(streamed("anthropic", *ANTHROPIC, *last)) == ("claude-sonnet-4-5", 53, 12, 20, "")


@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
@pytest.mark.parametrize("wrong", [-1, 1.5, 1e300, True, "7", [], {}, MOST_TOKENS + 1, 10**30])
def test_numbers_that_are_none_are_not_taken(vendor: Vendor, wrong: object) -> None:
    names = ("prompt_tokens", "completion_tokens") if vendor == "openai" else ("input_tokens", "output_tokens")
    body = {"usage": {names[0]: wrong, names[1]: 5}}
    usage = whole(vendor, json.dumps(body).encode())
    assert (usage.input, usage.output, usage.tokens, usage.unknown) == (-1, 5, 5, "malformed")


def test_the_parts_of_a_prompt_are_bounded_together() -> None:
    parts = dict.fromkeys(("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"), MOST_TOKENS)
    assert whole("anthropic", json.dumps({"usage": parts}).encode()).input == MOST_TOKENS


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_has_not(number: str) -> None:
    assert whole("openai", b'{"usage": {"prompt_tokens": %b}}' % number.encode()).unknown == "malformed"


def test_a_model_is_sanitised_and_short() -> None:
    usage = whole("openai", json.dumps({"model": 'meta/Llama-3.1:8b"\\\n\x00é' + "x" * 1000, "usage": {}}).encode())
    assert usage.model.startswith("meta/Llama-3.1:8b_____x")
    assert len(usage.model) == 100
    assert whole("openai", b'{"model": 7}').model == ""


class TestBodies:
    @pytest.mark.parametrize(
        ("vendor", "body", "model"),
        [("openai", OPENAI_BODY, "gpt-4o-mini-2024-07-18"), ("anthropic", ANTHROPIC_BODY, "claude-sonnet-4-5")],
    )
    def test_pieces_may_be_cut_anywhere(self, vendor: Vendor, body: dict[str, Any], model: str) -> None:
        data = json.dumps(body, indent=1).encode()
        for place in range(len(data) + 1):
            assert facts(whole(vendor, *cut(data, [place]))) == (model, 19, 10, 4, "")

    def test_embeddings_have_a_prompt_alone(self) -> None:
        body = {"data": [], "model": "e", "usage": {"prompt_tokens": 8, "total_tokens": 8}}
        assert facts(whole("openai", json.dumps(body).encode())) == ("e", 8, -1, -1, "")

    @pytest.mark.parametrize("data", [b"", b"[]", b"7", b"{", b"<html>", b'{"a":' * 2000, b"\xff"])
    def test_what_is_no_object(self, data: bytes) -> None:
        assert whole("openai", data).unknown == "malformed"

    @pytest.mark.parametrize("size", [1, 1000, 32768, 10**7])
    def test_of_a_long_one_the_end_is_enough(self, size: int) -> None:
        data = json.dumps({"data": "x" * (2 * MOST_BYTES), "model": "e", "usage": {"prompt_tokens": 8}}).encode()
        size = max(size, 500)
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert facts(whole("openai", *pieces)) == ("e", 8, -1, -1, "")

    def test_the_same_at_any_length_around_the_bound(self) -> None:
        for size in range(MOST_BYTES - 60, MOST_BYTES + 10):
            data = json.dumps({"data": "x" * size, "usage": {"prompt_tokens": 8}}).encode()
            assert whole("openai", data[:1000], data[1000:]).input == 8

    def test_a_member_of_another_object_is_not_its_usage(self) -> None:
        inner = {"usage": {"prompt_tokens": 666}, "model": "no"}
        body = {"data": "x" * MOST_BYTES, "deep": {"a": [inner, inner]}, "usage": {"prompt_tokens": 8}, "more": inner}
        assert facts(whole("openai", json.dumps(body).encode()))[:2] == ("", 8)
        assert whole("openai", json.dumps({"data": "x" * MOST_BYTES, "deep": inner}).encode()).unknown == "too_long"

    def test_a_text_that_looks_like_it_is_not(self) -> None:
        text = json.dumps({"usage": {"prompt_tokens": 666}}) + '"usage":{"prompt_tokens":666}}'
        body = {"data": "x" * MOST_BYTES, "text": text}
        assert whole("openai", json.dumps(body).encode()).unknown == "too_long"

    def test_usage_before_the_end_of_a_long_one_is_not_found(self) -> None:
        body = {"usage": {"prompt_tokens": 8}, "data": "x" * MOST_BYTES}
        usage = whole("openai", json.dumps(body).encode())
        assert (usage.input, usage.unknown) == (-1, "too_long")

    def test_memory_is_bounded(self) -> None:
        reader = BodyUsage(Usage(), "openai")
        for _ in range(500):
            reader.feed(b"x" * 10_000, 1.0)
            assert sum(map(len, reader._kept)) <= MOST_BYTES
        assert TAIL < MOST_BYTES


class TestLongLines:
    LONG = b"data: " + b"x" * MOST_BYTES + b"\n\n"

    @pytest.mark.parametrize("size", [1000, 65536, 10**7])
    def test_they_are_left_out_and_others_are_read(self, size: int) -> None:
        data = self.LONG + b"".join(OPENAI_CHAT) + self.LONG
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        usage = streamed("openai", *pieces)
        assert facts(usage) == ("gpt-4o-mini-2024-07-18", 19, 10, 4, "")
        assert streamed("openai", self.LONG).unknown == "too_long"

    def test_memory_is_bounded(self) -> None:
        reader = EventUsage(Usage(), "openai")
        for _ in range(500):
            reader.feed(b"x" * 10_000, 1.0)
            assert sum(map(len, reader._parts)) <= MOST_BYTES
        reader.feed(b"\n", 1.0)
        reader.feed(OPENAI_CHAT[3], 2.0)
        reader.finish(2.0)
        assert reader._facts.usage.input == 19

    def test_the_search_for_the_first_token_ends(self) -> None:
        nothing = events(chat_chunk(role="assistant"))
        usage = streamed("openai", *nothing * 150, *OPENAI_CHAT)
        assert usage.first_token_at == 0.0
        assert usage.input == 19


@pytest.mark.parametrize("seed", range(30))
def test_garbage_raises_nothing_and_cuts_change_nothing(seed: int) -> None:
    dice = random.Random(seed)
    words = [
        b"data:", b"data: ", b"\n", b"\n\n", b"\r\n", b"{", b"}", b"[", b"]", b'"usage"', b":", b" ", b",", b'"model"',
        b"null", b"\xff", b"\\", b'"', b"7", b"1e400", b'{"usage":{"prompt_tokens":7}}', b"data: [DONE]\n", b'"delta"',
        b'{"choices":[{"delta":{"content":"a"}}]}', b"\xef\xbb\xbf", json.dumps(CHAT_USAGE).encode(), b'"message":{',
    ]  # fmt: skip
    vendors: tuple[Vendor, ...] = ("openai", "anthropic")
    for _ in range(60):
        vendor = dice.choice(vendors)
        data = b"".join(dice.choices(words, k=dice.randrange(1, 60)))
        if dice.random() < 0.5:
            real = b"".join(dice.choice((OPENAI_CHAT, OPENAI_RESPONSES, ANTHROPIC)))
            at = dice.randrange(len(real))
            data = real[:at] + data + real[at:]
        places = [dice.randrange(len(data) + 1) for _ in range(dice.randrange(20))]
        for read in (streamed, whole):
            one, many = read(vendor, data), read(vendor, *cut(data, places))
            assert facts(one) == facts(many)
            assert bool(one.first_token_at) == bool(many.first_token_at)
            assert 0 <= one.tokens <= 2 * MOST_TOKENS
