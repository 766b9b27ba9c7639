from typing import Any

import orjson
import pytest

from gateway.actions.errors import MISCONFIGURED, InvalidCallError
from gateway.actions.fields import Layered
from gateway.actions.merge import Merged, Recipe, merge
from gateway.config.actions import Action, Body, Connection, FieldPolicy, Merge, Parameter, ParameterPlace

Headers = list[tuple[str, str, str]]


def connection(merge: Merge = "layered", base_url: str = "http://h/v1", **rest: Any) -> Connection:
    return Connection("c", base_url, "u", merge=merge, **rest)


def action(method: str = "GET", path: str = "/", **rest: Any) -> Action:
    return Action("a", "c", method, path, **rest)


def parameter(name: str, place: ParameterPlace, *, required: bool = False, default: Any = None) -> Parameter:
    return Parameter(name, place, {}, required, default)


@pytest.mark.covers("ACT-09")
@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("layered", [("X-A", "input", "input"), ("X-B", "action", "action"), ("X-C", "connection", "connection")]),
        (
            "strict",
            [
                ("X-A", "connection", "connection"),
                ("X-B", "connection", "connection"),
                ("X-C", "connection", "connection"),
            ],
        ),
    ],
)
def test_who_wins_over_header_fields(mode: Merge, expected: Headers) -> None:
    own = connection(mode, headers=dict.fromkeys(("X-A", "X-B", "X-C"), "connection"))
    merged = merge(own, action(headers=dict.fromkeys(("X-A", "X-B"), "action")), {"headers": {"X-A": "input"}})
    assert sorted(merged.headers) == expected


@pytest.mark.covers("ACT-09")
@pytest.mark.parametrize(
    ("mode", "target"),
    [("layered", "/v1/?a=input&b=action&c=connection"), ("strict", "/v1/?a=connection&b=connection&c=connection")],
)
def test_who_wins_over_parameters(mode: Merge, target: str) -> None:
    own = connection(mode, query=dict.fromkeys("abc", "connection"))
    merged = merge(own, action(query=dict.fromkeys("ab", "action")), {"query": {"a": "input"}})
    path, _, query = merged.target.partition("?")
    assert f"{path}?{'&'.join(sorted(query.split('&')))}" == target


@pytest.mark.covers("ACT-09")
@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("layered", {"a": "input", "b": "connection", "d": 1}),
        ("strict", {"a": "connection", "b": "connection", "d": 1}),
    ],
)
def test_who_wins_over_members_of_the_body(mode: Merge, expected: dict[str, Any]) -> None:
    own = connection(mode, body={"a": "connection", "b": "connection"})
    merged = merge(own, action("POST"), {"body": {"a": "input", "d": 1}})
    assert orjson.loads(merged.body) == expected
    assert merged.header("content-type") == "application/json"


@pytest.mark.covers("ACT-09")
@pytest.mark.parametrize("body", [Body("json", [1, 2]), Body("json", "text"), Body("text", "text", "text/x")])
def test_strict_replaces_a_body_that_is_no_object(body: Body) -> None:
    merged = merge(connection("strict", body={"a": 1}), action("POST", body=body), {})
    assert merged.body == b'{"a":1}'
    assert merged.header("content-type") == "application/json"


def test_layered_keeps_a_text_and_refuses_to_add_members_to_a_list() -> None:
    own = connection(body={"a": 1})
    assert merge(own, action("POST", body=Body("text", "x")), {}).body == b"x"
    with pytest.raises(InvalidCallError, match="is no object") as caught:
        merge(own, action("POST", body=Body("json", [1])), {})
    assert caught.value.code == MISCONFIGURED


@pytest.mark.covers("ACT-09", "ACT-10")
def test_strict_gives_reserved_fields_back_to_the_action_but_not_to_the_caller() -> None:
    own = connection("strict", headers={"Authorization": "connection", "X-A": "connection"})
    call = action(headers={"authorization": "action", "X-A": "action"})
    assert set(merge(own, call, {}).headers) == {
        ("authorization", "action", "action"),
        ("X-A", "connection", "connection"),
    }
    forged = merge(own, action(), {"headers": {"Authorization": "input"}})
    assert forged.header("authorization") == "connection"


@pytest.mark.covers("ACT-09")
@pytest.mark.parametrize("mode", ["layered", "strict"])
def test_lists_add_up_in_both_modes(mode: Merge) -> None:
    own = connection(mode, headers={"Accept": "b/b, a/a"})
    assert merge(own, action(headers={"accept": "c/c, a/a"}), {}).header("accept") == "a/a, b/b, c/c"


