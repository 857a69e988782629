"""Fields for every line that is logged inside of a block, by any logger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

from undercroft.logging._plain import Conversion, Plain

_NO_FIELDS: Mapping[str, Plain] = MappingProxyType({})
_fields: ContextVar[Mapping[str, Plain]] = ContextVar("undercroft_log_context", default=_NO_FIELDS)


@contextmanager
def log_context(fields: Mapping[str, object] | None = None, /, **more: object) -> Iterator[None]:
    """Put `fields` on every line logged in the block: by any logger, in tasks and threads started from it too.

    Values are taken as they are now, redacted. Blocks add up; the innermost wins, and a logger's own context and the
    fields of the call win over it. It stays in this process: jobs that are enqueued carry request and trace ids alone.
    """
    added = Conversion().fields({**(fields or {}), **more})
    token = _fields.set({**_fields.get(), **added})
    try:
        yield
    finally:
        _fields.reset(token)


def with_context(fields: Mapping[str, object]) -> Mapping[str, object]:
    """Return `fields` with those of the blocks around, which come first and give way."""
    around = _fields.get()
    return fields if around is _NO_FIELDS else {**around, **fields}
