"""What each database says, as our errors: raised by the statement itself, with the driver's exception as the cause."""

from __future__ import annotations

import re
import secrets
import traceback
from collections.abc import Iterator

import anyio
import asyncmy.errors
import asyncpg
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import NoResultFound
from sqlalchemy.ext.asyncio import AsyncSession

from tests.connections.sql._databases import Base, Order, Target, User, run
from undercroft._core.errors import Kind
from undercroft.connections.sql import (
    ConnectionLostError,
    Database,
    DatabaseAuthError,
    DatabaseError,
    DatabaseLockedError,
    DatabaseNotWritableError,
    DatabaseRefusedError,
    DatabaseUnavailableError,
    DatabaseValueError,
    IntegrityError,
    StatementError,
    StatementTimeoutError,
    TooManyConnectionsError,
    TransactionConflictError,
    UnknownDatabaseError,
)
from undercroft.connections.sql._mysql_errors import translate_mysql
from undercroft.connections.sql._postgres_errors import translate_postgres
from undercroft.connections.sql._sqlite_errors import translate_sqlite
from undercroft.testing.fault_proxy import FaultProxy

pytestmark = pytest.mark.anyio


async def test_duplicate_says_which_rule_and_quotes_no_value(db: Database) -> None:
    async with db.transaction() as session:
        session.add(User(email="secret@example.com"))

    async with db.session() as session:
        session.add(User(email="secret@example.com"))
        with pytest.raises(IntegrityError) as caught:
            await session.flush()

    error = caught.value
    assert (error.code, error.kind, error.http_status) == ("UC4223", Kind.REFUSED, 409)
    assert error.rule == "unique"
    assert error.columns == ("email",) if db.dialect == "sqlite" else error.constraint
    assert error.vendor_code in ("23505", "1062", "SQLITE_CONSTRAINT_UNIQUE")
    assert "secret" not in str(error)
    assert type(error.__cause__).__module__.partition(".")[0] in ("sqlite3", "asyncmy", "sqlalchemy")


async def test_missing_parent_is_a_foreign_key(db: Database) -> None:
    with pytest.raises(IntegrityError) as caught:
        async with db.transaction() as session:
            session.add(Order(user_id=404))

    assert caught.value.rule == "foreign key"


async def test_missing_value_names_its_column(db: Database) -> None:
    with pytest.raises(IntegrityError) as caught:
        async with db.transaction() as session:
            await session.execute(text("INSERT INTO users (email) VALUES (NULL)"))

    assert (caught.value.rule, caught.value.columns) == ("not null", ("email",))


async def test_broken_check_is_named(db: Database) -> None:
    async with db.connection() as connection:
        await connection.execute(text("CREATE TABLE ages (age INTEGER, CONSTRAINT is_adult CHECK (age >= 18))"))
        with pytest.raises(IntegrityError) as caught:
            await connection.execute(text("INSERT INTO ages VALUES (7)"))

    assert (caught.value.rule, caught.value.constraint) == ("check", "is_adult")


async def test_too_long_a_value_is_refused_without_quoting_it(server_target: Target) -> None:
    async with Database(server_target.url) as db:
        await db.create_all(Base.metadata)
        with pytest.raises(DatabaseValueError, match="UC4224") as caught:
            async with db.transaction() as session:
                session.add(User(email="a", name="secret" * 10))

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("statement", ["SELEC 1", "SELECT * FROM nowhere", "SELECT nothing FROM users"])
async def test_wrong_statement_is_misuse(db: Database, statement: str) -> None:
    with pytest.raises(StatementError, match="UC4230") as caught:
        async with db.session() as session:
            await session.execute(text(statement))

    assert caught.value.kind is Kind.MISUSE


async def test_values_in_a_broken_statement_are_not_quoted(db: Database) -> None:
    with pytest.raises(DatabaseError) as caught:
        async with db.session() as session:
            await session.execute(text("SELECT * FORM users WHERE email = :email"), {"email": "secret@example.com"})

    assert "secret" not in str(caught.value)


async def test_sqlalchemys_own_errors_stay_as_they_are(db: Database) -> None:
    with pytest.raises(NoResultFound):
        async with db.read_session() as session:
            (await session.scalars(select(User))).one()


async def test_errors_of_the_block_are_not_taken_for_the_databases(db: Database) -> None:
    async def fail(error: Exception) -> None:
        async with db.transaction() as session:
            session.add(User(email="ann@example.com"))
            raise error

    for error in (TimeoutError("mine"), ConnectionRefusedError("mine")):
        with pytest.raises(type(error)) as caught:
            await fail(error)
        assert caught.value is error


