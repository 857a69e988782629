"""The services of an Infra against real servers: opened with it, all or none, waited for, asked how they are."""

from __future__ import annotations

import asyncio
import gc
import secrets
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import text

from tests._services import Service
from undercroft import Infra, current
from undercroft._core.errors import NotOpenError, UndercroftError
from undercroft.app import AlreadyOpenError, NotConfiguredError, StartTimeoutError
from undercroft.connections.mongo import MongoAuthError, NoServerError
from undercroft.connections.pubsub import Topic, subscription
from undercroft.connections.redis import RedisUnavailableError
from undercroft.connections.sql import DatabaseAuthError, DatabaseUnavailableError
from undercroft.queue import job
from undercroft.testing.fault_proxy import FaultProxy
from undercroft.testing.mongo_server import MongoServer
from undercroft.testing.pubsub_server import PubSubServer

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings(r"ignore:unclosed <socket\.socket fd=\d+, [^>]*laddr=[^>]*>:ResourceWarning"),
]


@pytest.fixture(autouse=True)
def drivers_sockets_are_collected_here() -> Iterator[None]:
    """pymongo's monitor may leave a connecting socket to the garbage collector: here, and not in whatever runs next."""
    yield
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"unclosed <socket\.socket fd=\d+, [^>]*laddr=", ResourceWarning)
        gc.collect()


SECRET = "caNARy-7f3a"
NOBODY = "127.0.0.1:1"


def make(environ: dict[str, str] | None = None, **arguments: Any) -> Infra:
    """Return an Infra whose queue stays embedded."""
    return Infra(environ={"UNDERCROFT_QUEUE": "sqlite:///queue.db", **(environ or {})}, **arguments)


@pytest.fixture
def redis_url(redis: Service) -> str:
    return f"redis://{redis.host}:{redis.port}/0"


@pytest.fixture
def postgres_url(postgres: Service) -> str:
    return f"postgresql://postgres@{postgres.host}:{postgres.port}/postgres"


@pytest.fixture
def mariadb_url(mariadb: Service) -> str:
    return f"mysql://root@{mariadb.host}:{mariadb.port}/mysql"


@pytest.fixture
def pubsub_server() -> Iterator[PubSubServer]:
    with PubSubServer() as server:
        yield server


async def one(infra: Infra) -> int:
    async with infra.db.connection() as connection:
        return int((await connection.execute(text("SELECT 1"))).scalar_one())


# Without settings

LAZY = """
import asyncio, sys
from pathlib import Path
from undercroft import Infra

async def main():
    async with Infra(environ={}) as infra:
        assert "sqlalchemy" not in sys.modules
        assert not Path(".undercroft/app.db").exists()
        await infra.db.ping()
        assert "sqlalchemy" in sys.modules
        assert Path(".undercroft/app.db").exists()

asyncio.run(main())
"""


def test_database_by_default_costs_nothing_before_its_first_use(home: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LAZY], cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def test_database_by_default_is_a_file_in_the_home(home: Path) -> None:
    async with Infra(environ={"UNDERCROFT_HOME": "var"}) as infra:
        assert infra.db.dialect == "sqlite"
        assert await one(infra) == 1
    assert (home / "var" / "app.db").exists()


async def test_pubsub_by_default_is_in_this_process() -> None:
    notes = Topic("notes")
    async with Infra(environ={}, topics=[notes]) as infra:
        handle = await infra.pubsub.publish(notes, {"title": "hello"})
    assert (infra.pubsub.backend, handle.topic) == ("memory", "notes")


@pytest.mark.parametrize(("part", "variable"), [("redis", "REDIS_URL"), ("mongo", "MONGODB_URI")])
async def test_what_has_no_default_says_which_variable_it_needs(part: str, variable: str) -> None:
    async with Infra(environ={}) as infra:
        with pytest.raises(NotConfiguredError) as caught:
            getattr(infra, part)
    assert caught.value.code == "UC0209"
    assert variable in (caught.value.hint or "")


async def test_embedded_services_have_no_checks() -> None:
    async with Infra(environ={}) as infra:
        assert list((await infra.health.run()).checks) == ["queue", "email"]


