from __future__ import annotations

import json
import random
from typing import Any

import pytest

from gateway.proxy.json_member import with_member


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        (b'{"model":"a"}', b'{"model":"new"}'),
        (b' {"x": 1.10, "model" : "a\\"}" , "y":[1e2]}\n', b' {"x": 1.10, "model" : "new" , "y":[1e2]}\n'),
        (b'{"model":{"a":[{}]},"b":2}', b'{"model":"new","b":2}'),
        (b'{"model":[["]"]]}', b'{"model":"new"}'),
        (b'{"model":null,"a":1}', b'{"model":"new","a":1}'),
        (b'{"model":-1.5e3}', b'{"model":"new"}'),
        (b'{"mod\\u0065l":"a"}', b'{"mod\\u0065l":"new"}'),
        (b'{"model":"a","model":"b"}', b'{"model":"new","model":"new"}'),
        (b'{"a":{"model":"in"},"model":"a"}', b'{"a":{"model":"in"},"model":"new"}'),
        (b'{"a":"model","b":["model"]}', b'{"model":"new","a":"model","b":["model"]}'),
        (b"{ }", b'{"model":"new" }'),
        (b'{"a":1}', b'{"model":"new","a":1}'),
        ('{"é":"\U0001f600","model":"ü"}'.encode(), '{"é":"\U0001f600","model":"new"}'.encode()),
    ],
)
def test_one_member_changes_and_no_other_byte(body: bytes, changed: bytes) -> None:
    assert with_member(body, "model", "new") == changed


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'"model"', b"{", b'{"model":"a"', b'{"a":1}{"model":"a"}', b"\xff", b"1"]
)
def test_what_is_no_object_stays(body: bytes) -> None:
    assert with_member(body, "model", "new") is None


def test_a_text_is_escaped() -> None:
    changed = with_member(b'{"model":"a"}', "model", 'a"\\\n')
    assert changed is not None
    assert json.loads(changed) == {"model": 'a"\\\n'}


@pytest.mark.parametrize("seed", range(20))
def test_it_is_what_a_parser_would_have_changed(seed: int) -> None:
    dice = random.Random(seed)

    def value(depth: int) -> Any:
        kind = dice.randrange(8 if depth < 4 else 6)
        if kind == 6:
            return [value(depth + 1) for _ in range(dice.randrange(4))]
        if kind == 7:
            return obj(depth + 1)
        return (None, True, dice.randrange(10**6), dice.random(), 'a"}],:{[\\', "model")[kind]

    def obj(depth: int) -> dict[str, Any]:
        keys = dice.sample(["model", "a", 'b"', "c\\", "}{", "usage", "é"], dice.randrange(7))
        return {key: value(depth) for key in keys}

    for _ in range(200):
        made = obj(0)
        indent = dice.choice((None, 1))
        text = json.dumps(made, indent=indent, ensure_ascii=dice.random() < 0.5).encode()
        changed = with_member(text, "model", "new")
        assert changed is not None
        assert json.loads(changed) == made | {"model": "new"}
