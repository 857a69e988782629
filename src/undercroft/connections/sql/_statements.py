"""Each statement as a span, and in a histogram.

Names follow OpenTelemetry's stable conventions: https://opentelemetry.io/docs/specs/semconv/database/database-spans/
and, for `db.client.operation.duration`, https://opentelemetry.io/docs/specs/semconv/database/database-metrics/.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from undercroft.connections.sql._protocol import DialectName
from undercroft.monitoring import Histogram, Span, is_recording, library_span, semconv

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

_OPERATION = re.compile(r"\s*([A-Za-z]+)")
_TARGET = re.compile(r'\b(?:FROM|INTO|UPDATE|TABLE(?:\s+IF\s+(?:NOT\s+)?EXISTS)?)\s+["`\[]?([\w.]+)', re.IGNORECASE)
_LOOKED_AT = 2_000
_KNOWN = frozenset(
    ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "CREATE", "ALTER", "DROP", "BEGIN", "COMMIT", "ROLLBACK", "SET")
)


class StatementWatch:
    """Watches the statements of one engine. Lives as long as it.

    Listens to the dialect's own calls of the driver, and not to events of the engine: one listener there costs each
    statement of SQLAlchemy 25 µs, whatever it does.
    """

    def __init__(self, engine: Engine, system: Callable[[], DialectName]) -> None:
        self._system = system
        self._seconds = Histogram(
            "db_client_operation_duration_seconds",
            help="Seconds that statements took at the database, without the wait for a connection.",
            unit="seconds",
            labels=("db_system_name", "db_operation_name"),
        )
        dialect = engine.dialect
        for name in ("do_execute", "do_executemany", "do_execute_no_params"):
            event.listen(engine, name, partial(self._run, getattr(dialect, name), name == "do_executemany"))

    def _run(self, execute: Callable[..., object], is_batch: bool, cursor: Any, statement: str, *rest: Any) -> bool:
        """Have the driver run a statement; `True` tells SQLAlchemy that this was done."""
        span = self._span(statement, is_batch=is_batch) if is_recording() else None
        started = time.perf_counter()
        try:
            execute(cursor, statement, *rest)
        except BaseException as exc:
            if span is not None:
                span.set_status("error").set_attribute(semconv.ERROR_TYPE, type(exc).__qualname__)
            raise
        finally:
            seconds, operation = time.perf_counter() - started, operation_of(statement)[0]
            self._seconds.observe(seconds, db_system_name=self._system(), db_operation_name=operation)
            if span is not None:
                span.end()
        return True

    def _span(self, statement: str, *, is_batch: bool) -> Span | None:
        operation, target = operation_of(statement)
        attributes: dict[str, object] = {
            semconv.DB_SYSTEM_NAME: self._system(),
            semconv.DB_OPERATION_NAME: operation,
            semconv.DB_COLLECTION_NAME: target,
            # SQLAlchemy's own text has placeholders; one that the application wrote may have values in it, which are
            # redacted as everything else.
            semconv.DB_QUERY_TEXT: statement,
            "undercroft.db.is_batch": is_batch or None,
        }
        made = library_span(f"{operation} {target}" if target else operation, kind="client", attributes=attributes)
        return made if isinstance(made, Span) else None


@lru_cache(maxsize=512)
def operation_of(statement: str) -> tuple[str, str | None]:
    """Return the operation of a statement, `_OTHER` for an unusual one, and the first table that it names."""
    found = _OPERATION.match(statement)
    operation = found[1].upper() if found else "_OTHER"
    target = _TARGET.search(statement, 0, _LOOKED_AT)
    return (operation if operation in _KNOWN else "_OTHER"), (target[1] if target else None)
