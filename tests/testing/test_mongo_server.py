"""The stand-in for MongoDB answers the real driver as the real server would, or says that it cannot."""

from __future__ import annotations

import asyncio
import struct
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from pymongo import AsyncMongoClient, IndexModel, InsertOne, UpdateOne
from pymongo import errors as driver
from pymongo.asynchronous.collection import AsyncCollection

from undercroft._core.errors import ConfigError, MissingExtraError, NotOpenError
from undercroft.testing.mongo_server import MongoServer

pytestmark = pytest.mark.anyio
Things = AsyncCollection[dict[str, Any]]


@pytest.fixture
async def server() -> AsyncIterator[MongoServer]:
    async with MongoServer() as server:
        yield server


@pytest.fixture
async def things(server: MongoServer) -> AsyncIterator[Things]:
    async with AsyncMongoClient[dict[str, Any]](server.url, serverSelectionTimeoutMS=3000) as client:
        yield client["shop"]["things"]


async def test_drivers_handshake_and_simple_commands(server: MongoServer, things: Things) -> None:
    client = things.database.client

    assert await client.admin.command("ping") == {"ok": 1.0}
    assert (await client.server_info())["version"] == "7.0.0"
    assert server.command_counts["ping"] == 1
    assert server.connection_count == 2  # the monitor's and the pool's


async def test_documents_come_back_as_they_were_sent(things: Things) -> None:
    document = {
        "_id": bson.ObjectId(),
        "at": datetime(2026, 1, 2, 3, 4, 5, 678000),
        "price": bson.Decimal128("1.50"),
        "big": 2**40,
        "blob": b"\0\1",
        "uuid": bson.Binary(b"0" * 16, 4),
        "nested": {"list": [1, "two", None, 2.5]},
    }
    await things.insert_one(document)

    assert await things.find_one() == document


async def test_find_sorts_skips_limits_and_projects(things: Things) -> None:
    await things.insert_many([{"n": n, "even": n % 2 == 0} for n in range(10)])

    found = await things.find({"even": True}, {"n": 1, "_id": 0}).sort("n", -1).skip(1).limit(2).to_list()

    assert found == [{"n": 6}, {"n": 4}]


async def test_cursor_is_read_on_in_batches_and_then_gone(server: MongoServer, things: Things) -> None:
    await things.insert_many([{"n": n} for n in range(250)])

    found = await things.find({}).sort("n").batch_size(100).to_list()

    assert [document["n"] for document in found] == list(range(250))
    assert server.command_counts["getMore"] == 2
    assert server.cursor_count == 0


async def test_cursor_that_is_closed_is_killed(server: MongoServer, things: Things) -> None:
    await things.insert_many([{"n": n} for n in range(250)])
    cursor = things.find({})
    await anext(cursor)
    assert server.cursor_count == 1

    await cursor.close()

    assert server.cursor_count == 0


async def test_cursor_of_before_a_restart_is_not_found(server: MongoServer, things: Things) -> None:
    await things.insert_many([{"n": n} for n in range(250)])
    cursor = things.find({}).batch_size(100)
    for _ in range(100):
        await anext(cursor)
    await server.stop()
    await server.start()

    with pytest.raises(driver.PyMongoError):  # the connection first; the cursor when it is asked for again
        await anext(cursor)
    with pytest.raises(driver.CursorNotFound):
        await things.database.command("getMore", bson.Int64(1_000_000_001), collection="things")


async def test_updates_count_what_matched_and_what_changed(things: Things) -> None:
    await things.insert_many([{"n": n} for n in range(4)])

    one = await things.update_one({"n": 1}, {"$set": {"n": 1}})
    many = await things.update_many({"n": {"$gte": 2}}, {"$inc": {"n": 10}})
    new = await things.update_one({"n": 99}, {"$setOnInsert": {"fresh": True}}, upsert=True)

    assert (one.matched_count, one.modified_count) == (1, 0)
    assert (many.matched_count, many.modified_count) == (2, 2)
    assert (new.matched_count, await things.find_one({"_id": new.upserted_id})) == (
        0,
        {"_id": new.upserted_id, "n": 99, "fresh": True},
    )


async def test_update_that_fails_halfway_changes_nothing(things: Things) -> None:
    await things.insert_one({"_id": 1, "a": 1, "text": "x"})

    with pytest.raises(driver.WriteError):
        await things.update_one({"_id": 1}, {"$set": {"a": 2}, "$inc": {"text": 1}})

    assert await things.find_one() == {"_id": 1, "a": 1, "text": "x"}


async def test_id_cannot_be_changed(things: Things) -> None:
    await things.insert_one({"_id": 1, "a": 1})

    with pytest.raises(driver.WriteError) as error:
        await things.update_one({"a": 1}, {"$set": {"_id": 2}})

    assert error.value.code == 66
    assert await things.count_documents({}) == 1


async def test_replacement_keeps_the_id(things: Things) -> None:
    await things.insert_one({"_id": 1, "a": 1})

    await things.replace_one({"_id": {"$in": [1, 2]}}, {"b": 2})

    assert await things.find_one() == {"_id": 1, "b": 2}


