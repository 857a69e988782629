"""Declared indexes come to exist, once, and nothing is dropped that nobody said to drop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.connections.mongo._types import DataclassNote, make_note
from undercroft.connections.mongo import (
    Collection,
    CollectionDefinitionError,
    Index,
    IndexConflict,
    IndexPlace,
    IndexReport,
    Mongo,
)
from undercroft.testing.mongo_server import MongoServer

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[3]
BY_USER = Index("user_id", ("created_at", -1))
EXPIRING = Index("created_at", expire_after="30d")
ONCE = Index("user_id", unique=True, name="once", partial_filter={"is_read": True})


def notes_with(mongo: Mongo, *indexes: Index) -> Collection[DataclassNote]:
    return mongo.collection("notes", DataclassNote, indexes=indexes)


def place(name: str) -> IndexPlace:
    return IndexPlace(collection="notes", name=name)


async def names(mongo: Mongo) -> set[str]:
    return set(await mongo.database["notes"].index_information()) - {"_id_"}


async def test_indexes_are_created_as_declared(mongo: Mongo) -> None:
    report = await mongo.sync_indexes([notes_with(mongo, BY_USER, EXPIRING, ONCE)])

    assert report == IndexReport(created=(place("user_id_1_created_at_-1"), place("created_at_1"), place("once")))
    found = await mongo.database["notes"].index_information()
    assert found["user_id_1_created_at_-1"]["key"] == [("user_id", 1), ("created_at", -1)]
    assert found["created_at_1"]["expireAfterSeconds"] == 30 * 86400
    assert found["once"]["unique"] is True
    assert dict(found["once"]["partialFilterExpression"]) == {"is_read": True}


async def test_second_time_changes_nothing(mongo: Mongo) -> None:
    notes = notes_with(mongo, BY_USER, EXPIRING, ONCE)
    first = await mongo.sync_indexes([notes])

    second = await mongo.sync_indexes([notes])

    assert second == IndexReport(unchanged=first.created)


async def test_dry_run_changes_nothing_and_says_what_it_would_do(mongo: Mongo) -> None:
    await mongo.database["notes"].create_index("tags")
    notes = notes_with(mongo, BY_USER)

    dry = await mongo.sync_indexes([notes], drop_unknown=True, dry_run=True)
    assert await names(mongo) == {"tags_1"}

    assert await mongo.sync_indexes([notes], drop_unknown=True) == dry
    assert dry == IndexReport(created=(place("user_id_1_created_at_-1"),), dropped=(place("tags_1"),))


async def test_unknown_index_is_left_alone_unless_told_otherwise(mongo: Mongo) -> None:
    await mongo.database["notes"].create_index("tags")

    report = await mongo.sync_indexes([notes_with(mongo, BY_USER)])

    assert report.unknown == (place("tags_1"),)
    assert report.dropped == ()
    assert await names(mongo) == {"tags_1", "user_id_1_created_at_-1"}


@pytest.mark.parametrize(
    ("there", "options", "reason"),
    [
        ([("user_id", -1)], {"name": "user_id_1"}, "other keys or options"),
        ([("user_id", 1)], {}, "other keys or options"),
        ([("user_id", 1)], {"name": "mine", "unique": True}, "under the name 'mine'"),
    ],
)
async def test_conflict_is_reported_and_left_as_it_is(
    mongo: Mongo, there: Any, options: dict[str, Any], reason: str
) -> None:
    await mongo.database["notes"].create_index(there, **options)
    before = await mongo.database["notes"].index_information()

    report = await mongo.sync_indexes([notes_with(mongo, Index("user_id", unique=True), BY_USER)])

    assert [conflict.name for conflict in report.conflicts] == ["user_id_1"]
    assert reason in report.conflicts[0].reason
    assert report.created == (place("user_id_1_created_at_-1"),)
    after = await mongo.database["notes"].index_information()
    assert {name: after[name] for name in before} == before


async def test_conflict_is_replaced_when_told_to_drop(mongo: Mongo) -> None:
    await mongo.database["notes"].create_index("user_id")

    report = await mongo.sync_indexes([notes_with(mongo, Index("user_id", unique=True))], drop_unknown=True)

    assert (report.dropped, report.created, report.conflicts) == ((place("user_id_1"),), (place("user_id_1"),), ())
    assert (await mongo.database["notes"].index_information())["user_id_1"]["unique"] is True


async def test_unique_index_over_duplicates_is_a_conflict_and_the_others_are_created(mongo: Mongo) -> None:
    notes = notes_with(mongo, Index("user_id", unique=True), BY_USER)
    await notes.insert_many([make_note(DataclassNote), make_note(DataclassNote)])

    report = await mongo.sync_indexes([notes])

    assert report.conflicts == (
        IndexConflict(
            collection="notes", name="user_id_1", reason="it is unique, and there are documents with the same key"
        ),
    )
    assert report.created == (place("user_id_1_created_at_-1"),)


async def test_several_tasks_at_once_create_each_index_once(server: MongoServer) -> None:
    reports: list[IndexReport] = []

    async def start() -> None:
        async with Mongo(f"{server.url}/shop") as mongo:
            reports.append(await mongo.sync_indexes([notes_with(mongo, BY_USER, EXPIRING, ONCE)]))

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(start)

    assert sorted(str(index) for report in reports for index in report.created) == [
        "notes.created_at_1",
        "notes.once",
        "notes.user_id_1_created_at_-1",
    ]
    assert all(len(report.created) + len(report.unchanged) == 3 for report in reports)
    assert not any(report.conflicts for report in reports)


async def test_several_processes_at_once_agree(server: MongoServer, mongo: Mongo) -> None:
    script = f"""
