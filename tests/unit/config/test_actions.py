from gateway.config.actions import Action, Auth, Body, Connection, FieldPolicy, Retry


def test_no_representation_shows_what_may_be_a_secret() -> None:
    auth = Auth("sigv4", "AKID", "s3cret-key", session="s3cret-session")
    fields = {"X-Token": "s3cret-field"}
    connection = Connection("t", "http://h", "u", auth, fields, {"key": "s3cret-query"}, {"pin": "s3cret-body"})
    action = Action("t", "c", headers=fields, query=fields, body=Body(value="s3cret-text"))
    assert "s3cret" not in f"{connection!r} {action!r}"
    assert auth.secrets == ("s3cret-key", "s3cret-session")
    assert Auth().secrets == ()


def test_defaults_are_those_of_the_specification() -> None:
    policy, retry = FieldPolicy(), Retry()
    first = {"host", "content-length", "transfer-encoding", "expect", "connection", "upgrade", "proxy-authorization"}
    assert first <= set(policy.denied)
    assert policy.reserved == ("authorization",)
    assert (policy.max_value_length, policy.max_fields, policy.drop_denied) == (8192, 64, True)
    assert (retry.retries, retry.base, retry.most, retry.factor, retry.total) == (3, 1.0, 30.0, 2.0, 300.0)
    assert retry.statuses == (429, 500, 502, 503, 504)
    assert Connection("t", "http://h", "u").max_bytes == 8 * 1024 * 1024