@pytest.mark.covers("ACT-09")
def test_null_removes_what_an_earlier_layer_has_set_unless_the_connection_is_strict() -> None:
    given = {"headers": {"X-A": None}, "query": {"q": None}}
    for mode, left in (("layered", ""), ("strict", "1")):
        own = connection(mode, headers={"X-A": "1"}, query={"q": "1"})  # type: ignore[arg-type] # a word of Merge
        merged = merge(own, action(), given)
        assert merged.header("X-A") == left
        assert merged.target == ("/v1/?q=1" if left else "/v1/")


@pytest.mark.covers("ACT-09")
@pytest.mark.parametrize(("mode", "target"), [("layered", "/v1/?q=a&q=b%2Cc"), ("strict", "/v1/?q=a%2Cb%2Cc")])
def test_several_values_of_a_parameter(mode: Merge, target: str) -> None:
    merged = merge(connection(mode), action(), {"query": {"q": ["a", "b,c"]}, "headers": {"X-A": ["1", 2, True]}})
    assert merged.target == target
    assert merged.header("X-A") == "1, 2, true"


@pytest.mark.covers("ACT-09")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_body_of_get_and_head_is_left_out_with_a_warning(method: str) -> None:
    merged = merge(connection(), action(method), {"body": {"a": 1}})
    assert (merged.body, merged.header("content-type")) == (b"", "")
    assert merged.warnings == (f"a {method} request has no body; the body is left out",)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_defaults_of_the_connection_make_no_body_of_a_method_without_one(method: str) -> None:
    merged = merge(connection(body={"a": 1}), action(method), {})
    assert (merged.body, merged.warnings) == (b"", ())


@pytest.mark.parametrize(
    ("base", "path", "given", "target"),
    [
        ("http://h", "/user", {}, "/user"),
        ("http://h/", "user", {}, "/user"),
        ("http://h/v1/", "/orders/{id}", {"id": 7}, "/v1/orders/7"),
        ("http://h", "/a/{x}", {"x": "a/b?c#d e%2F"}, "/a/a%2Fb%3Fc%23d%20e%252F"),
        ("http://h", "/a/{x}", {"x": "é\r\n"}, "/a/%C3%A9%0D%0A"),
        ("http://h", "/{a}-{b}.json", {"a": "1", "b": "2"}, "/1-2.json"),
        ("http://h", "/a/{x}", {"x": "v1..v2"}, "/a/v1..v2"),
        ("http://h", "/a%2Fb/{1}", {}, "/a%2Fb/%7B1%7D"),
        ("http://h", "", {}, "/"),
    ],
)
def test_values_stand_in_the_path_as_a_part_of_a_segment(
    base: str, path: str, given: dict[str, Any], target: str
) -> None:
    assert merge(connection(base_url=base), action(path=path), given).target == target


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *[("/a/{x}", value) for value in ("..", ".", "../admin", "a/../../b", "..\\b", "b/.")],
        ("/a/.{x}", "."),
        ("/a/%2e{x}", "."),
        ("/a/%2e%2e/{x}", "b"),
    ],
)
def test_no_value_goes_up(path: str, value: str) -> None:
    with pytest.raises(InvalidCallError, match="segment of dots"):
        merge(connection(), action(path=path), {"x": value})


@pytest.mark.parametrize(
    ("given", "place"),
    [({}, "x"), ({"x": None}, "x"), ({"x": ""}, "x"), ({"x": ["a"]}, "x"), ({"x": {}}, "x"), ({"x": "\ud800"}, "x")],
)
def test_a_value_of_the_path_is_there_and_is_plain(given: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidCallError) as caught:
        merge(connection(), action(path="/{x}"), given)
    assert [where for where, _ in caught.value.fields] == [place]


def test_parameters_go_where_they_are_declared() -> None:
    call = action(
        "POST",
        "/{id}",
        parameters=(
            parameter("id", "path", required=True),
            parameter("page", "query", default=1),
            parameter("X-Trace", "header"),
            parameter("title", "body"),
            parameter("note", "body"),
        ),
    )
    merged = merge(connection(), call, {"id": 3, "X-Trace": "t", "title": "x"})
    assert merged.target == "/v1/3?page=1"
    assert merged.header("x-trace") == "t"
    assert merged.body == b'{"title":"x"}'


