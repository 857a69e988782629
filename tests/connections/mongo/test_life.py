"""Open, closed, refused: what a connection says, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from datetime import UTC

import pytest

from tests.connections.mongo._types import DataclassNote
from undercroft._core.errors import Kind, MissingExtraError, NotOpenError
from undercroft.connections.mongo import (
    Mongo,
    MongoAuthError,
    MongoRefusedError,
    MongoUsageError,
    NoDatabaseError,
    NoServerError,
)
from undercroft.testing.mongo_server import MongoServer

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("collected"),
    # pymongo 4.20 leaves the socket to the garbage collector when it is closed while its monitor connects.
    pytest.mark.filterwarnings(r"ignore:unclosed <socket\.socket fd=\d+, [^>]*laddr=[^>]*>:ResourceWarning"),
]


async def test_opened_connection_has_been_pinged(server: MongoServer) -> None:
    async with Mongo(f"{server.url}/shop") as mongo:
        assert server.command_counts["ping"] >= 1
        await mongo.ping()
        assert await mongo.server_version() == "7.0.0"
        assert mongo.database.name == "shop"


async def test_closing_leaves_no_connection_and_no_task(server: MongoServer) -> None:
    tasks = asyncio.all_tasks()

    async with Mongo(f"{server.url}/shop") as mongo:
        await mongo.database["things"].insert_one({})

    assert asyncio.all_tasks() == tasks
    await connections_are_gone(server)


async def test_it_can_be_opened_again(server: MongoServer) -> None:
    mongo = Mongo(f"{server.url}/shop")
    notes = mongo.collection("notes", DataclassNote)
    for _ in range(2):
        async with mongo:
            assert await notes.count() == 0


async def test_unused_before_it_is_open_and_after(server: MongoServer) -> None:
    mongo = Mongo(f"{server.url}/shop")
    notes = mongo.collection("notes", DataclassNote)
    with pytest.raises(NotOpenError):
        await mongo.ping()
    async with mongo:
        with pytest.raises(MongoUsageError):
            await mongo.__aenter__()

    with pytest.raises(NotOpenError):
        await notes.count()
    with pytest.raises(NotOpenError):
        _ = mongo.client


async def test_database_is_the_urls_or_the_default(server: MongoServer) -> None:
    async with (
        Mongo(f"{server.url}/shop", default_database="other") as named,
        Mongo(server.url, default_database="other") as default,
        Mongo(server.url, what="DOCUMENTS_URL") as neither,
    ):
        assert (named.database.name, default.database.name) == ("shop", "other")
        with pytest.raises(NoDatabaseError, match="DOCUMENTS_URL names no database"):
            _ = neither.database


async def test_server_that_is_down_is_an_error_within_the_selection_timeout(server: MongoServer) -> None:
    await server.stop()
    mongo = Mongo(f"{server.url}/shop", what="MONGODB_URI", server_selection_timeout="400ms")
    tasks, started = asyncio.all_tasks(), time.monotonic()

    with pytest.raises(NoServerError) as error:
        await mongo.__aenter__()

    assert time.monotonic() - started < 2
    assert error.value.kind is Kind.UNAVAILABLE
    assert f"127.0.0.1:{server.port}" in error.value.message
    assert "start the server, or correct the host and port in MONGODB_URI" in str(error.value)
    assert error.value.__cause__ is not None
    assert asyncio.all_tasks() == tasks
    await server.start()
    async with mongo:  # the same object, once there is a server
        await mongo.ping()


async def test_selection_timeout_of_the_url_wins(server: MongoServer) -> None:
    await server.stop()
    started = time.monotonic()

    with pytest.raises(NoServerError):
        await Mongo(f"{server.url}/?serverSelectionTimeoutMS=200").__aenter__()

    assert time.monotonic() - started < 1.5


async def test_host_that_does_not_exist_says_so() -> None:
    with pytest.raises(NoServerError, match="check the host name"):
        await Mongo("mongodb://nowhere.invalid/shop", server_selection_timeout="500ms").__aenter__()


async def test_wrong_password_is_refused_without_showing_it() -> None:
    async with MongoServer(require_password="right") as server:
        async with Mongo(f"{server.url}/shop") as mongo:
            await mongo.database["things"].insert_one({})
        tasks = asyncio.all_tasks()
        with pytest.raises(MongoAuthError) as wrong:
            await Mongo(f"mongodb://ann:wr0ng@127.0.0.1:{server.port}/shop").__aenter__()
        async with Mongo(f"mongodb://127.0.0.1:{server.port}/shop") as nobody:
            with pytest.raises(MongoAuthError) as none:
                await nobody.collection("notes", DataclassNote).count()
        assert asyncio.all_tasks() == tasks

    assert (wrong.value.server_code, wrong.value.server_name) == (18, "AuthenticationFailed")
    assert "wr0ng" not in str(wrong.value)
    assert "authSource" in str(wrong.value)
    assert none.value.server_code == 13


async def test_drivers_client_reads_aware_dates_and_uuids_unless_the_url_says_otherwise(server: MongoServer) -> None:
    async with Mongo(f"{server.url}/shop") as mongo, Mongo(f"{server.url}/shop?tz_aware=false") as naive:
        assert mongo.client.codec_options.tz_aware
        assert mongo.client.codec_options.tzinfo is UTC
        assert not naive.client.codec_options.tz_aware


async def test_operations_of_the_driver_can_be_run_with_our_errors(mongo: Mongo) -> None:
    with pytest.raises(MongoRefusedError) as error:
        await mongo.run(mongo.database.command("frobnicate"))

    assert (error.value.server_code, error.value.server_name) == (59, "CommandNotFound")
    assert await mongo.run(mongo.database["things"].count_documents({})) == 0


async def test_writes_are_not_retried_on_a_stand_alone_server_unless_asked_for(server: MongoServer) -> None:
    """pymongo 4.20 does not recover under load from a restart of a stand-alone server otherwise."""
    async with Mongo(f"{server.url}/shop") as mongo, Mongo(f"{server.url}/shop?retryWrites=true") as asked:
        assert not mongo.client.options.retry_writes
        assert asked.client.options.retry_writes


def test_face_loads_no_driver() -> None:
    code = "import sys, undercroft.connections.mongo; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-Ic", code], capture_output=True, text=True, check=True).stdout.split()

    assert {"pymongo", "bson", "dns", "pydantic", "mongomock"} & set(loaded) == set()


def test_lazy_name_of_the_package() -> None:
    import undercroft.connections

    assert undercroft.connections.mongo.Mongo is Mongo
    assert "mongo" in dir(undercroft.connections)


def test_missing_driver_names_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymongo", None)

    with pytest.raises(MissingExtraError, match=r"undercroft\[mongo\]"):
        Mongo("mongodb://h")


async def connections_are_gone(server: MongoServer) -> None:
    async with asyncio.timeout(5):
        while server.connection_count:
            await asyncio.sleep(0.01)
