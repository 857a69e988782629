"""Each statement is a span below what is going on, and is counted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from tests._spans import TakenSpans, taken_spans
from undercroft.connections.sql import Database, DatabaseError
from undercroft.connections.sql._statements import operation_of
from undercroft.monitoring import get_histogram, start_span

pytestmark = pytest.mark.anyio


@pytest.fixture
def taken() -> Iterator[TakenSpans]:
    with taken_spans() as spans:
        yield spans


async def test_a_statement_is_a_span_with_its_text_and_not_its_values(db: Database, taken: TakenSpans) -> None:
    async with db.session() as session:
        with start_span("checkout") as checkout:
            found = await session.execute(text("SELECT :word AS word"), {"word": "hunter2"})
            assert found.scalar_one() == "hunter2"
    span = next(span for span in taken if "word" in str(span.attributes.get("db.query.text")))
    assert (span.name, span.kind, span.parent_span_id) == ("SELECT", "client", checkout.span_id)
    assert span.attributes["db.system.name"] == db.dialect
    assert span.attributes["db.operation.name"] == "SELECT"
    assert "hunter2" not in str(taken)


async def test_a_statement_that_fails_is_an_error(db: Database, taken: TakenSpans) -> None:
    with pytest.raises(DatabaseError):
        async with db.session() as session:
            await session.execute(text("SELECT * FROM nowhere_at_all"))
    span = next(span for span in taken if span.name == "SELECT nowhere_at_all")
    assert span.status == "error"
    assert span.attributes["error.type"]
    assert span.attributes["db.collection.name"] == "nowhere_at_all"


async def test_statements_are_counted_also_without_spans(db: Database) -> None:
    async with db.session() as session:
        await session.execute(text("SELECT 1"))
        labels = {"db_system_name": db.dialect, "db_operation_name": "SELECT"}
        before = get_histogram("db_client_operation_duration_seconds", labels).count
        await session.execute(text("SELECT 1"))
        assert get_histogram("db_client_operation_duration_seconds", labels).count == before + 1


@pytest.mark.parametrize(
    ("statement", "operation", "target"),
    [
        ("SELECT a FROM orders WHERE b", "SELECT", "orders"),
        ("  select 1", "SELECT", None),
        ('INSERT INTO "shop_orders" (a) VALUES (?)', "INSERT", "shop_orders"),
        ("UPDATE `orders` SET a = 1", "UPDATE", "orders"),
        ("DELETE FROM shop.orders", "DELETE", "shop.orders"),
        ("CREATE TABLE IF NOT EXISTS orders (a)", "CREATE", "orders"),
        ("WITH x AS (SELECT 1 FROM y) SELECT", "WITH", "y"),
        ("PRAGMA foreign_keys", "_OTHER", None),
        ("/* hint */ SELECT 1", "_OTHER", None),
        ("", "_OTHER", None),
    ],
)
def test_operation_and_table_are_read_off_the_text(statement: str, operation: str, target: str | None) -> None:
    assert operation_of(statement) == (operation, target)
