"""Requests of actions: whatever a caller gives, one request with the fields of the merge goes out, to its upstream."""

from __future__ import annotations

import email
import email.policy
from typing import Any

import h11
from hypothesis import given
from hypothesis import strategies as st

from gateway.actions.auth import authenticated
from gateway.actions.errors import InvalidCallError
from gateway.actions.merge import Merged, Recipe, merge
from gateway.actions.multipart import BOUNDARY
from gateway.config.actions import Action, Auth, Body, Connection, FieldPolicy, Merge, Parameter
from gateway.core.limits import Limits
from gateway.core.message import OutgoingRequest
from gateway.wire.h1.head import HeadParser
from gateway.wire.h1.serialize import request_head

LIMITS = Limits()
PARSER = HeadParser()
HOSTILE = (
    "\r\n\r\nGET /evil HTTP/1.1\r\nHost: evil\r\n\r\n",
    "\r\nX-Evil: 1",
    "\n",
    "\r",
    "\0",
    " HTTP/1.1",
    "..",
    "../evil",
)

FILES = Body("multipart", {"t": "{x}", "f": {"filename": "{x}", "text": "{x}"}, "g": "{other}"})

texts = st.one_of(
    st.text(max_size=8),
    st.sampled_from([*HOSTILE, "?evil=1", "#", "/", "\\", "%0d%0a", "%2e%2e", "&evil=1", ";", "é", "\ud800", "a"]),
    st.builds(lambda a, b: a + b, st.sampled_from(["a", "\u010a", "%"]), st.sampled_from(HOSTILE)),
)
names = st.one_of(
    texts, st.sampled_from(["X-A", "Host", "content-length", "Transfer-Encoding", "Cookie", "Accept", "evil"])
)
values = st.one_of(
    texts, st.none(), st.integers(), st.booleans(), st.floats(allow_nan=False), st.lists(texts, max_size=2)
)
maps = st.dictionaries(names, values, max_size=3)
inputs = st.fixed_dictionaries(
    {"x": texts},
    optional={"headers": maps, "query": maps, "cookies": maps, "body": st.one_of(maps, texts), "other": values},
)
auths = st.sampled_from(
    [
        Auth(),
        Auth("api_key", "key", "k"),
        Auth("api_key", "X-Key", "k"),
        Auth("basic", "u", "p"),
        Auth("hmac", "X-Signature", "k"),
        Auth("sigv4", "AKID", "k", region="r", service="s"),
    ]
)
actions = st.builds(
    Action,
    trn=st.just("a"),
    connection=st.just("c"),
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    path=st.sampled_from(["/{x}", "/a/{x}/b", "a{x}.json"]),
    headers=st.sampled_from([{}, {"X-T": "{x}"}]),
    query=st.sampled_from([{}, {"t": "{x}"}]),
    body=st.sampled_from([None, Body(value={"t": "{x}"}), Body("form", {"t": "{x}"}), Body("text", "{x}"), FILES]),
    parameters=st.sampled_from([(), (Parameter("x", "path", {}, required=True), Parameter("other", "header"))]),
)


def request(connection: Connection, action: Action, given: dict[str, Any]) -> Merged | None:
    try:
        merged = merge(connection, action, given)
        return authenticated(connection.auth, merged, "h", 0.0)
    except InvalidCallError:
        return None


def head_of(merged: Merged) -> bytes:
    lines = b"".join(f"{each.name}: {each.value}\r\n".encode("latin-1") for each in merged.headers)
    length = f"Content-Length: {len(merged.body)}\r\n".encode()
    target = merged.target.encode("ascii")
    outgoing = OutgoingRequest(
        merged.method.encode(),
        target,
        b"h",
        lines + length,
        len(merged.body),
        takes_trailers=False,
        replaced=frozenset(),
    )
    return request_head(outgoing)


