import pytest
from pydantic import Field, ValidationError

from gateway.config.header_template import Context
from gateway.config.schema.section import Section
from gateway.config.schema.types import HeaderName, HeaderValue, Listed


class Shelf(Section):
    headers: dict[HeaderName, HeaderValue] = Field(default={})
    labels: Listed[str] = ()


def test_a_template_is_checked_against_what_there_is() -> None:
    there = {"headers": {"X-Key": "{env.KEY}"}}
    assert Shelf.model_validate(there, context=Context({"KEY": "v"})).headers == {"X-Key": "{env.KEY}"}
    with pytest.raises(ValidationError, match="KEY"):
        Shelf.model_validate(there, context=Context({}))


def test_a_list_of_the_file_is_kept_as_a_tuple() -> None:
    assert Shelf.model_validate({"labels": ["a", "b"]}).labels == ("a", "b")
    with pytest.raises(ValidationError):
        Shelf.model_validate({"labels": "a"})