async def test_transaction_goes_on_after_an_error_in_a_savepoint(db: Database) -> None:
    async def add_ann(session: AsyncSession) -> None:
        async with db.transaction(within=session):
            session.add(User(email="ann@example.com"))

    async with db.transaction() as session:
        await add_ann(session)
        with pytest.raises(IntegrityError):
            await add_ann(session)
        session.add(User(email="bob@example.com"))

    async with db.read_session() as session:
        assert len((await session.scalars(select(User))).all()) == 2


async def test_lock_that_is_not_released_ends_in_an_error(target: Target) -> None:
    url = target.with_options(busy_timeout_s=0.2) if target.kind == "sqlite" else target.url
    patience = {"mariadb": "SET innodb_lock_wait_timeout = 1", "postgres": "SET LOCAL lock_timeout = '200ms'"}
    async with Database(url) as db:
        await db.create_all(Base.metadata)
        async with db.transaction() as session:
            session.add(User(email="ann@example.com"))
        async with db.transaction() as first, db.session() as second:
            await first.execute(text("UPDATE users SET name = 'first'"))
            if target.kind in patience:
                await second.execute(text(patience[target.kind]))
            with pytest.raises(DatabaseLockedError, match="UC4214"):
                await second.execute(text("UPDATE users SET name = 'second'"))

        async with db.read_session() as session:
            assert await session.scalar(select(User.name)) == "first"


async def test_deadlock_is_a_conflict_for_exactly_one(server_target: Target) -> None:
    outcomes: list[str] = []
    async with Database(server_target.url) as db:
        await db.create_all(Base.metadata)
        async with db.transaction() as session:
            session.add_all([User(id=1, email="a"), User(id=2, email="b")])
        has_first = {1: anyio.Event(), 2: anyio.Event()}

        async def swap(mine: int, other: int) -> None:
            update = text("UPDATE users SET name = 'x' WHERE id = :id")
            try:
                async with db.transaction() as session:
                    await session.execute(update, {"id": mine})
                    has_first[mine].set()
                    await has_first[other].wait()
                    await session.execute(update, {"id": other})
            except TransactionConflictError as exc:
                outcomes.append(f"conflict: {exc.hint}")
            else:
                outcomes.append("done")

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(swap, 1, 2)
                tasks.start_soon(swap, 2, 1)

    assert sorted(outcomes) == ["conflict: run the whole transaction again", "done"]


async def test_slow_statement_is_ended_by_the_server(server_target: Target) -> None:
    slow = "SELECT pg_sleep(10)" if server_target.kind == "postgres" else "SELECT SLEEP(10) FROM users"
    async with Database(server_target.with_options(statement_timeout_s=0.3)) as db:
        await db.create_all(Base.metadata)
        async with db.transaction() as session:
            session.add(User(email="ann@example.com"))
        with anyio.fail_after(2), pytest.raises(StatementTimeoutError, match="statement_timeout_s"):
            async with db.read_session() as session:
                await session.execute(text(slow))
        await db.ping()


async def test_unknown_database_is_refused(server_target: Target) -> None:
    db = Database(server_target.url + "_not", what="DATABASE_URL")
    with pytest.raises(UnknownDatabaseError, match="DATABASE_URL") as caught:
        await db.__aenter__()

    assert caught.value.kind is Kind.REFUSED


async def test_server_that_is_down_is_unavailable_and_can_be_entered_later(server_target: Target) -> None:
    async with FaultProxy(server_target.host, server_target.port) as proxy:
        await proxy.refuse()
        db = Database(server_target.url.replace(str(server_target.port), str(proxy.port)))
        with pytest.raises(DatabaseUnavailableError, match="refused the connection") as caught:
            await db.__aenter__()
        assert isinstance(caught.value.__cause__, OSError) or caught.value.__cause__ is not None

        proxy.heal()
        async with db:
            await db.ping()


async def test_wrong_password_is_refused_and_written_nowhere(mariadb_user: tuple[Target, str]) -> None:
    target, user = mariadb_user
    url = target.url.replace("root@", f"{user}:n0t-the-passw0rd@")
    with pytest.raises(DatabaseAuthError, match="UC4221") as caught:
        async with Database(url):
            pass

    told = "".join(traceback.format_exception(caught.value)) + repr(Database(url))
    assert "n0t-the-passw0rd" not in told


