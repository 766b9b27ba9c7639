"""A kind of records that is no proxy: the repository knows nothing of what it keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TypeVar

import pytest
from pydantic import ValidationError
from sqlalchemy import JSON, Column, Float, Integer, MetaData, String, Table, UniqueConstraint, insert

from gateway.config.errors import ConfigError, Problem
from gateway.config.schema.section import Section
from gateway.store.audit import AuditTrail
from gateway.store.database import Database
from gateway.store.errors import AlreadyExists, NotFound, StoreError
from gateway.store.repository import Kind, Repository, Unique, VersionConflict, dump_section, usable
from gateway.store.tables import AUDIT, REVISION

DOORS = Table(
    "doors",
    MetaData(),
    Column("id", String, primary_key=True),
    Column("name", String, unique=True, nullable=False),
    Column("room", String, nullable=False),
    Column("wall", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    Column("settings", JSON, nullable=False),
    UniqueConstraint("room", "wall", name="one_in_each_wall"),
)


class Lock(Section):
    bolts: int = 1
    alarm: bool = False


class Door(Section):
    name: str
    room: str
    wall: str = "north"
    lock: Lock = Lock()


class NewerDoor(Door):
    """Of the version to come."""

    colour: str = "white"


D = TypeVar("D", bound=Door)


def read(settings: Mapping[str, object], place: str) -> Door:
    return _read(Door, settings, place)


def read_newer(settings: Mapping[str, object], place: str) -> NewerDoor:
    return _read(NewerDoor, settings, place)


def _read(model: type[D], settings: Mapping[str, object], place: str) -> D:
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(place, [Problem(detail["msg"]) for detail in error.errors()]) from None


def keys(door: Door) -> Mapping[str, object]:
    return {"name": door.name, "room": door.room, "wall": door.wall}


def wall_taken(door: Door) -> AlreadyExists:
    return AlreadyExists("wall", f"the {door.wall} wall of the {door.room} has a door already")


KIND = Kind("door", DOORS, read, dump_section, keys, (Unique("one_in_each_wall", "room", wall_taken),))
NEWER = Kind("door", DOORS, read_newer, dump_section, keys, (Unique("one_in_each_wall", "room", wall_taken),))


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    made = Database(f"sqlite:///{tmp_path}/doors.db")
    async with made.writing() as connection:
        for table in (DOORS, AUDIT, REVISION):
            await connection.run_sync(table.create)
        await connection.execute(insert(REVISION).values(id=1, value=0))
    yield made
    await made.aclose()


async def test_a_record_and_what_the_audit_trail_says_of_it(database: Database) -> None:
    doors = Repository(database, KIND)
    made = await doors.create(Door(name="a", room="hall", lock=Lock(bolts=2)), "me")
    assert (made.name, made.version, made.settings) == ("a", 1, {"name": "a", "room": "hall", "lock": {"bolts": 2}})
    assert made.value == Door(name="a", room="hall", lock=Lock(bolts=2))
    assert (await doors.get("a"), await doors.list(), await doors.get("b")) == (made, (made,), None)
    changed = await doors.update("a", Door(name="b", room="hall"), 1, "you")
    assert (changed.id, changed.name, changed.version, changed.created) == (made.id, "b", 2, made.created)
    assert changed.updated >= made.updated
    await doors.delete("b", 2, "me")
    assert await doors.list() == ()
    rows, _ = await AuditTrail(database).list()
    whole = {"name": "a", "room": "hall", "wall": "north", "lock": {"bolts": 2, "alarm": False}}
    bolted, plain = {"bolts": 2, "alarm": False}, {"bolts": 1, "alarm": False}
    assert [(row.actor, row.action, row.subject, row.detail, row.before, row.after) for row in reversed(rows)] == [
        ("me", "door.create", "a", {"keys": sorted(whole)}, None, whole),
        (
            "you",
            "door.update",
            "a",
            {"keys": ["lock", "name"]},
            {"name": "a", "lock": bolted},
            {"name": "b", "lock": plain},
        ),
        ("me", "door.delete", "b", {}, whole | {"name": "b", "lock": plain}, None),
    ]


async def test_what_is_taken_is_explained_by_the_kind_and_all_else_is_a_refusal(database: Database) -> None:
    doors = Repository(database, KIND)
    await doors.create(Door(name="a", room="hall"), "me")
    with pytest.raises(AlreadyExists, match="the north wall of the hall has a door already") as taken:
        await doors.create(Door(name="b", room="hall"), "me")
    assert taken.value.field == "wall"
    await doors.create(Door(name="b", room="hall", wall="south"), "me")
    with pytest.raises(AlreadyExists):
        await doors.update("b", Door(name="b", room="hall"), 1, "me")
    with pytest.raises(StoreError, match="the database rejects this door: a value is outside its bounds") as refused:
        await doors.create(Door(name="b", room="attic"), "me")  # nothing explains the name of this kind
    assert type(refused.value) is StoreError


async def test_a_change_names_the_version_that_it_replaces(database: Database) -> None:
    doors = Repository(database, KIND)
    made = await doors.create(Door(name="a", room="hall"), "me")
    for change in (doors.update("a", Door(name="a", room="attic"), 2, "me"), doors.delete("a", 2, "me")):
        with pytest.raises(VersionConflict) as caught:
            await change
        assert caught.value.current == made
    for change in (doors.update("b", Door(name="b", room="attic"), 1, "me"), doors.delete("b", None, "me")):
        with pytest.raises(NotFound, match="there is no door b in the database"):
            await change
    await doors.delete("a", None, "me")


async def test_a_new_setting_needs_no_migration_and_only_those_who_use_it_lose_the_way_back(database: Database) -> None:
    old, new = Repository(database, KIND), Repository(database, NEWER)
    await old.create(Door(name="a", room="hall"), "me")
    assert usable(await new.list()) == [NewerDoor(name="a", room="hall")]
    await new.update("a", NewerDoor(name="a", room="hall", lock=Lock(alarm=True)), 1, "me")
    await new.create(NewerDoor(name="b", room="attic", colour="red"), "me")
    first, second = await old.list()
    assert first.value == Door(name="a", room="hall", lock=Lock(alarm=True))
    assert isinstance(second.value, ConfigError)
    assert str(second.value) == "door b of the database: Extra inputs are not permitted"
    assert second.settings == {"name": "b", "room": "attic", "colour": "red"}
    assert usable([first, second]) == [first.value]
    fixed = await old.update("b", Door(name="b", room="attic"), 1, "me")
    assert usable([fixed]) == [Door(name="b", room="attic")]
    row = (await AuditTrail(database).list())[0][0]
    assert (row.before, row.after) == (
        {"colour": "red"},
        {"wall": "north", "lock": {"bolts": 1, "alarm": False}},
    )