async def test_find_and_modify_gives_before_or_after(things: Things) -> None:
    await things.insert_many([{"_id": 1, "n": 5}, {"_id": 2, "n": 7}])

    before = await things.find_one_and_update({}, {"$inc": {"n": 1}}, sort=[("n", -1)])
    after = await things.find_one_and_update(
        {"_id": 1}, {"$inc": {"n": 1}}, return_document=True, projection={"_id": 0}
    )
    upserted = await things.find_one_and_update({"_id": 3}, {"$set": {"n": 0}}, upsert=True, return_document=True)
    removed = await things.find_one_and_delete({"_id": 2})

    assert (before, after) == ({"_id": 2, "n": 7}, {"n": 6})
    assert (upserted, removed) == ({"_id": 3, "n": 0}, {"_id": 2, "n": 8})
    assert await things.find_one_and_delete({"_id": 9}) is None


async def test_delete_takes_one_or_all(things: Things) -> None:
    await things.insert_many([{"n": 1}, {"n": 1}, {"n": 1}])

    assert (await things.delete_one({"n": 1})).deleted_count == 1
    assert (await things.delete_many({"n": 1})).deleted_count == 2


async def test_aggregate_count_and_distinct(things: Things) -> None:
    await things.insert_many([{"kind": "ab"[n % 2], "n": n} for n in range(120)])

    sums = await (await things.aggregate([{"$group": {"_id": "$kind", "n": {"$sum": 1}}}])).to_list()
    everything = await (await things.aggregate([{"$match": {}}])).to_list()

    assert sorted((found["_id"], found["n"]) for found in sums) == [("a", 60), ("b", 60)]
    assert len(everything) == 120  # more than one batch
    assert await things.count_documents({"kind": "a"}) == 60
    assert await things.estimated_document_count() == 120
    assert sorted(await things.distinct("kind")) == ["a", "b"]


async def test_bulk_writes_stop_at_the_first_error_or_not(things: Things) -> None:
    await things.insert_one({"_id": 1})
    requests = [InsertOne({"_id": 2}), InsertOne({"_id": 1}), UpdateOne({"_id": 2}, {"$set": {"a": 1}})]

    with pytest.raises(driver.BulkWriteError) as ordered:
        await things.bulk_write(requests)
    with pytest.raises(driver.BulkWriteError) as unordered:
        await things.insert_many([{"_id": 1}, {"_id": 3}], ordered=False)

    assert ordered.value.details is not None
    assert unordered.value.details is not None
    assert (ordered.value.details["nInserted"], ordered.value.details["nModified"]) == (1, 0)
    assert unordered.value.details["nInserted"] == 1


async def test_unacknowledged_write_gets_no_reply(things: Things) -> None:
    unacknowledged = things.with_options(write_concern=driver_write_concern())

    await unacknowledged.insert_one({"_id": 1})

    assert await things.find_one({"_id": 1}) == {"_id": 1}


async def test_unique_index_is_kept_by_every_write(things: Things) -> None:
    await things.create_index([("shop", 1), ("email", 1)], unique=True)
    await things.insert_many([{"shop": 1, "email": "a"}, {"shop": 1, "email": "b"}])

    with pytest.raises(driver.DuplicateKeyError) as inserted:
        await things.insert_one({"shop": 1, "email": "a"})
    with pytest.raises(driver.DuplicateKeyError) as updated:
        await things.update_one({"email": "b"}, {"$set": {"email": "a"}})
    with pytest.raises(driver.DuplicateKeyError):
        await things.find_one_and_update({"email": "b"}, {"$set": {"email": "a"}})

    for error in (inserted, updated):
        assert error.value.details is not None
        assert error.value.details["keyPattern"] == {"shop": 1, "email": 1}
        assert "index: shop_1_email_1 dup key" in str(error.value)
    assert await things.count_documents({"email": "a"}) == 1


async def test_indexes_are_created_once_listed_and_dropped(things: Things) -> None:
    await things.create_index("a")
    await things.create_indexes([IndexModel([("a", 1)]), IndexModel([("at", -1)], expireAfterSeconds=60, sparse=True)])

    information = await things.index_information()
    assert set(information) == {"_id_", "a_1", "at_-1"}
    assert information["at_-1"]["expireAfterSeconds"] == 60
    await things.drop_index("a_1")
    with pytest.raises(driver.OperationFailure) as missing:
        await things.drop_index("a_1")
    await things.drop_indexes()

    assert missing.value.code == 27
    assert set(await things.index_information()) == {"_id_"}


async def test_index_that_clashes_is_refused_as_the_real_server_does(things: Things) -> None:
    await things.insert_many([{"a": 1}, {"a": 1}])
    await things.create_index("b", name="mine")

    codes = []
    for keys, options in [("b", {"name": "other"}), ("c", {"name": "mine"}), ("a", {"unique": True})]:
        with pytest.raises(driver.OperationFailure) as error:
            await things.create_index(keys, **options)  # type: ignore[arg-type]
        codes.append(error.value.code)

    assert codes == [85, 86, 11000]