async def test_full_server_is_unavailable(mariadb_user: tuple[Target, str]) -> None:
    target, user = mariadb_user
    async with Database(target.url.replace("root@", f"{user}:right@")) as db:
        async with db.connection(), db.connection():
            with pytest.raises(TooManyConnectionsError, match="pool_size"):
                async with db.connection():
                    pass
        async with db.connection():
            await db.ping()


@pytest.fixture
def mariadb_user(mariadb_database: Target) -> Iterator[tuple[Target, str]]:
    """A user of MariaDB with a password, who may have two connections."""
    target, user = mariadb_database, f"undercroft_{secrets.token_hex(4)}"
    server = (target.kind, target.host, target.port)
    run(
        *server,
        f"CREATE USER '{user}'@'%' IDENTIFIED BY 'right' WITH MAX_USER_CONNECTIONS 2",
        f"GRANT ALL ON `{target.name}`.* TO '{user}'@'%'",
    )
    yield target, user
    run(*server, f"DROP USER '{user}'@'%'")


@pytest.mark.parametrize(
    ("number", "text_", "told"),
    [
        (1062, "Duplicate entry 'a@b.c' for key 'users.email'", ("unique", "email", None)),
        (1062, "Duplicate entry 'x' for key 'y' for key 'PRIMARY'", ("unique", "PRIMARY", None)),
        (3819, "Check constraint 'is_adult' is violated.", ("check", "is_adult", None)),
        (
            1452,
            "Cannot add or update a child row: a foreign key constraint fails (`shop`.`orders`, CONSTRAINT `o_user` F…",
            ("foreign key", "o_user", "orders"),
        ),
    ],
)
def test_constraints_are_read_from_what_mysql_says(
    number: int, text_: str, told: tuple[str, str | None, str | None]
) -> None:
    error = translate_mysql(asyncmy.errors.IntegrityError(number, text_), "db")
    assert isinstance(error, IntegrityError)
    assert (error.rule, error.constraint, error.table) == told


@pytest.mark.parametrize(
    ("number", "text_", "kind"),
    [
        (1040, "Too many connections", TooManyConnectionsError),
        (1205, "Lock wait timeout exceeded", DatabaseLockedError),
        (1213, "Deadlock found", TransactionConflictError),
        (1020, "Record has changed since last read", TransactionConflictError),
        (1290, "The server is running with the --read-only option", DatabaseNotWritableError),
        (1030, 'Got error 28 "No space left on device" from storage engine InnoDB', DatabaseNotWritableError),
        (1927, "Connection was killed", ConnectionLostError),
        (3024, "Query execution was interrupted, maximum statement execution time exceeded", StatementTimeoutError),
        (1045, "Access denied for user 'me'@'host' (using password: YES)", DatabaseAuthError),
        (1146, "Table 'shop.nowhere' doesn't exist", StatementError),
        (99999, "Something new", StatementError),
    ],
)
def test_what_mysql_says(number: int, text_: str, kind: type[DatabaseError]) -> None:
    error = translate_mysql(asyncmy.errors.OperationalError(number, text_), "db")
    assert type(error) is kind
    assert error.vendor_code == str(number) or number == 1030


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("08006", ConnectionLostError),
        ("22003", DatabaseValueError),
        ("23000", IntegrityError),
        ("25006", DatabaseNotWritableError),
        ("28P01", DatabaseAuthError),
        ("3D000", UnknownDatabaseError),
        ("40001", TransactionConflictError),
        ("42501", DatabaseAuthError),
        ("42P01", StatementError),
        ("53100", DatabaseNotWritableError),
        ("53300", TooManyConnectionsError),
        ("55P03", DatabaseLockedError),
        ("57014", StatementTimeoutError),
        ("57P01", ConnectionLostError),
        ("57P03", DatabaseUnavailableError),
        ("XX000", DatabaseUnavailableError),
        ("P0001", DatabaseRefusedError),
    ],
)
def test_what_postgresql_says(state: str, kind: type[DatabaseError]) -> None:
    origin = asyncpg.exceptions.PostgresError.new({"C": state, "M": "it says"})
    error = translate_postgres(origin, "db")
    assert type(error) is kind
    assert error.vendor_code == state


def test_errors_of_others_are_left_alone() -> None:
    for exc in (ValueError("x"), KeyError("x"), OSError("x")):
        assert translate_mysql(exc, "db") is None
        assert translate_postgres(exc, "db") is None
        assert translate_sqlite(exc, "db") is None


def test_no_two_errors_share_a_code() -> None:
    from undercroft.connections import sql

    errors = [value for value in vars(sql).values() if isinstance(value, type) and issubclass(value, DatabaseError)]
    codes = [error.code for error in errors]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"UC42\d\d", code) for code in codes)
