"""The server goes away, comes back, says nothing; callers are cancelled: what is said, what is left, what works."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio
import pytest
from bson import ObjectId

from undercroft._core.errors import Kind
from undercroft.connections.mongo import (
    NO_LIMIT,
    Collection,
    DuplicateKeyError,
    Mongo,
    MongoError,
    MongoTimeoutError,
    MongoUnavailableError,
    NoServerError,
)
from undercroft.testing.fault_proxy import FaultProxy
from undercroft.testing.mongo_server import MongoServer

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("collected"),
    # pymongo 4.20 leaves the socket to the garbage collector when it is closed while its monitor connects.
    pytest.mark.filterwarnings(r"ignore:unclosed <socket\.socket fd=\d+, [^>]*laddr=[^>]*>:ResourceWarning"),
]
RESTARTS = 20
CANCELS = 300


@dataclass
class Doc:
    n: int
    id: ObjectId | None = None


@pytest.fixture
async def proxy(server: MongoServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1", server.port) as proxy:
        yield proxy


class Load:
    """Tasks that insert and read what they inserted, until they are told to stop."""

    def __init__(self, docs: Collection[Doc]) -> None:
        self.docs = docs
        self.stored: list[ObjectId] = []
        self.errors: list[MongoError] = []
        self.is_over = False

    async def run(self) -> None:
        while not self.is_over:
            try:
                doc = await self.docs.insert(Doc(1))
                assert doc.id is not None
                self.stored.append(doc.id)
                await self.docs.require(doc.id)
            except MongoUnavailableError as error:
                self.errors.append(error)
            await asyncio.sleep(0.001)

    async def progress(self, *, within: float) -> float:
        """Return after how long another document was stored."""
        started, before = time.monotonic(), len(self.stored)
        async with asyncio.timeout(within):
            while len(self.stored) == before:
                await asyncio.sleep(0.005)
        return time.monotonic() - started


async def test_server_that_is_restarted_under_load_is_used_again_within_five_seconds(
    server: MongoServer, mongo: Mongo
) -> None:
    load = Load(mongo.collection("docs", Doc))
    async with asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(load.run())
        for _ in range(RESTARTS):
            await load.progress(within=5)
            await server.stop()
            await asyncio.sleep(0.02)
            await server.start()
            await load.progress(within=5)
        load.is_over = True

    stored = {doc.id async for doc in load.docs.find(limit=NO_LIMIT)}
    assert set(load.stored) <= stored
    assert all(error.kind is Kind.UNAVAILABLE and error.__cause__ is not None for error in load.errors)
    assert load.errors


async def test_error_of_a_lost_reply_says_that_the_write_may_have_happened(proxy: FaultProxy) -> None:
    async with Mongo(proxy.url("mongodb://{host}:{port}/shop")) as mongo:
        docs, id_ = mongo.collection("docs", Doc), ObjectId()
        proxy.lose_reply(to=b"insert")

        with pytest.raises(MongoUnavailableError) as error:
            await docs.insert(Doc(1, id_))

        assert error.value.may_have_been_applied
        assert await docs.get(id_) == Doc(1, id_)
        with pytest.raises(DuplicateKeyError):  # so a second try with the same id is safe
            await docs.insert(Doc(1, id_))


async def test_read_whose_reply_is_cut_is_repeated_by_the_driver(proxy: FaultProxy) -> None:
    async with Mongo(proxy.url("mongodb://{host}:{port}/shop")) as mongo:
        docs = mongo.collection("docs", Doc)
        stored = await docs.insert(Doc(1))
        proxy.cut_mid_reply(after_bytes=10, to=b"find")

        assert await docs.get(stored.id or "") == stored


async def test_half_open_connection_ends_in_a_timeout_and_is_replaced(proxy: FaultProxy) -> None:
    url = proxy.url("mongodb://{host}:{port}/shop")
    async with Mongo(url, operation_timeout="400ms", server_selection_timeout="800ms") as mongo:
        docs = mongo.collection("docs", Doc)
        stored = await docs.insert(Doc(1))
        proxy.stall()

        for operation in (lambda: docs.get(stored.id or ""), lambda: docs.insert(Doc(2)), mongo.ping):
            started = time.monotonic()
            with pytest.raises(MongoUnavailableError) as error:
                await operation()
            assert time.monotonic() - started < 2
            assert error.value.__cause__ is not None
        proxy.heal()
        started = time.monotonic()
        while True:
            try:
                await docs.get(stored.id or "")
                break
            except MongoUnavailableError:
                assert time.monotonic() - started < 5


async def test_server_that_accepts_and_says_nothing_is_an_error_within_the_selection_timeout(proxy: FaultProxy) -> None:
    proxy.stall()
    started = time.monotonic()

    with pytest.raises(NoServerError):
        await Mongo(proxy.url("mongodb://{host}:{port}/shop"), server_selection_timeout="400ms").__aenter__()

    assert time.monotonic() - started < 2


async def test_timeout_of_a_slow_answer_says_so(proxy: FaultProxy) -> None:
    async with Mongo(proxy.url("mongodb://{host}:{port}/shop"), operation_timeout="300ms") as mongo:
        docs = mongo.collection("docs", Doc)
        await docs.count()
        proxy.delay(1.0)

        with pytest.raises(MongoTimeoutError) as error:
            await docs.insert(Doc(1))

        assert isinstance(error.value, TimeoutError)
        assert error.value.may_have_been_applied
        proxy.heal()


async def test_connections_that_are_all_in_use_are_waited_for_and_then_named(proxy: FaultProxy) -> None:
    url = proxy.url("mongodb://{host}:{port}/shop?maxPoolSize=1&waitQueueTimeoutMS=200&socketTimeoutMS=2000")
    async with Mongo(url) as mongo:
        docs = mongo.collection("docs", Doc)
        await docs.count()
        proxy.delay(0.6)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(docs.count)
            await asyncio.sleep(0.05)
            with pytest.raises(MongoTimeoutError, match="all connections to"):
                await docs.insert(Doc(1))
        proxy.heal()


async def test_cancelled_callers_leave_nothing_and_disturb_nobody(server: MongoServer) -> None:
    """Awaiting pymongo 4.20 itself under anyio's cancel scopes ends in waits without an end, or in open sockets."""
    tasks, chance = asyncio.all_tasks(), random.Random(1)
    async with Mongo(f"{server.url}/shop?maxPoolSize=4", operation_timeout="5s") as mongo:
        docs = mongo.collection("docs", Doc)
        seed = await docs.insert_many([Doc(n) for n in range(300)])
        cancelled = 0

        async def work() -> None:
            await docs.insert(Doc(-1))
            await docs.get(seed[0].id or "")
            await docs.update(seed[1].id or "", {"$inc": {"n": 1}})
            await docs.find(limit=NO_LIMIT).to_list()
            await docs.count()

        async def cancel_at_some_point() -> None:
            nonlocal cancelled
            with anyio.move_on_after(chance.random() * 0.03) as scope:
                await work()
            cancelled += scope.cancelled_caught

        while cancelled < CANCELS:
            async with anyio.create_task_group() as group:
                for _ in range(6):
                    group.start_soon(cancel_at_some_point)

        async with asyncio.timeout(5), anyio.create_task_group() as group:
            for _ in range(12):
                group.start_soon(work)
        async with asyncio.timeout(5):  # the driver kills cursors that nobody reads once a second
            while server.cursor_count:
                await asyncio.sleep(0.02)
        assert server.connection_count <= 4 + 1
        assert mongo._calls.left_count == 0
    assert asyncio.all_tasks() == tasks
    async with asyncio.timeout(5):
        while server.connection_count:
            await asyncio.sleep(0.01)