async def test_expired_documents_are_gone(things: Things) -> None:
    await things.create_index("at", expireAfterSeconds=60)
    await things.insert_many([{"_id": 1, "at": datetime(2020, 1, 1, tzinfo=UTC)}, {"_id": 2, "at": datetime.now(UTC)}])

    assert await things.find({}).to_list() == [await things.find_one({"_id": 2})]


async def test_collections_are_listed_created_and_dropped(things: Things) -> None:
    database = things.database
    await things.insert_one({})
    await database.create_collection("more")

    with pytest.raises(driver.OperationFailure):
        await database.command("create", "more")
    with pytest.raises(driver.OperationFailure) as capped:
        await database.command("create", "log", capped=True, size=1000)
    names = sorted(await database.list_collection_names())
    await things.drop()

    assert names == ["more", "things"]
    assert capped.value.code == 238
    assert await database.list_collection_names() == ["more"]
    assert [entry["name"] async for entry in await database.list_collections(filter={"name": "more"})] == ["more"]
    await database.client.drop_database("shop")
    assert await database.list_collection_names() == []


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ({"frobnicate": 1}, 59),
        ({"find": 5}, 73),
        ({"find": "things", "filter": {"$nonsense": 1}}, 2),
        ({"find": "things", "collation": {"locale": "de"}}, 238),
        ({"aggregate": "things", "pipeline": [{"$changeStream": {}}], "cursor": {}}, 40573),
        ({"insert": "things", "documents": [{}], "startTransaction": True, "autocommit": False}, 20),
        ({"listIndexes": "nowhere"}, 26),
    ],
)
async def test_what_it_cannot_do_is_an_error(things: Things, command: dict[str, Any], code: int) -> None:
    with pytest.raises(driver.OperationFailure) as error:
        await things.database.command(command)

    assert error.value.code == code


async def test_data_and_port_outlive_a_restart(server: MongoServer, things: Things) -> None:
    await things.insert_one({"_id": 1})
    port = server.port

    await server.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    assert server.connection_count == 0
    await server.stop()  # once more changes nothing
    await server.start()
    await server.start()

    assert server.port == port
    async with AsyncMongoClient[dict[str, Any]](server.url) as client:
        assert await client["shop"]["things"].find_one() == {"_id": 1}


async def test_password_is_required_and_checked() -> None:
    async with MongoServer(require_password="p@ss/wörd") as server:
        async with AsyncMongoClient[dict[str, Any]](server.url) as client:
            await client["shop"]["things"].insert_one({})
        async with AsyncMongoClient[dict[str, Any]](f"mongodb://test:wrong@127.0.0.1:{server.port}") as client:
            with pytest.raises(driver.OperationFailure, match="AuthenticationFailed") as wrong:
                await client["shop"]["things"].find_one()
        async with AsyncMongoClient[dict[str, Any]](f"mongodb://127.0.0.1:{server.port}") as client:
            assert await client.admin.command("ping") == {"ok": 1.0}
            with pytest.raises(driver.OperationFailure) as nobody:
                await client["shop"]["things"].find_one()

    assert (wrong.value.code, nobody.value.code) == (18, 13)


@pytest.mark.parametrize(
    "message",
    [
        struct.pack("<iiii", 16 + 9, 7, 0, 2012) + b"\0" * 9,  # OP_COMPRESSED
        struct.pack("<iiii", 16 + 5, 7, 0, 2013) + b"\0\0\0\0\x09",  # an unknown section
        struct.pack("<iiii", 2**31 - 1, 7, 0, 2013),
        struct.pack("<iiii", 16 + 4, 7, 0, 9999) + b"\0" * 4,
    ],
)
async def test_what_is_not_the_protocol_is_refused_and_ends_the_connection(server: MongoServer, message: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(message)

    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()

    assert struct.unpack_from("<iiii", answer)[2:] == (7, 2013)
    assert bson.decode(answer[21:])["codeName"] == "ProtocolError"


async def test_message_that_comes_in_pieces_and_has_a_checksum_is_understood(server: MongoServer) -> None:
    body = struct.pack("<i", 1) + b"\0" + bson.encode({"ping": 1, "$db": "admin"}) + b"abcd"
    message = struct.pack("<iiii", 16 + len(body), 3, 0, 2013) + body
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for byte in message * 2:
        writer.write(bytes([byte]))
        await asyncio.sleep(0)

    answers = await asyncio.wait_for(reader.readexactly(2 * (21 + len(bson.encode({"ok": 1.0})))), 5)
    writer.close()

    assert bson.decode(answers[21 : len(answers) // 2]) == {"ok": 1.0}


async def test_server_has_no_url_before_it_is_open() -> None:
    server = MongoServer()

    with pytest.raises(NotOpenError):
        _ = server.url
    with pytest.raises(NotOpenError):
        await server.start()
    with pytest.raises(ConfigError):
        MongoServer(require_password="")


async def test_missing_mongomock_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("undercroft.testing._mongo")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mongomock", None)

    with pytest.raises(MissingExtraError, match="pip install mongomock"):
        MongoServer()


def driver_write_concern() -> Any:
    from pymongo import WriteConcern

    return WriteConcern(w=0)