@given(inputs, actions, auths, st.sampled_from(["layered", "strict"]), st.booleans())
def test_no_value_makes_a_second_field_or_request(
    given_input: dict[str, Any], action: Action, auth: Auth, mode: Merge, scripts: bool
) -> None:
    policy = FieldPolicy(refuse_scripts=scripts)
    connection = Connection(
        "c", "http://h/base", "u", auth, {"X-C": "1"}, {"c": "1"}, {"c": "1"}, merge=mode, fields=policy
    )
    merged = request(connection, action, given_input)
    if merged is None:
        return
    head = head_of(merged)
    expected = [each.name.lower().encode() for each in merged.headers]
    assert len(set(expected)) == len(expected)

    own = PARSER.request(head.removesuffix(b"\r\n"), LIMITS)
    assert [line.partition(b":")[0].lower() for line in own.fields if not line.lower().startswith(b"host:")][
        : len(expected)
    ] == expected

    peer = h11.Connection(h11.SERVER, max_incomplete_event_size=1_000_000)
    peer.receive_data(head + b"\r\n" + merged.body)
    seen = peer.next_event()
    assert isinstance(seen, h11.Request)
    assert seen.method == merged.method.encode()
    assert [name for name, _ in seen.headers] == [b"host", *expected, b"content-length"]
    body = b""
    while isinstance(event := peer.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert body == merged.body
    assert peer.next_event() in (h11.PAUSED, h11.NEED_DATA)
    assert peer.trailing_data == (b"", False)

    path = seen.target.partition(b"?")[0]
    assert path.startswith(b"/base/")
    assert path.count(b"/") == 2 + action.path.lstrip("/").count("/"), "a value begins no segment"


hostile = st.one_of(
    texts,
    st.sampled_from(
        [
            f'"\r\n\r\n\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name="evil"\r\n\r\n1',
            f"--{BOUNDARY}--",
            f"\r\n--{BOUNDARY}--\r\n",
            'a"; name="evil',
            "a\r\nContent-Type: text/html",
        ]
    ),
)


@given(hostile, st.one_of(hostile, st.fixed_dictionaries({"text": hostile, "filename": hostile})))
def test_no_value_makes_a_second_part_or_field_of_a_part(one: str, other: object) -> None:
    action = Action("a", "c", "POST", "/", body=FILES)
    merged = request(Connection("c", "http://h", "u"), action, {"x": one, "other": other})
    if merged is None:
        return
    text = f"Content-Type: {merged.header('Content-Type')}\r\n\r\n".encode() + merged.body
    parts = email.message_from_bytes(text, policy=email.policy.HTTP).get_payload()
    assert isinstance(parts, list)
    assert [part.get_param("name", header="Content-Disposition") for part in parts] == ["t", "f", "g"]
    assert all(set(part.keys()) == {"Content-Disposition"} for part in parts)
    assert [part.get_payload(decode=True) for part in parts[:2]] == [one.encode()] * 2
    assert merged.body.count(f"--{BOUNDARY}".encode()) == 4
    assert one.encode() in merged.body


def test_hostile_values_reach_the_wire_only_encoded() -> None:
    action = Action("a", "c", "GET", "/{x}", query={"q": "{x}"})
    merged = request(Connection("c", "http://h", "u"), action, {"x": "\r\nHost: evil"})
    assert merged is not None
    assert head_of(merged).splitlines()[0] == b"GET /%0D%0AHost%3A%20evil?q=%0D%0AHost%3A%20evil HTTP/1.1"


@given(st.lists(inputs, min_size=2, max_size=4), actions, st.sampled_from(["layered", "strict"]))
def test_no_call_leaves_anything_for_the_next_one(many: list[dict[str, Any]], action: Action, mode: Merge) -> None:
    connection = Connection("c", "http://h/base", "u", headers={"X-C": "1"}, merge=mode)
    recipe = Recipe(connection, action)
    for each in many:
        assert outcome(recipe, each) == outcome(Recipe(connection, action), each)


def outcome(recipe: Recipe, given: dict[str, Any]) -> Merged | tuple[str, list[tuple[str, str]]]:
    try:
        return recipe.merge(given)
    except InvalidCallError as error:
        return error.message, error.fields
