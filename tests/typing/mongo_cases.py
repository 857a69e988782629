"""The types of `undercroft.connections.mongo` and of its stand-in server, as a type checker sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict, assert_type
from uuid import UUID

import msgspec
from bson import ObjectId
from pydantic import BaseModel
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from undercroft.connections.mongo import (
    NO_LIMIT,
    Collection,
    DamagedDocumentError,
    DuplicateKeyError,
    Found,
    Index,
    IndexConflict,
    IndexPlace,
    IndexReport,
    Mongo,
    Url,
)
from undercroft.testing.mongo_server import MongoServer


@dataclass
class Note:
    user_id: str
    id: ObjectId | None = None


class Row(msgspec.Struct):
    id: UUID


class Entry(TypedDict):
    id: str


class Model(BaseModel):
    id: str


def connections() -> None:
    Mongo("mongodb://h", what="DOCS", default_database="shop", server_selection_timeout="5s", operation_timeout=30)
    assert_type(Mongo.from_url(Url.parse("mongodb://h")), Mongo)
    Mongo(27017)  # E: arg-type
    Mongo("mongodb://h", "shop")  # E: call-arg
    Mongo("mongodb://h", database="shop")  # E: call-arg


def collections(mongo: Mongo) -> None:
    assert_type(mongo.collection("a", Note), Collection[Note])
    assert_type(mongo.collection("b", Row), Collection[Row])
    assert_type(mongo.collection("c", Entry), Collection[Entry])
    assert_type(mongo.collection("d", Model, indexes=[Index("x")]), Collection[Model])
    mongo.collection("e")  # E: call-arg
    mongo.collection("f", Note, indexes=["user_id"])  # E: list-item


async def documents(notes: Collection[Note], entries: Collection[Entry]) -> None:
    assert_type(await notes.insert(Note("ann")), Note)
    assert_type(await notes.insert_many([Note("ann")]), list[Note])
    assert_type(await notes.get("65f"), Note | None)
    assert_type(await notes.require(ObjectId()), Note)
    assert_type(await notes.find_one({"user_id": "ann"}, sort="id"), Note | None)
    assert_type(await notes.update(ObjectId(), {"user_id": "bob"}), Note)
    assert_type(await notes.replace(Note("ann")), Note)
    assert_type(await notes.delete(ObjectId()), bool)
    assert_type(await notes.count(), int)
    assert_type(notes.raw, AsyncCollection[dict[str, Any]])
    assert_type(await entries.insert({"id": "a"}), Entry)
    await notes.insert("ann")  # E: arg-type
    await notes.insert(Row(UUID(int=1)))  # E: arg-type
    await notes.get(5)  # E: arg-type
    await notes.update({"user_id": "bob"})  # E: call-arg, arg-type
    await entries.insert({"identity": "a"})  # E: typeddict-item, typeddict-unknown-key


async def finds(notes: Collection[Note]) -> None:
    found = notes.find({"user_id": "ann"}, sort=[("user_id", -1), "id"], limit=NO_LIMIT, skip=5)
    assert_type(found, Found[Note])
    async for note in found:
        assert_type(note, Note)
    assert_type(await notes.find(limit=5, sort=("user_id", -1)).to_list(), list[Note])
    notes.find(limit="all")  # E: arg-type
    notes.find({"a": 1}, "user_id")  # E: call-arg
    await notes.find()  # E: misc


async def the_driver(mongo: Mongo) -> None:
    assert_type(mongo.client, AsyncMongoClient[dict[str, Any]])
    assert_type(mongo.database, AsyncDatabase[dict[str, Any]])
    assert_type(await mongo.run(mongo.database["a"].find_one()), dict[str, Any] | None)
    assert_type(await mongo.server_version(), str)
    await mongo.ping()
    await mongo.run(5)  # E: arg-type


async def indexes(mongo: Mongo, notes: Collection[Note]) -> None:
    report = await mongo.sync_indexes([notes], drop_unknown=True, dry_run=True)
    assert_type(report, IndexReport)
    assert_type(report.created, tuple[IndexPlace, ...])
    assert_type(report.conflicts, tuple[IndexConflict, ...])
    Index("a", ("b", -1), ("c", "2dsphere"), unique=True, name="x", expire_after="30d", sparse=True)
    Index(("a", 1.5))  # E: arg-type
    Index("a", uniqe=True)  # E: call-arg
    report.created = ()  # E: misc
    await mongo.sync_indexes(notes)  # E: arg-type
    await mongo.sync_indexes([notes], True)  # E: call-arg


def errors(duplicate: DuplicateKeyError, damaged: DamagedDocumentError) -> None:
    assert_type(duplicate.key_pattern, dict[str, object])
    assert_type(duplicate.index, str | None)
    assert_type(damaged.field, str | None)


async def the_stand_in() -> None:
    async with MongoServer(require_password="x") as server:
        assert_type(server, MongoServer)
        assert_type(server.url, str)
        assert_type(server.connection_count, int)
        await server.stop()
        await server.start()
    MongoServer("x")  # E: call-arg
