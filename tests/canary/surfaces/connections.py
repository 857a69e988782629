"""Databases, Redis, MongoDB and Pub/Sub: refused and wrong passwords, statements that fail, handlers that raise."""

from __future__ import annotations

import gc
import warnings

import anyio
from pymongo.errors import DuplicateKeyError
from sqlalchemy import text

from tests.canary._world import World
from undercroft import Infra
from undercroft._core.errors import UndercroftError
from undercroft.connections.mongo import Mongo
from undercroft.connections.pubsub import Topic, subscription
from undercroft.connections.sql import Database, DatabaseError
from undercroft.logging import logger
from undercroft.testing.mongo_server import MongoServer

NOBODY = "127.0.0.1:1"
orders: Topic[dict[str, str]] = Topic("mark.orders")


async def drive(world: World) -> None:
    await _servers_that_are_away(world)
    await _statements(world)
    await _documents(world)
    await _messages(world)
    # pymongo's monitor may leave a connecting socket to the garbage collector: here, and not in whatever runs next.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"unclosed <socket\.socket fd=\d+, [^>]*laddr=", ResourceWarning)
        gc.collect()


async def _servers_that_are_away(world: World) -> None:
    sql, redis, mongo = (world.secret(name) for name in ("sql.password", "redis.password", "mongo.password"))
    async with anyio.create_task_group() as group:
        for name, url in (
            ("DATABASE_URL", f"postgresql://shop:{sql}@{NOBODY}/shop"),
            ("DATABASE_URL", f"mysql://shop:{sql}@{NOBODY}/shop"),
            ("REDIS_URL", f"redis://shop:{redis}@{NOBODY}/0"),
            ("MONGODB_URI", f"mongodb://shop:{mongo}@{NOBODY}/shop"),
        ):
            group.start_soon(_server_that_is_away, world, {name: url})
    world.expect(NOBODY)


async def _server_that_is_away(world: World, environ: dict[str, str]) -> None:
    where = {"UNDERCROFT_QUEUE": "memory://", "UNDERCROFT_START_TIMEOUT": "300ms"}
    infra = Infra(environ={**where, **environ}, email_from="s@example.com", home=world.home)
    try:
        async with infra:
            raise AssertionError("nobody answers there")
    except UndercroftError as error:
        world.take("errors", error, repr(error.__cause__))
    world.take("services", infra.services, *await infra.report_services())
    world.take("findings", *await infra.check())


async def _statements(world: World) -> None:
    parameter = {"secret": world.secret("sql.parameter")}
    async with Database(f"sqlite:///{world.home}/app.db") as db:
        world.take("repr", db)
        async with db.transaction() as session:
            await session.execute(text("CREATE TABLE mark_users (name TEXT UNIQUE NOT NULL)"))
            await session.execute(text("INSERT INTO mark_users VALUES (:secret)"), parameter)
        for statement in ("INSERT INTO mark_users VALUES (:secret)", "SELECT :secret FROM mark_nowhere"):
            try:
                async with db.transaction() as session:
                    await session.execute(text(statement), parameter)
            except DatabaseError as error:
                world.take("errors", error, repr(error.__cause__))
    world.expect("mark_users", "mark_nowhere")


async def _documents(world: World) -> None:
    document = {"_id": 1, "name": world.secret("mongo.value")}
    async with (
        MongoServer(require_password=world.secret("mongo.password")) as server,
        Mongo(f"{server.url}/shop") as mongo,
    ):
        world.take("repr", mongo)
        people = mongo.database["mark_people"]
        await people.insert_one(document)
        try:
            await people.insert_one(document)
        except DuplicateKeyError as error:  # the driver's own, as it is the driver's own collection
            logger.error("mark-duplicate", error)
        await people.find_one({"name": world.secret("mongo.value")})
    world.expect("mark_people", "mark-duplicate")


async def _messages(world: World) -> None:
    has_run = anyio.Event()

    @subscription("mark-reader", orders)
    async def read(order: dict[str, str]) -> None:
        has_run.set()
        raise RuntimeError(f"mark-unreadable: https://u:{order['password']}@h")

    infra = Infra(environ={}, email_from="s@example.com", home=world.home, subscriptions=[read], topics=[orders])
    async with infra:
        await infra.pubsub.provision()
        handle = await infra.pubsub.publish(orders, {"password": world.secret("pubsub.payload")})
        with anyio.fail_after(5):
            async with infra.pubsub.subscriber():
                await has_run.wait()
        world.take("repr", infra.pubsub, read, orders, handle)
    world.expect("mark-unreadable", "mark.orders")