def test_a_parameter_of_a_template_goes_there_alone() -> None:
    call = action(
        "POST",
        headers={"X-A": "a-{a}"},
        query={"q": "{q}", "r": "{missing}"},
        body=Body(value={"issue": {"title": "{title}", "tags": ["{tag}", "x-{tag}"], "note": "{missing}"}, "n": 1}),
        parameters=tuple(parameter(name, "template") for name in ("a", "q", "title", "tag", "missing")),
    )
    merged = merge(connection(), call, {"a": "1", "q": "é &", "title": {"deep": [1]}, "tag": 5})
    assert merged.target == "/v1/?q=%C3%A9%20%26"
    assert merged.header("X-A") == "a-1"
    assert orjson.loads(merged.body) == {"issue": {"title": {"deep": [1]}, "tags": [5, "x-5"]}, "n": 1}


def test_what_is_not_declared_goes_to_the_query_or_the_body_unless_it_stands_in_a_template() -> None:
    given = {"id": "1", "x": "2", "t": "3"}
    assert merge(connection(), action(path="/{id}", headers={"X-T": "{t}"}), given).target == "/v1/1?x=2"
    merged = merge(connection(), action("POST", "/{id}", body=Body(value={"u": "{t}"})), given)
    assert (merged.target, merged.body) == ("/v1/1", b'{"u":"3","x":"2"}')


def test_a_required_parameter_of_a_template_is_not_left_out() -> None:
    call = action(query={"q": "{q}"}, parameters=(parameter("q", "template", required=True),))
    with pytest.raises(InvalidCallError, match="the input has no q"):
        merge(connection(), call, {})
    call = action(query={"q": "{q}"}, parameters=(parameter("q", "template", default=5),))
    assert merge(connection(), call, {}).target == "/v1/?q=5"


@pytest.mark.parametrize(
    ("body", "given", "sent", "content_type"),
    [
        (Body("form", {"a": "{x}", "b": ["1", "2"], "c": None}), {"x": "é &="}, b"a=%C3%A9+%26%3D&b=1&b=2", "form"),
        (Body("text", "hello {x}"), {"x": "w"}, b"hello w", "text/plain; charset=utf-8"),
        (Body("text", "<a/>", "application/xml"), {}, b"<a/>", "application/xml"),
        (Body("json", None), {}, b"null", "application/json"),
        (Body("json", {"n": 1.5, "t": True}), {}, b'{"n":1.5,"t":true}', "application/json"),
        (None, {"body": "text"}, b"text", "text/plain; charset=utf-8"),
        (Body("json", {"a": 1}), {"body": [1]}, b"[1]", "application/json"),
        (Body("json", {"a": 1}), {"body": {"b": "{x}"}}, b'{"b":"{x}"}', "application/json"),
        (Body("json", {"a": 1}), {"body": None}, b"", ""),
        (None, {}, b"", ""),
    ],
)
def test_bodies(body: Body | None, given: dict[str, Any], sent: bytes, content_type: str) -> None:
    merged = merge(connection(), action("POST", body=body), given)
    assert merged.body == sent
    expected = "application/x-www-form-urlencoded" if content_type == "form" else content_type
    assert merged.header("Content-Type") == expected


def test_members_of_a_form_stay_a_form() -> None:
    call = action("POST", body=Body("form", {"a": "1"}), parameters=(parameter("b", "body"),))
    assert merge(connection(body={"c": "3"}), call, {"b": 2}).body == b"c=3&a=1&b=2"


def test_members_of_a_form_with_files_stay_one() -> None:
    body = Body("multipart", {"a": "{x}", "f": {"filename": "{x}.txt", "text": "hello {x}"}})
    parameters = (parameter("b", "body"), parameter("x", "template"))
    merged = merge(connection(body={"c": "3"}), action("POST", body=body, parameters=parameters), {"b": 2, "x": "y"})
    assert merged.header("Content-Type").startswith("multipart/form-data; boundary=")
    for name, value in (("a", "y"), ("b", "2"), ("c", "3")):
        assert f'name="{name}"\r\n\r\n{value}\r\n'.encode() in merged.body
    assert b'name="f"; filename="y.txt"\r\n\r\nhello y\r\n' in merged.body


def test_a_content_type_that_a_layer_sets_is_kept() -> None:
    call = action("POST", headers={"content-type": "application/x"}, body=Body(value={}))
    assert merge(connection(), call, {}).headers == (("content-type", "application/x", "action"),)


def test_cookies_are_one_field_and_add_to_those_of_other_layers() -> None:
    own = connection(headers={"Cookie": "a=1; b=2"})
    merged = merge(own, action(), {"cookies": {"b": 3, "c": "x", "d": None}})
    assert merged.header("cookie") == "a=1; b=3; c=x"


