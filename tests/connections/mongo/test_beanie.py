"""Beanie on the same connection: what works against the stand-in, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import pytest
from beanie import BulkWriter, Document, Indexed, UpdateResponse, init_beanie
from bson import ObjectId
from pydantic import Field
from pymongo import errors as driver

from undercroft.connections.mongo import DuplicateKeyError, Mongo

pytestmark = pytest.mark.anyio


class User(Document):
    email: Annotated[str, Indexed(unique=True)]
    age: int = 0
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))

    class Settings:
        name = "users"
        use_state_management = True


@pytest.fixture
async def users(mongo: Mongo) -> Mongo:
    await init_beanie(database=mongo.database, document_models=[User])
    return mongo


async def test_documents_are_inserted_found_changed_and_deleted(users: Mongo) -> None:
    user = await User(email="a@example.com").insert()
    user.age = 5
    await user.save()
    await user.inc({User.age: 1})
    user.age += 1
    await user.save_changes()

    found = await User.get(user.id)

    assert found is not None
    assert (found.email, found.age, found.created_at.tzinfo) == ("a@example.com", 7, UTC)
    assert await User.find_one(User.email == "a@example.com") == found
    await found.delete()
    assert await User.count() == 0


async def test_queries_sort_count_update_aggregate_and_delete(users: Mongo) -> None:
    await User.insert_many([User(email=f"{n}@example.com", age=n) for n in range(150)])

    assert [user.age for user in await User.find(User.age >= 140).sort("-age").limit(2).to_list()] == [149, 148]
    await User.find(User.age < 10).update({"$set": {"age": 500}})
    assert await User.find(User.age == 500).count() == 10
    assert await User.find(User.age == 500).avg(User.age) == 500
    groups = await User.find(User.age < 100).aggregate([{"$group": {"_id": None, "n": {"$sum": 1}}}]).to_list()
    assert groups[0]["n"] == 90
    async with BulkWriter() as bulk:
        await User.find(User.age == 500).update({"$set": {"age": 1}}, bulk_writer=bulk)
    changed = await User.find_one(User.email == "0@example.com").update(
        {"$inc": {"age": 1}}, response_type=UpdateResponse.NEW_DOCUMENT
    )
    assert changed.age == 2
    await User.find(User.age < 100).delete()
    assert await User.count() == 50


async def test_indexes_of_models_are_created_and_kept(users: Mongo) -> None:
    await User(email="a@example.com").insert()

    with pytest.raises(driver.DuplicateKeyError):
        await User(email="a@example.com").insert()
    with pytest.raises(DuplicateKeyError) as error:
        await users.run(User(email="a@example.com").insert())
    assert error.value.key_pattern == {"email": 1}


async def test_typed_collections_and_beanie_share_documents(users: Mongo) -> None:
    @dataclass
    class Account:
        email: str
        age: int
        id: ObjectId | None = None

    user = await User(email="a@example.com", age=3).insert()
    accounts = users.collection("users", Account)

    account = await accounts.require(user.id or "")
    await accounts.update(user.id or "", {"age": 4})

    assert (account.email, account.age) == ("a@example.com", 3)
    found = await users.run(User.find_one(User.email == "a@example.com"))
    assert found is not None
    assert found.age == 4


async def test_what_needs_a_replica_set_is_refused(users: Mongo) -> None:
    async def in_a_transaction() -> None:
        async with users.client.start_session() as session, await session.start_transaction():
            await User(email="t@example.com").insert(session=session)

    async def by_a_change_stream() -> None:
        async with await users.database["users"].watch():
            pass

    for operation in (in_a_transaction, by_a_change_stream):
        with pytest.raises(driver.OperationFailure, match="replica set"):
            await operation()
    assert await User.count() == 0