async def test_cancelled_caller_returns_at_once_and_its_write_still_happens(proxy: FaultProxy) -> None:
    async with Mongo(proxy.url("mongodb://{host}:{port}/shop")) as mongo:
        docs = mongo.collection("docs", Doc)
        await docs.count()
        proxy.delay(0.5)
        started = time.monotonic()
        with anyio.move_on_after(0.05) as scope:
            await docs.insert(Doc(7))

        assert scope.cancelled_caught
        assert time.monotonic() - started < 0.3
        assert mongo._calls.left_count == 1
        proxy.heal()
        assert await docs.count({"n": 7}) == 1


async def test_operation_whose_caller_is_gone_does_not_outlive_the_selection_timeout(proxy: FaultProxy) -> None:
    url = proxy.url("mongodb://{host}:{port}/shop")
    async with Mongo(url, server_selection_timeout="300ms", operation_timeout="30s") as mongo:
        docs = mongo.collection("docs", Doc)
        await docs.count()
        proxy.stall()
        with anyio.move_on_after(0.05):
            await docs.count()
        started = time.monotonic()

    assert time.monotonic() - started < 2
    assert drivers_tasks() == set()


async def test_cancelled_opening_leaves_nothing(proxy: FaultProxy) -> None:
    proxy.stall()
    mongo = Mongo(proxy.url("mongodb://{host}:{port}/shop"), server_selection_timeout="500ms")

    with anyio.move_on_after(0.1):
        await mongo.__aenter__()

    assert drivers_tasks() == set()
    proxy.heal()
    async with mongo:
        await mongo.ping()


def drivers_tasks() -> set[str]:
    return {name for name in (task.get_name() for task in asyncio.all_tasks()) if "mongo" in name}
