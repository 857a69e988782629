"""Typed collections: every form of document, every operation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from tests.connections.mongo._types import CREATED_AT, FORMS, DataclassNote, ModelNote, id_of, make_note
from undercroft._core.errors import Kind
from undercroft.connections.mongo import (
    FIND_BOUND,
    NO_LIMIT,
    Collection,
    DocumentNotFoundError,
    DuplicateKeyError,
    FindBoundError,
    Index,
    InvalidDocumentError,
    Mongo,
    MongoRefusedError,
    MongoUsageError,
)
from undercroft.testing.mongo_server import MongoServer

pytestmark = pytest.mark.anyio


@pytest.fixture(params=FORMS, ids=lambda form: form.__name__)
def form(request: pytest.FixtureRequest) -> type[Any]:
    return request.param


@pytest.fixture
def notes(mongo: Mongo) -> Collection[DataclassNote]:
    return mongo.collection("notes", DataclassNote)


async def test_document_is_read_back_as_it_was_returned(mongo: Mongo, form: type[Any]) -> None:
    notes = mongo.collection("notes", form)

    stored = await notes.insert(make_note(form))

    assert await notes.get(id_of(stored)) == stored
    assert await notes.get(str(id_of(stored))) == stored
    assert type(stored) is type(make_note(form))
    raw = await notes.raw.find_one()
    assert raw is not None
    assert set(raw) == {"_id", "user_id", "created_at", "is_read", "tags"}
    assert raw["created_at"] == CREATED_AT


async def test_given_id_is_kept(mongo: Mongo, form: type[Any]) -> None:
    notes, id_ = mongo.collection("notes", form), ObjectId()
    name = "_id" if form.__name__ == "AliasNote" else "id"

    stored = await notes.insert(make_note(form, **{name: id_}))

    assert id_of(stored) == id_


async def test_update_by_fields_gives_the_new_document(mongo: Mongo, form: type[Any]) -> None:
    notes = mongo.collection("notes", form)
    stored = await notes.insert(make_note(form))

    updated = await notes.update(id_of(stored), {"is_read": True, "tags": ["x", "y"]})

    assert updated == await notes.get(id_of(stored))
    assert (await notes.raw.find_one({"is_read": True, "tags": "y"})) is not None


async def test_update_with_a_wrong_field_or_value_sends_nothing(mongo: Mongo, form: type[Any]) -> None:
    notes = mongo.collection("notes", form)
    stored = await notes.insert(make_note(form))

    with pytest.raises(InvalidDocumentError) as unknown:
        await notes.update(id_of(stored), {"is_raed": True})
    with pytest.raises(InvalidDocumentError) as wrong:
        await notes.update(id_of(stored), {"created_at": "soon"})

    assert unknown.value.near == ("is_read",)
    assert wrong.value.field == "created_at"
    assert wrong.value.http_status == 422
    assert await notes.get(id_of(stored)) == stored


async def test_update_by_operators(notes: Collection[DataclassNote]) -> None:
    stored = await notes.insert(make_note(DataclassNote))

    updated = await notes.update(id_of(stored), {"$push": {"tags": "b"}, "$set": {"is_read": True}})

    assert (updated.tags, updated.is_read) == (["a", "b"], True)


@pytest.mark.parametrize(
    "changes", [{}, {"is_read": True, "$set": {"tags": []}}, {"id": ObjectId()}, {"$set": {"_id": 1}}]
)
async def test_update_that_makes_no_sense_is_refused(notes: Collection[DataclassNote], changes: dict[str, Any]) -> None:
    with pytest.raises(MongoUsageError):
        await notes.update(ObjectId(), changes)


async def test_replace_stores_the_whole_document(mongo: Mongo, form: type[Any]) -> None:
    notes = mongo.collection("notes", form)
    stored = await notes.insert(make_note(form))
    name = "_id" if form.__name__ == "AliasNote" else "id"
    changed = make_note(form, "bob", **{name: id_of(stored)})

    assert await notes.replace(changed) == changed
    assert await notes.find().to_list() == [changed]
    with pytest.raises(DocumentNotFoundError):
        await notes.replace(make_note(form, **{name: ObjectId()}))
    with pytest.raises(MongoUsageError):
        await notes.replace(make_note(form))
    assert await notes.count() == 1


async def test_what_is_not_there(notes: Collection[DataclassNote]) -> None:
    nowhere = ObjectId()

    assert await notes.get(nowhere) is None
    assert await notes.find_one({"user_id": "nobody"}) is None
    assert await notes.delete(nowhere) is False
    with pytest.raises(DocumentNotFoundError) as required:
        await notes.require(nowhere)
    with pytest.raises(DocumentNotFoundError):
        await notes.update(nowhere, {"is_read": True})
    assert (required.value.collection, required.value.document_id) == ("notes", nowhere)
    assert (required.value.kind, required.value.http_status) == (Kind.REFUSED, 404)


async def test_delete_tells_whether_it_was_there(notes: Collection[DataclassNote]) -> None:
    stored = await notes.insert(make_note(DataclassNote))

    assert await notes.delete(id_of(stored)) is True
    assert await notes.delete(id_of(stored)) is False


async def test_text_that_cannot_be_an_id_is_refused(notes: Collection[DataclassNote]) -> None:
    for id_ in ("abc", "", 5):
        with pytest.raises(InvalidDocumentError) as error:
            await notes.get(id_)  # type: ignore[arg-type]
        assert error.value.field == "id"


async def test_find_sorts_limits_and_skips(notes: Collection[DataclassNote]) -> None:
    later = CREATED_AT + timedelta(days=1)
    await notes.insert_many(
        [make_note(DataclassNote, name, created_at=at) for name, at in [("a", later), ("b", CREATED_AT), ("c", later)]]
    )

    found = [note.user_id async for note in notes.find({}, sort=[("created_at", -1), "user_id"], limit=2, skip=1)]
    one = await notes.find_one({}, sort=("user_id", -1))

    assert found == ["c", "b"]
    assert one is not None
    assert one.user_id == "c"
    assert await notes.count({"created_at": later}) == 2


async def test_filter_finds_by_id_also_inside_of_or(notes: Collection[DataclassNote]) -> None:
    first, second, _ = await notes.insert_many([make_note(DataclassNote, name) for name in "abc"])

    assert await notes.find({"id": first.id}).to_list() == [first]
    assert await notes.find({"$or": [{"id": first.id}, {"user_id": "b"}]}, sort="id").to_list() == [first, second]


async def test_wrong_names_in_filters_are_not_noticed(notes: Collection[DataclassNote]) -> None:
    await notes.insert(make_note(DataclassNote))

    assert await notes.count({"user": "ann"}) == 0


async def test_find_without_a_limit_complains_rather_than_leave_some_out(
    notes: Collection[DataclassNote], server: MongoServer
) -> None:
    await notes.insert_many([make_note(DataclassNote, str(n)) for n in range(FIND_BOUND)])
    assert len(await notes.find().to_list()) == FIND_BOUND
    await notes.insert(make_note(DataclassNote))
    found = notes.find()
    given = [await anext(found) for _ in range(FIND_BOUND)]

    with pytest.raises(FindBoundError) as error:
        await anext(found)

    assert len({note.id for note in given}) == error.value.bound == FIND_BOUND
    assert len(await notes.find(limit=NO_LIMIT).to_list()) == FIND_BOUND + 1
    assert len(await notes.find(limit=5).to_list()) == 5
    assert server.cursor_count == 0


async def test_find_that_is_closed_early_leaves_no_cursor(
    notes: Collection[DataclassNote], server: MongoServer
) -> None:
    await notes.insert_many([make_note(DataclassNote, str(n)) for n in range(300)])
    found = notes.find()
    await anext(found)
    assert server.cursor_count == 1

    await found.aclose()

    assert server.cursor_count == 0


@pytest.mark.parametrize(
    "arguments", [{"limit": 0}, {"limit": -1}, {"sort": 5}, {"sort": ("a", 2)}, {"sort": "$where"}]
)
async def test_find_with_arguments_that_are_none_is_refused(
    notes: Collection[DataclassNote], arguments: dict[str, Any]
) -> None:
    with pytest.raises(MongoUsageError):
        notes.find(**arguments)


async def test_duplicate_names_the_keys_and_not_the_values(mongo: Mongo) -> None:
    notes = mongo.collection("notes", DataclassNote, indexes=[Index("user_id", "created_at", unique=True, name="once")])
    await mongo.sync_indexes([notes])
    first = await notes.insert(make_note(DataclassNote, "ann@example.com"))
    second = await notes.insert(make_note(DataclassNote, "bob@example.com"))

    with pytest.raises(DuplicateKeyError) as inserted:
        await notes.insert(make_note(DataclassNote, "ann@example.com"))
    with pytest.raises(DuplicateKeyError) as updated:
        await notes.update(id_of(second), {"user_id": "ann@example.com"})
    with pytest.raises(DuplicateKeyError) as same_id:
        await notes.insert(first)

    for error in (inserted, updated):
        assert error.value.key_pattern == {"user_id": 1, "created_at": 1}
        assert error.value.index == "once"
        assert "ann@example.com" not in str(error.value)
        assert (error.value.kind, error.value.http_status) == (Kind.REFUSED, 409)
        assert error.value.__cause__ is not None
    assert same_id.value.key_pattern in ({"_id": 1}, {"user_id": 1, "created_at": 1})


async def test_insert_many_stops_at_a_duplicate_and_says_how_many_are_stored(mongo: Mongo) -> None:
    notes = mongo.collection("notes", DataclassNote, indexes=[Index("user_id", unique=True)])
    await mongo.sync_indexes([notes])

    with pytest.raises(DuplicateKeyError) as error:
        await notes.insert_many([make_note(DataclassNote, name) for name in "abaz"])

    assert error.value.inserted == 2
    assert [note.user_id for note in await notes.find(sort="user_id").to_list()] == ["a", "b"]


async def test_insert_many_checks_all_before_it_sends_any(notes: Collection[DataclassNote]) -> None:
    with pytest.raises(InvalidDocumentError):
        await notes.insert_many([make_note(DataclassNote), make_note(DataclassNote, created_at=None)])

    assert await notes.count() == 0
    assert await notes.insert_many([]) == []


async def test_other_type_is_refused(notes: Collection[DataclassNote]) -> None:
    with pytest.raises(InvalidDocumentError, match="expected DataclassNote, got ModelNote"):
        await notes.insert(make_note(ModelNote))


async def test_refusal_of_the_server_carries_its_code(notes: Collection[DataclassNote]) -> None:
    with pytest.raises(MongoRefusedError) as error:
        await notes.find({"$nonsense": 1}).to_list()

    assert error.value.server_code == 2
    assert type(error.value.__cause__).__name__ == "OperationFailure"


async def test_naive_date_in_a_filter_is_refused(notes: Collection[DataclassNote]) -> None:
    with pytest.raises(InvalidDocumentError, match="without a time zone"):
        notes.find({"created_at": {"$gt": datetime(2026, 1, 1)}})


async def test_date_of_another_zone_finds_the_same_instant(notes: Collection[DataclassNote]) -> None:
    from datetime import timezone

    await notes.insert(make_note(DataclassNote))

    assert await notes.count({"created_at": CREATED_AT.astimezone(timezone(timedelta(hours=5)))}) == 1
    found = await notes.find_one()
    assert found is not None
    assert found.created_at.tzinfo is UTC
