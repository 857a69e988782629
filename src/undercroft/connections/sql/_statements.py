"""Each statement as a span, and in a histogram.

Names follow OpenTelemetry's stable conventions: https://opentelemetry.io/docs/specs/semconv/database/database-spans/
and, for `db.client.operation.duration`, https://opentelemetry.io/docs/specs/semconv/database/database-metrics/.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from undercroft.connections.sql._protocol import DialectName
from undercroft.monitoring import Histogram, Span, is_recording, library_span, semconv

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine, ExceptionContext

_OPERATION = re.compile(r"\s*([A-Za-z]+)")
_TARGET = re.compile(r'\b(?:FROM|INTO|UPDATE|TABLE(?:\s+IF\s+(?:NOT\s+)?EXISTS)?)\s+["`\[]?([\w.]+)', re.IGNORECASE)
_LOOKED_AT = 2_000
_KNOWN = frozenset(
    ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "CREATE", "ALTER", "DROP", "BEGIN", "COMMIT", "ROLLBACK", "SET")
)
_BEGAN = "_undercroft_began"


class StatementWatch:
    """Watches the statements of one engine. Lives as long as it."""

    def __init__(self, engine: Engine, system: Callable[[], DialectName]) -> None:
        self._system = system
        self._seconds = Histogram(
            "db_client_operation_duration_seconds",
            help="Seconds that statements took at the database, without the wait for a connection.",
            unit="seconds",
            labels=("db_system_name", "db_operation_name"),
        )
        event.listen(engine, "before_cursor_execute", self._before)
        event.listen(engine, "after_cursor_execute", self._after)
        event.listen(engine, "handle_error", self._failed)

    def _before(self, _: Any, __: Any, statement: str, ___: Any, context: Any, is_many: bool) -> None:
        if context is not None:
            span = self._span(statement, is_many=is_many) if is_recording() else None
            setattr(context, _BEGAN, (time.perf_counter(), operation_of(statement)[0], span))

    def _after(self, _: Any, __: Any, ___: str, ____: Any, context: Any, _____: bool) -> None:
        self._end(context, None)

    def _failed(self, context: ExceptionContext) -> None:
        self._end(context.execution_context, context.original_exception)

    def _span(self, statement: str, *, is_many: bool) -> Span | None:
        operation, target = operation_of(statement)
        attributes: dict[str, object] = {
            semconv.DB_SYSTEM_NAME: self._system(),
            semconv.DB_OPERATION_NAME: operation,
            semconv.DB_COLLECTION_NAME: target,
            # SQLAlchemy's own text has placeholders; one that the application wrote may have values in it, which are
            # redacted as everything else.
            semconv.DB_QUERY_TEXT: statement,
            "undercroft.db.is_batch": is_many or None,
        }
        made = library_span(f"{operation} {target}" if target else operation, kind="client", attributes=attributes)
        return made if isinstance(made, Span) else None

    def _end(self, context: Any, error: BaseException | None) -> None:
        began = getattr(context, _BEGAN, None)
        if began is None:
            return
        setattr(context, _BEGAN, None)
        started, operation, span = began
        self._seconds.observe(time.perf_counter() - started, db_system_name=self._system(), db_operation_name=operation)
        if span is not None:
            if error is not None:
                span.set_status("error").set_attribute(semconv.ERROR_TYPE, type(error).__qualname__)
            span.end()


@lru_cache(maxsize=512)
def operation_of(statement: str) -> tuple[str, str | None]:
    """Return the operation of a statement, `_OTHER` for an unusual one, and the first table that it names."""
    found = _OPERATION.match(statement)
    operation = found[1].upper() if found else "_OTHER"
    target = _TARGET.search(statement, 0, _LOOKED_AT)
    return (operation if operation in _KNOWN else "_OTHER"), (target[1] if target else None)