@pytest.mark.parametrize("cookies", [{"a;b": "1"}, {"a": "1; admin=1"}, {"a": "x\r\n"}, {"": "1"}, {"a": "\ud800"}])
def test_no_cookie_holds_another(cookies: dict[str, str]) -> None:
    with pytest.raises(InvalidCallError):
        merge(connection(), action(), {"cookies": cookies})


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"headers": "x"}, "headers"),
        ({"query": [1]}, "query"),
        ({"cookies": 1}, "cookies"),
        ({"headers": {"X-A": {}}}, "headers.X-A"),
        ({"query": {"q": {}}}, "query.q"),
        ({"query": {"q": [[]]}}, "query.q"),
        ({"query": {"\ud800": "x"}}, "query"),
        ({"query": {"q": "\ud800"}}, "query.q"),
        ({"body": {"a": "\ud800"}}, "body"),
        ({"body": {"a": 2**70}}, "body"),
        ({"body": "\ud800"}, "body"),
    ],
)
def test_what_cannot_be_sent_is_named_by_its_place(given: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidCallError) as caught:
        merge(connection(), action("POST"), given)
    assert [where for where, _ in caught.value.fields] == [place]


def test_denied_fields_are_warned_of_and_the_policy_of_the_action_comes_first() -> None:
    own = connection(fields=FieldPolicy(max_fields=1))
    merged = merge(own, action(), {"headers": {"Host": "evil", "X-A": "1"}})
    assert merged.headers == (Layered("X-A", "1", "input"),)
    assert len(merged.warnings) == 1
    call = action(headers={"X-A": "1", "X-B": "2"}, fields=FieldPolicy(max_fields=2))
    assert len(merge(own, call, {}).headers) == 2


@pytest.mark.parametrize("method", ["get", "", "GET /evil HTTP/1.1\r\nX", "G" * 21])
def test_a_method_is_a_word_of_capitals(method: str) -> None:
    with pytest.raises(InvalidCallError, match="the method is no word"):
        merge(connection(), action(method), {})


def test_a_field_can_be_put_in_place_of_all_of_its_name() -> None:
    merged = Merged("GET", "/", (), (Layered("x-a", "1", "input"), Layered("X-B", "2", "input")))
    assert merged.with_header("X-A", "3", "auth").headers == (("X-B", "2", "input"), ("X-A", "3", "auth"))


@pytest.mark.parametrize("mode", ["layered", "strict"])
def test_what_a_recipe_keeps_changes_nothing(mode: Merge) -> None:
    own = connection(mode, headers={"X-C": "1", "Host": "h"}, query={"c": "1"})
    call = action("POST", "/{x}", headers={"X-A": "1"})
    recipe = Recipe(own, call)
    inputs: list[dict[str, Any]] = [
        {"x": "1"},
        {"x": "2", "headers": {"X-A": "2"}},
        {"x": "3", "body": {"a": 1}},
        {"x": "4", "body": "text", "query": {"q": 1}},
        {"x": "5", "cookies": {"a": "1"}},
    ]
    for given in [*inputs, *inputs]:
        merged = recipe.merge(given)
        assert merged == merge(own, call, given)
        assert (merged.content_type is None) is ("headers" in given or "cookies" in given)
    assert recipe.merge(inputs[0]).headers is recipe.merge({"x": "6"}).headers


def test_a_field_that_is_put_in_place_belongs_to_one_request() -> None:
    merged = merge(connection(), action(), {})
    assert merged.content_type == ""
    assert merged.with_header("X-A", "1", "auth").content_type is None


def test_a_body_that_is_a_parameter_which_was_not_given_is_left_out() -> None:
    made = Action("a", "c", "PUT", "/x", body=Body("json", "{body}"), parameters=(Parameter("body", "template"),))
    assert merge(connection(), made, {}).body == b""
    assert merge(connection(), made, {"body": [1]}).body == b"[1]"


def test_a_parameter_of_the_query_that_stands_alone_in_its_template_may_be_a_list() -> None:
    parameters = (Parameter("ids", "template"), Parameter("n", "template"))
    made = Action("a", "c", "GET", "/x", query={"ids[]": "{ids}", "n": "{n}"}, parameters=parameters)
    assert merge(connection(), made, {"ids": [1, "a"]}).target == "/v1/x?ids%5B%5D=1&ids%5B%5D=a"
    assert merge(connection(), made, {"n": True}).target == "/v1/x?n=true"
