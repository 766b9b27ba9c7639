"""Responses of language models in the shapes of their vendors."""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]


def events(*data: Json | str, named: bool = False) -> list[bytes]:
    """The events of a stream, each on its own; ``named``: with a line for the name, as Anthropic sends."""
    made = []
    for each in data:
        text = each if isinstance(each, str) else json.dumps(each)
        name = f"event: {each['type']}\n" if named and isinstance(each, dict) else ""
        made.append(f"{name}data: {text}\n\n".encode())
    return made


def chat_chunk(usage: Json | None = None, **delta: Any) -> Json:
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}] if delta else []
    return {
        "id": "chatcmpl-7",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "choices": choices,
        "usage": usage,
    }


CHAT_USAGE: Json = {
    "prompt_tokens": 19,
    "completion_tokens": 10,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
OPENAI_CHAT = events(
    chat_chunk(role="assistant", content="", refusal=None),
    chat_chunk(content="Hel"),
    chat_chunk(content='lo, "usage": {'),
    chat_chunk(CHAT_USAGE),
    "[DONE]",
)
OPENAI_RESPONSES = events(
    {"type": "response.created", "response": {"id": "r", "model": "gpt-5", "usage": None, "output": []}},
    {"type": "response.output_item.added", "item": {"type": "message", "content": []}},
    {"type": "response.output_text.delta", "delta": "Hello"},
    {
        "type": "response.completed",
        "response": {
            "id": "r",
            "model": "gpt-5",
            "usage": {"input_tokens": 19, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 10},
            "metadata": {},
        },
    },
    named=True,
)
ANTHROPIC = events(
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "role": "assistant",
            "model": "claude-sonnet-4-5",
            "content": [],
            "usage": {
                "input_tokens": 12,
                "cache_creation_input_tokens": 3,
                "cache_read_input_tokens": 4,
                "output_tokens": 1,
            },
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 10}},
    {"type": "message_stop"},
    named=True,
)
OPENAI_BODY: Json = {
    "id": "chatcmpl-7",
    "object": "chat.completion",
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}}],
    "usage": CHAT_USAGE,
}
ANTHROPIC_BODY: Json = {
    "id": "msg_1",
    "type": "message",
    "model": "claude-sonnet-4-5",
    "content": [{"type": "tool_use", "name": "t", "input": {"usage": {"input_tokens": 666}}}],
    "usage": {
        "input_tokens": 12,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 4,
        "output_tokens": 10,
    },
}
