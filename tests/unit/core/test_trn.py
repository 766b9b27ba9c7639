import pytest

from gateway.core.trn import InvalidTrnError, Trn, parse, short, versioned


@pytest.mark.covers("ACT-03")
@pytest.mark.parametrize(
    ("text", "trn"),
    [
        ("trn:openact:t:connection/mock", Trn("t", "connection", "", "mock")),
        ("trn:openact:t:task/ping@v1", Trn("t", "task", "", "ping", 1)),
        ("trn:openact:acme:connection/http/github@v3", Trn("acme", "connection", "http", "github", 3)),
        ("trn:openact:acme:action/http/get-user", Trn("acme", "action", "http", "get-user", 0)),
        ("trn:openact:t:auth/github/ada", Trn("t", "auth", "github", "ada")),
        ("trn:openact:a.b-c_1:action/http/x.y@v12", Trn("a.b-c_1", "action", "http", "x.y", 12)),
    ],
)
def test_a_name_is_read_and_written(text: str, trn: Trn) -> None:
    assert parse(text) == trn
    assert str(trn) == text


@pytest.mark.covers("ACT-03")
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("invalid", "begins with trn:openact:"),
        ("trn:wrong:t:resource/id", "begins with trn:openact:"),
        ("urn:openact:t:resource/id", "begins with trn:openact:"),
        ("trn:openact::connection/mock", "tenant"),
        ("trn:openact:t", "tenant"),
        ("trn:openact:a b:connection/mock", "tenant"),
        ("trn:openact:t:connection", "slash"),
        ("trn:openact:t:/mock", "kind"),
        ("trn:openact:t:connection/", "name"),
        ("trn:openact:t:connection/@v1", "name"),
        ("trn:openact:t:connection/a b", "name"),
        ("trn:openact:t:connection/mock\n", "name"),
        ("trn:openact:t:action/http/x@vone", "version"),
        ("trn:openact:t:action/http/x@1", "version"),
        ("trn:openact:t:action/http/x@v", "version"),
        ("trn:openact:t:action/http/x@v-1", "version"),
        ("trn:openact:t:action/http/x@v\u0661", "version"),
        ("trn:openact:t:action//x", "connector"),
        ("trn:openact:t:action/a/b/x", "connector"),
        ("trn:openact:" + "t" * 65 + ":action/x", "tenant"),
    ],
)
def test_what_is_no_name_says_what_is_wrong_and_how_one_is_written(text: str, says: str) -> None:
    with pytest.raises(InvalidTrnError, match=says):
        parse(text)


@pytest.mark.parametrize(
    ("text", "read"), [("x", ("x", 1)), ("x@v1", ("x", 1)), ("x@v2", ("x", 2)), ("x@v02", ("x", 2))]
)
def test_a_name_with_its_version(text: str, read: tuple[str, int]) -> None:
    assert versioned(text) == read
    assert versioned(short(*read)) == read


@pytest.mark.parametrize("text", ["x@", "x@2", "x@v0", "x@vx", "x@v1@v2"])
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(InvalidTrnError, match="NAME@v2"):
        versioned(text)
