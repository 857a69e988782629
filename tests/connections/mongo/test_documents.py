"""What a document may hold, what is refused, and what happens to stored documents that do not fit."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NewType, NotRequired, TypedDict
from uuid import UUID, uuid4

import msgspec
import pytest
from bson import Decimal128, Int64, ObjectId, Regex
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, SecretStr, model_validator

from tests.connections.mongo._types import CREATED_AT, DataclassNote, ModelNote, StructNote, make_note
from undercroft._core.clock import VirtualClock
from undercroft._core.ids import is_id
from undercroft.connections.mongo import (
    Collection,
    CollectionDefinitionError,
    DamagedDocumentError,
    InvalidDocumentError,
    Mongo,
)
from undercroft.testing.mongo_server import MongoServer

pytestmark = pytest.mark.anyio
UserId = NewType("UserId", str)


class Color(enum.Enum):
    RED = "red"


class Inner(BaseModel):
    count: int
    link: AnyUrl = AnyUrl("https://example.com/")


class Point(msgspec.Struct, tag=True, rename="camel"):
    is_far: bool


@dataclass
class Everything:
    color: Color
    price: Decimal
    uid: UUID
    blob: bytes
    day: date
    at: datetime
    clock: time
    took: timedelta
    names: set[str]
    pair: tuple[int, str]
    by_number: dict[int, str]
    inner: Inner
    point: Point
    big: int
    anything: Any
    missing: str | None = None
    id: UUID | None = None


EVERYTHING = Everything(
    color=Color.RED,
    price=Decimal("12.30"),
    uid=uuid4(),
    blob=b"\0\xff",
    day=date(2026, 2, 3),
    at=CREATED_AT,
    clock=time(4, 5),
    took=timedelta(hours=1, seconds=2),
    names={"x"},
    pair=(1, "two"),
    by_number={7: "seven"},
    inner=Inner(count=3),
    point=Point(is_far=True),
    big=2**62,
    anything={"free": [1, {"form": None}]},
)


async def test_every_type_comes_back_and_is_stored_as_bson_has_it(mongo: Mongo) -> None:
    collection = mongo.collection("everything", Everything)

    stored = await collection.insert(EVERYTHING)
    raw = await collection.raw.find_one()

    assert await collection.get(stored.id or "") == stored
    assert stored.id is not None
    assert stored == Everything(**{**vars(EVERYTHING), "id": stored.id})
    assert raw is not None
    assert isinstance(raw["price"], Decimal128)
    assert isinstance(raw["uid"], UUID)
    assert isinstance(raw["at"], datetime)
    assert (raw["color"], raw["day"], raw["by_number"], raw["names"]) == ("red", "2026-02-03", {"7": "seven"}, ["x"])
    assert raw["point"] == {"type": "Point", "isFar": True}


async def test_filters_and_updates_take_the_same_types(mongo: Mongo) -> None:
    collection = mongo.collection("everything", Everything)
    stored = await collection.insert(EVERYTHING)

    assert await collection.count({"color": Color.RED, "uid": EVERYTHING.uid, "day": EVERYTHING.day}) == 1
    updated = await collection.update(stored.id or "", {"price": Decimal("9.99"), "point": Point(is_far=False)})

    assert (updated.price, updated.point) == (Decimal("9.99"), Point(is_far=False))


async def test_dates_are_cut_to_milliseconds_and_the_returned_document_says_so(mongo: Mongo) -> None:
    notes = mongo.collection("notes", DataclassNote)
    at = datetime(2026, 1, 1, 12, 0, 0, 123999, tzinfo=UTC)

    stored = await notes.insert(make_note(DataclassNote, created_at=at))

    assert stored.created_at == at.replace(microsecond=123000)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"created_at": datetime(2026, 1, 1)}, "created_at"),
        ({"user_id": 5}, "user_id"),
        ({"user_id": "a\ud800"}, None),
        ({"tags": ["a", 5]}, "tags[1]"),
        ({"tags": [object()]}, "tags[0]"),
        ({"is_read": 2**70}, "is_read"),
        ({"id": "not an ObjectId"}, "id"),
    ],
)
async def test_document_that_cannot_be_stored_is_refused_with_its_field(
    mongo: Mongo, server: MongoServer, changes: dict[str, Any], field: str | None
) -> None:
    for form in (DataclassNote, StructNote):
        with pytest.raises(InvalidDocumentError) as error:
            await mongo.collection("notes", form).insert(make_note(form, **changes))
        assert error.value.field == field
    assert server.command_counts["insert"] == 0


async def test_unknown_key_of_a_typed_dict_is_refused(mongo: Mongo) -> None:
    class Tag(TypedDict, total=False):
        id: ObjectId
        label: str

    with pytest.raises(InvalidDocumentError) as error:
        await mongo.collection("tags", Tag).insert({"lable": "x"})  # type: ignore[typeddict-unknown-key]

    assert error.value.near == ("label",)


async def test_secret_of_a_model_is_refused_rather_than_masked(mongo: Mongo) -> None:
    class Account(BaseModel):
        id: str
        password: SecretStr

    with pytest.raises(InvalidDocumentError, match=r"a secret; store its hash.*password") as error:
        await mongo.collection("accounts", Account).insert(Account(id="a", password=SecretStr("hunter2")))

    assert "hunter2" not in str(error.value)


async def test_unknown_fields_of_stored_documents_are_ignored_and_kept(mongo: Mongo) -> None:
    notes = mongo.collection("notes", DataclassNote)
    stored = await notes.insert(make_note(DataclassNote))
    await notes.raw.update_one({}, {"$set": {"added_by_a_newer_version": 1}})

    assert await notes.get(stored.id or "") == stored
    await notes.update(stored.id or "", {"is_read": True})
    assert await notes.raw.count_documents({"added_by_a_newer_version": 1}) == 1
    await notes.replace(stored)
    assert await notes.raw.count_documents({"added_by_a_newer_version": 1}) == 0


async def test_types_that_forbid_unknown_fields_have_their_way(mongo: Mongo) -> None:
    class Strict(msgspec.Struct, forbid_unknown_fields=True):
        id: str

    class Forbidding(BaseModel):
        model_config = ConfigDict(extra="forbid")
        id: str

    class Keeping(BaseModel):
        model_config = ConfigDict(extra="allow")
        id: str

    await mongo.database["things"].insert_one({"_id": "a", "more": 1})

    for form in (Strict, Forbidding):
        with pytest.raises(DamagedDocumentError):
            await mongo.collection("things", form).get("a")
    kept = await mongo.collection("things", Keeping).require("a")
    assert kept.model_extra == {"more": 1}
    await mongo.collection("things", Keeping).insert(Keeping(id="b", other=2))  # type: ignore[call-arg]
    assert await mongo.database["things"].count_documents({"other": 2}) == 1


@pytest.mark.parametrize("form", [DataclassNote, StructNote, ModelNote])
@pytest.mark.parametrize(
    ("document", "field"),
    [({"user_id": 5, "created_at": CREATED_AT}, "user_id"), ({"user_id": "ann"}, "created_at")],
)
async def test_damaged_document_names_collection_id_and_field(
    mongo: Mongo, form: type[Any], document: dict[str, Any], field: str
) -> None:
    notes, id_ = mongo.collection("notes", form), ObjectId()
    await notes.raw.insert_many([{"_id": id_, **document}, {"user_id": "ok", "created_at": CREATED_AT}])

    with pytest.raises(DamagedDocumentError) as error:
        await notes.get(id_)

    assert (error.value.collection, error.value.document_id, error.value.field) == ("notes", id_, field)
    assert str(id_) in str(error.value)
    found = notes.find(sort="user_id")
    with pytest.raises(DamagedDocumentError):
        await found.to_list()


async def test_find_goes_on_behind_a_damaged_document(mongo: Mongo) -> None:
    notes = mongo.collection("notes", DataclassNote)
    await notes.raw.insert_many([{"_id": ObjectId(), "user_id": 5}, {"user_id": "ok", "created_at": CREATED_AT}])
    found = notes.find(sort="user_id")

    with pytest.raises(DamagedDocumentError):
        await anext(found)

    assert (await anext(found)).user_id == "ok"


async def test_whole_numbers_of_the_server_are_ints(mongo: Mongo) -> None:
    @dataclass
    class Counter:
        n: int
        id: str

    await mongo.database["counters"].insert_one({"_id": "a", "n": Int64(5)})

    assert await mongo.collection("counters", Counter).get("a") == Counter(5, "a")


async def test_ids_are_made_by_their_type() -> None:
    class Text(msgspec.Struct):
        id: str | None = None

    class Unset(msgspec.Struct):
        id: UUID | msgspec.UnsetType = msgspec.UNSET

    class Named(TypedDict):
        id: NotRequired[UserId]

    class Either(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        id: ObjectId | str | None = None

    clock = VirtualClock()
    async with MongoServer() as server, Mongo(f"{server.url}/shop", clock=clock) as mongo:
        text = [(await mongo.collection("a", Text).insert(Text())).id or "" for _ in range(3)]
        unset = (await mongo.collection("b", Unset).insert(Unset())).id
        named = (await mongo.collection("c", Named).insert({})).get("id", "")
        either = mongo.collection("d", Either)
        given = await either.insert(Either(id="mine"))
        made = await either.insert(Either())
        found = [await either.get("mine"), await either.get(str(made.id))]

    assert text == sorted(text)
    assert all(map(is_id, [*text, named]))
    assert isinstance(unset, UUID)
    assert isinstance(made.id, ObjectId)
    assert found[0] == given


async def test_text_of_a_uuid_is_an_id(mongo: Mongo) -> None:
    collection = mongo.collection("everything", Everything)
    stored = await collection.insert(EVERYTHING)

    assert await collection.get(str(stored.id)) == stored
    with pytest.raises(InvalidDocumentError):
        await collection.get("abc")


async def test_default_becomes_part_of_what_is_stored(mongo: Mongo) -> None:
    await mongo.collection("notes", DataclassNote).insert(DataclassNote("ann", CREATED_AT))

    assert await mongo.database["notes"].count_documents({"is_read": False, "tags": []}) == 1


async def test_regular_expressions_and_operators_pass_through_filters(mongo: Mongo) -> None:
    notes = mongo.collection("notes", DataclassNote)
    await notes.insert(make_note(DataclassNote, "ann"))

    assert await notes.count({"user_id": Regex("^A", "i")}) == 1
    assert await notes.count({"tags": {"$in": {"a", "b"}}}) == 1


async def test_validator_of_the_whole_model_does_not_see_an_update(mongo: Mongo) -> None:
    class Span(BaseModel):
        id: str
        start: int
        end: int

        @model_validator(mode="after")
        def _ordered(self) -> Span:
            if self.end < self.start:
                raise ValueError("end is before start")
            return self

    spans = mongo.collection("spans", Span)
    await spans.insert(Span(id="a", start=1, end=2))

    with pytest.raises(DamagedDocumentError):  # said once it is read again; the change was made
        await spans.update("a", {"start": 5})


async def test_model_with_aliases_is_stored_under_them(mongo: Mongo) -> None:
    class Item(BaseModel):
        model_config = ConfigDict(populate_by_name=True)
        id: str
        unit_price: int = Field(alias="unitPrice")

    items = mongo.collection("items", Item)
    await items.insert(Item(id="a", unit_price=5))

    assert await items.raw.count_documents({"unitPrice": 5}) == 1
    assert (await items.update("a", {"unitPrice": 6})).unit_price == 6
    with pytest.raises(InvalidDocumentError) as error:
        await items.update("a", {"unit_price": 7})
    assert error.value.near == ("unitPrice",)


class NoId(msgspec.Struct):
    name: str


class IntId(msgspec.Struct):
    id: int


class Row(msgspec.Struct, array_like=True):
    id: str


@pytest.mark.parametrize(
    ("type_", "said"),
    [(NoId, "no field `id`"), (IntId, "an id cannot be"), (Row, "array_like"), (dict, "is not"), (5, "is not")],
)
def test_type_that_cannot_be_stored_is_refused_at_once(type_: Any, said: str) -> None:
    with pytest.raises(CollectionDefinitionError, match=said):
        Mongo("mongodb://h").collection("things", type_)


@pytest.mark.parametrize("name", ["", "system.users", "a$b", ".a", "a."])
def test_name_that_cannot_be_a_collections_is_refused(name: str) -> None:
    with pytest.raises(CollectionDefinitionError):
        Mongo("mongodb://h").collection(name, NoId)


def test_collection_shows_no_password() -> None:
    collection: Collection[StructNote] = Mongo("mongodb://u:hunter2@h/shop").collection("notes", StructNote)

    assert repr(collection) == "Collection('notes' of mongodb://h/shop)"