import asyncio
from tests.connections.mongo.test_indexes import BY_USER, EXPIRING, ONCE, notes_with
from undercroft.connections.mongo import Mongo
async def main():
    async with Mongo({f"{server.url}/shop"!r}) as mongo:
        report = await mongo.sync_indexes([notes_with(mongo, BY_USER, EXPIRING, ONCE)])
        print(len(report.created), len(report.unchanged), len(report.conflicts))
asyncio.run(main())
"""
    outputs: list[list[int]] = []

    async def start() -> None:
        done = await anyio.run_process([sys.executable, "-c", script], cwd=ROOT)
        outputs.append([int(count) for count in done.stdout.split()])

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(start)

    assert sum(created for created, _, _ in outputs) == 3
    assert all(created + unchanged == 3 and conflicts == 0 for created, unchanged, conflicts in outputs)
    assert len(await names(mongo)) == 3


async def test_index_dropped_by_another_process_meanwhile_is_no_error(mongo: Mongo) -> None:
    await mongo.database["notes"].create_index("tags")
    plan = [notes_with(mongo, BY_USER)]

    async def drop() -> IndexReport:
        return await mongo.sync_indexes(plan, drop_unknown=True)

    reports: list[IndexReport] = []

    async def collect() -> None:
        reports.append(await drop())

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(collect)

    assert sum(len(report.dropped) for report in reports) == 1


async def test_id_in_an_index_is_the_stored_id(mongo: Mongo) -> None:
    assert Index("user_id", "id").keys == (("user_id", 1), ("_id", 1))


async def test_declarations_of_one_collection_are_joined_and_must_not_clash(mongo: Mongo) -> None:
    one, other = notes_with(mongo, BY_USER), notes_with(mongo, BY_USER, EXPIRING)
    assert len((await mongo.sync_indexes([one, other])).created) == 2

    with pytest.raises(CollectionDefinitionError, match="clash"):
        await mongo.sync_indexes([one, notes_with(mongo, Index("user_id", ("created_at", -1), unique=True))])


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        ((), {}),
        (("",), {}),
        (("$text",), {}),
        ((("a", 2),), {}),
        ((("a", "text"),), {}),
        ((("a", True),), {}),
        (("a", "b"), {"expire_after": "1d"}),
        (("a",), {"expire_after": 0.5}),
    ],
)
def test_index_that_makes_no_sense_is_refused(keys: Any, options: Any) -> None:
    with pytest.raises(CollectionDefinitionError):
        Index(*keys, **options)


def test_indexes_are_values() -> None:
    assert Index("a", ("b", -1)) == Index(("a", 1), ("b", -1))
    assert Index("a").name == "a_1"
    assert Index(("place", "2dsphere"), ("x", "hashed")).keys == (("place", "2dsphere"), ("x", "hashed"))
    with pytest.raises(AttributeError):
        Index("a").name = "b"  # type: ignore[misc]
