"""An exception as data: type, message, stack, notes, and what caused it."""

from __future__ import annotations

import traceback
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from undercroft.logging._plain import Conversion, Plain

_MAX_FRAMES = 30
_MAX_MEMBERS = 10


def describe(exc: BaseException, conversion: Conversion, depth: int) -> dict[str, Plain]:
    """Return `exc` as `{type, message, stack, notes?, errors?, cause?}`.

    `stack` is the text of the innermost 30 frames, without the message; `errors` are the members of a group; `cause`
    is `__cause__`, or the exception that was being handled, in the same form.
    """
    described: dict[str, Plain] = {
        "type": conversion.text(type(exc).__qualname__),
        "message": conversion.text(message_of(exc)),
    }
    stack = "".join(traceback.format_tb(exc.__traceback__, limit=-_MAX_FRAMES))
    if stack:
        described["stack"] = conversion.text(stack, keep_end=True)
    notes = getattr(exc, "__notes__", None)
    if notes:
        described["notes"] = conversion.value(notes, depth + 1)
    if isinstance(exc, BaseExceptionGroup):
        described["errors"] = [conversion.value(member, depth + 1) for member in islice(exc.exceptions, _MAX_MEMBERS)]
    cause = _cause_of(exc)
    if cause is not None:
        described["cause"] = conversion.value(cause, depth + 1)  # which also notices a cycle of causes
    return described


def message_of(exc: BaseException) -> str:
    """Return the exception's text, or a text that says why there is none."""
    try:
        return str(exc)
    except Exception as failure:
        return f"<its message cannot be shown: {type(failure).__name__}>"


def _cause_of(exc: BaseException) -> BaseException | None:
    if exc.__cause__ is not None or exc.__suppress_context__:
        return exc.__cause__
    return exc.__context__
