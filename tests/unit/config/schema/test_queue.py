import pytest
from pydantic import ValidationError

from gateway.config.schema.proxy import Proxy
from gateway.config.schema.queue import Codel, Priority, Queue


@pytest.mark.parametrize("half", [{"max_waiting": 5}, {"timeout": 1.0}])
def test_a_queue_needs_places_and_a_time(half: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="a queue needs max_waiting and timeout"):
        Queue.model_validate(half)


@pytest.mark.parametrize(
    ("key", "value"), [("predict", True), ("fair", "client"), ("codel", {"target": 0.1}), ("comments", 5)]
)
def test_what_changes_a_queue_needs_one(key: str, value: object) -> None:
    with pytest.raises(ValidationError, match=f"{key} has an effect on a queue alone; set max_waiting and timeout"):
        Queue.model_validate({key: value})
    assert key in Queue.model_validate({"max_waiting": 1, "timeout": 1, key: value}).model_fields_set


def test_a_wrong_number_of_places_is_the_only_finding() -> None:
    with pytest.raises(ValidationError) as caught:
        Queue.model_validate({"max_waiting": -1, "timeout": 1.0})
    assert [error["loc"] for error in caught.value.errors()] == [("max_waiting",)]


def test_the_interval_of_newest_first_is_not_below_its_target() -> None:
    assert Codel.model_validate({"target": 0.5}).interval == 0.5
    with pytest.raises(ValidationError, match=r"must not be below target, which is 0.6; raise interval"):
        Codel.model_validate({"target": 0.6})
    with pytest.raises(ValidationError) as caught:
        Codel.model_validate({"target": -1.0, "interval": 0.1})
    assert [error["loc"] for error in caught.value.errors()] == [("target",)]


def test_a_principal_has_one_priority() -> None:
    with pytest.raises(ValidationError, match="alice is in high too; remove it from one of the two"):
        Priority.model_validate({"high": ["bob", "alice"], "low": ["alice", "eve"]})
    with pytest.raises(ValidationError) as caught:
        Priority.model_validate({"high": 7, "low": ["alice"]})
    assert [error["loc"] for error in caught.value.errors()] == [("high",)]


@pytest.mark.parametrize("name", ["X Priority", "X-Priority:", "X-Größe"])
def test_the_field_needs_a_name(name: str) -> None:
    with pytest.raises(ValidationError):
        Priority.model_validate({"header": name})


def test_a_proxy_has_a_priority_though_its_upstream_is_an_entry_of_its_own() -> None:
    proxy = Proxy.model_validate(
        {"name": "a", "path": "/a", "upstream": "shared", "priority": {"default": "low", "header": "X-Priority"}}
    )
    route = proxy.route("upstream shared", {}, {})
    assert (route.priority.default, route.priority.header, route.priority.high) == ("low", "X-Priority", ())