# With settings


@pytest.mark.redis
@pytest.mark.filterwarnings("ignore:Call to deprecated setex")  # redis-py would rather have set(…, ex=300)
async def test_redis_is_the_real_client(redis_url: str) -> None:
    key = f"test:{secrets.token_hex(8)}"
    async with make({"REDIS_URL": redis_url}) as infra:
        await infra.redis.set(key, "1")
        assert await infra.redis.get(key) == b"1"
        await infra.redis.setex(key, 300, "2")
        assert 0 < await infra.redis.ttl(key) <= 300
        assert await infra.redis.delete(key) == 1


@pytest.mark.redis
async def test_redis_of_an_infra_that_is_not_open_cannot_be_used(redis_url: str) -> None:
    with pytest.raises(NotOpenError):
        _ = make({"REDIS_URL": redis_url}).redis


@pytest.mark.parametrize(
    ("server", "dialect"),
    [
        pytest.param("postgres", "postgresql", marks=pytest.mark.postgres),
        pytest.param("mariadb", "mariadb", marks=pytest.mark.mariadb),
    ],
)
async def test_database_url_opens_that_server(server: str, dialect: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(f"{server}_url")
    async with make({"DATABASE_URL": url}) as infra:
        assert infra.db.dialect == dialect
        assert await one(infra) == 1


@pytest.mark.mariadb
async def test_the_variables_of_mysql_open_that_server(mariadb: Service) -> None:
    environ = {
        "MYSQL_HOST": mariadb.host,
        "MYSQL_PORT": str(mariadb.port),
        "MYSQL_USER": "root",
        "MYSQL_DATABASE": "mysql",
    }
    async with make(environ) as infra:
        assert await one(infra) == 1
    assert {part.part: part.chosen_by for part in infra.describe()}["database"] == "MYSQL_HOST"


async def test_project_and_emulator_open_that_server(pubsub_server: PubSubServer) -> None:
    notes = Topic("notes")
    environ = {"PUBSUB_PROJECT_ID": "shop", "PUBSUB_EMULATOR_HOST": pubsub_server.host}
    async with make(environ, topics=[notes]) as infra:
        await infra.pubsub.provision()
        assert (await infra.pubsub.publish(notes, {"title": "hello"})).id
        assert (await infra.health.run()).checks["pubsub"].status == "healthy"
    assert pubsub_server.topics() == ["projects/shop/topics/notes"]


@dataclass
class Note:
    id: str
    title: str


async def test_mongodb_uri_opens_that_server() -> None:
    async with MongoServer() as server, make({"MONGODB_URI": f"{server.url}/shop"}) as infra:
        notes = infra.mongo.collection("notes", Note)
        await notes.insert(Note(id="a", title="hello"))
        assert (await notes.require("a")).title == "hello"
        assert (await infra.health.run()).checks["mongo"].status == "healthy"


@pytest.mark.redis
@pytest.mark.postgres
async def test_servers_that_were_asked_for_are_in_the_health(postgres_url: str, redis_url: str) -> None:
    async with make({"DATABASE_URL": postgres_url, "REDIS_URL": redis_url}) as infra:
        report = await infra.health.run()
    assert {name: str(check.status) for name, check in report.checks.items()} == dict.fromkeys(
        ("queue", "email", "database", "redis"), "healthy"
    )


async def test_redis_that_is_down_keeps_it_from_starting() -> None:
    infra = make({"REDIS_URL": f"redis://{NOBODY}", "UNDERCROFT_START_TIMEOUT": "200ms"})
    with pytest.raises((RedisUnavailableError, StartTimeoutError), match=NOBODY):
        await infra.open()
    assert not infra.is_open


async def test_worker_process_can_be_opened_without_its_background(home: Path) -> None:
    ran: list[int] = []

    @job("once")
    async def once() -> None:
        ran.append(1)

    infra = Infra(home=home, jobs=[once], process="worker", environ={})
    await infra.open(background=False)
    try:
        with infra.bind():
            await once.enqueue()
            assert (await infra.queue.counts()).active == 0
            assert await infra.queue.worker().drain() == 1
    finally:
        await infra.close()
    assert ran == [1]


# The report


@pytest.mark.redis
async def test_services_are_reported_one_by_one(redis_url: str) -> None:
    infra = make({"REDIS_URL": redis_url, "DATABASE_URL": f"postgresql://shop:{SECRET}@{NOBODY}/shop"})
    database, redis, pubsub = await infra.report_services()
    assert (database.service, database.backend, database.chosen_by) == ("database", "postgresql", "DATABASE_URL")
    assert (database.is_reachable, database.latency_ms, database.version) == (False, None, None)
    assert "refused the connection" in (database.problem or "")
    assert SECRET not in repr(database)
    assert (redis.is_reachable, redis.problem) == (True, None)
    assert redis.latency_ms is not None
    assert (redis.version or "").count(".") == 2
    assert (pubsub.backend, pubsub.is_reachable, pubsub.version) == ("memory", True, None)
    assert not infra.is_open


async def test_an_infra_that_is_open_reports_by_its_health() -> None:
    async with Infra(environ={}) as infra:
        with pytest.raises(AlreadyOpenError):
            await infra.report_services()


# Starting


@pytest.mark.parametrize(
    ("environ", "errors"),
    [
        ({"DATABASE_URL": f"postgresql://shop@{NOBODY}/shop"}, DatabaseUnavailableError),
        ({"DATABASE_URL": f"mysql://shop@{NOBODY}/shop"}, DatabaseUnavailableError),
        ({"MONGODB_URI": f"mongodb://{NOBODY}/shop"}, (NoServerError, StartTimeoutError)),
    ],
)
async def test_server_that_is_down_is_an_error_at_the_deadline(
    environ: dict[str, str], errors: type[Exception] | tuple[type[Exception], ...]
) -> None:
    infra = make({**environ, "UNDERCROFT_START_TIMEOUT": "500ms"})
    started = time.monotonic()
    with pytest.raises(errors) as caught:
        await infra.open()
    assert time.monotonic() - started < 3
    assert isinstance(caught.value, UndercroftError)
    assert caught.value.message
    assert caught.value.hint
    assert not infra.is_open


@pytest.mark.postgres
async def test_server_that_comes_up_later_is_waited_for(postgres: Service) -> None:
    async with FaultProxy(postgres.host, postgres.port) as proxy:
        await proxy.refuse()
        infra = make({"DATABASE_URL": proxy.url("postgresql://postgres@{host}:{port}/postgres")})
        asyncio.get_running_loop().call_later(1, proxy.heal)
        async with infra:
            assert await one(infra) == 1


async def test_wrong_password_is_not_tried_again() -> None:
    async with MongoServer(require_password="right") as server:
        infra = make({"MONGODB_URI": f"mongodb://shop:{SECRET}@127.0.0.1:{server.port}/shop"})
        with anyio.fail_after(10), pytest.raises(MongoAuthError) as caught:
            await infra.open()
        assert server.command_counts["saslStart"] <= 2  # one try: one login for each of at most two connections
    assert SECRET not in f"{caught.value!s} {caught.value!r}"


@pytest.mark.postgres
async def test_unknown_user_is_not_tried_again(postgres: Service) -> None:
    infra = make({"DATABASE_URL": f"postgresql://undercroft_nobody:x@{postgres.host}:{postgres.port}/postgres"})
    with anyio.fail_after(10), pytest.raises(DatabaseAuthError):
        await infra.open()


@pytest.mark.postgres
async def test_one_that_is_down_leaves_none_open(postgres: Service) -> None:
    async with FaultProxy(postgres.host, postgres.port) as proxy:
        infra = make(
            {
                "DATABASE_URL": proxy.url("postgresql://postgres@{host}:{port}/postgres"),
                "MONGODB_URI": f"mongodb://{NOBODY}/shop",
                "UNDERCROFT_START_TIMEOUT": "500ms",
            }
        )
        with pytest.raises(UndercroftError):
            await infra.open()
        assert proxy.counts.accepted > 0
        with anyio.fail_after(5):
            while proxy.counts.open:
                await asyncio.sleep(0.01)
    assert not infra.is_open
    with pytest.raises(NotOpenError):
        await infra.db.ping()


@pytest.mark.postgres
async def test_it_opens_again_after_it_was_closed(postgres_url: str) -> None:
    infra = make({"DATABASE_URL": postgres_url})
    for _ in range(2):
        async with infra:
            assert await one(infra) == 1


# Processes


async def test_one_process_can_serve_and_work() -> None:
    done: dict[str, tuple[int, bool]] = {}
    both = asyncio.Event()

    def note(what: str, number: int) -> None:
        done[what] = (number, current() is infra)
        if len(done) == 2:
            both.set()

    @job("shop.count")
    async def count(number: int) -> None:
        note("job", number)

    numbers = Topic("numbers")

    @subscription("numbers-here", numbers)
    async def receive(payload: dict[str, int]) -> None:
        note("message", payload["number"])

    infra = Infra(environ={"UNDERCROFT_PROCESS": "all"}, jobs=[count], subscriptions=[receive])
    async with infra:
        await count.enqueue(number=1)
        await infra.pubsub.publish(numbers, {"number": 2})
        with anyio.fail_after(10):
            await both.wait()
    assert done == {"job": (1, True), "message": (2, True)}


async def test_an_api_process_runs_no_jobs() -> None:
    @job("shop.never")
    async def never() -> None: ...

    async with Infra(environ={}, jobs=[never]) as infra:
        handle = await never.enqueue()
        names = {task.get_name() for task in asyncio.all_tasks()}
        assert (await handle.info()).state == "waiting"
    assert infra.settings.runs_background is False
    assert not any("worker" in name for name in names)


# Secrets

SECRETS = [
    {"DATABASE_URL": f"postgresql://shop:{SECRET}@{NOBODY}/shop"},
    {"DATABASE_URL": f"mysql://shop:{SECRET}@{NOBODY}/shop"},
    {"DATABASE_REPLICA_URL": f"postgresql://shop:{SECRET}@{NOBODY}/shop"},
    {"MYSQL_HOST": "127.0.0.1", "MYSQL_PORT": "1", "MYSQL_USER": "a", "MYSQL_DATABASE": "b", "MYSQL_PASSWORD": SECRET},
    {"REDIS_URL": f"redis://shop:{SECRET}@{NOBODY}/0"},
    {"MONGODB_URI": f"mongodb://shop:{SECRET}@{NOBODY}/shop"},
]


@pytest.mark.parametrize("environ", SECRETS)
async def test_no_service_shows_a_secret(environ: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    infra = make({**environ, "UNDERCROFT_START_TIMEOUT": "300ms"})
    shown: list[object] = [infra, infra.settings, infra.describe(), infra.db, *await infra.check()]
    shown += [part for _, part in infra.services.parts()]
    shown += await infra.report_services()
    try:
        async with infra:
            shown.append(await infra.health.run())
    except UndercroftError as exc:
        error: BaseException | None = exc
        while error is not None:
            shown.append(error)
            error = error.__cause__ or error.__context__
    assert SECRET not in " ".join(f"{each!s} {each!r}" for each in shown)
    assert SECRET not in f"{caplog.text} {[vars(record) for record in caplog.records]}"


@pytest.mark.parametrize(
    "environ",
    [
        {"DATABASE_URL": f"oracle://shop:{SECRET}@db/shop"},
        {"DATABASE_URL": f"mysql://shop:{SECRET}@db/shop?nonsense=1"},
        {"REDIS_URL": f"redis://shop:{SECRET}@cache?nonsense=1"},
        {"MONGODB_URI": f"mongodb://shop:{SECRET}@/shop"},
        {"PUBSUB_PROJECT_ID_FILE": f"/{SECRET}"},
    ],
)
def test_no_configuration_error_shows_a_secret(environ: dict[str, str]) -> None:
    with pytest.raises(UndercroftError) as caught:
        make(environ)
    assert SECRET not in f"{caught.value!s} {caught.value!r}"
