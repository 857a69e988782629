"""What a span keeps of an exception: type, message and traceback, by the semantic conventions.

Source: https://opentelemetry.io/docs/specs/semconv/exceptions/exceptions-spans/.
"""

from __future__ import annotations

from undercroft.monitoring._tracing import _names as names
from undercroft.monitoring._tracing._protocol import AttributeValue
from undercroft.monitoring._tracing._values import clean_text


def type_name(exc: BaseException) -> str:
    """Return the class's full name; a builtin's without its module."""
    kind = type(exc)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def exception_attributes(exc: BaseException) -> dict[str, AttributeValue]:
    """Return what an `exception` event says. A long traceback is cut at its front. Never raises."""
    return {
        names.EXCEPTION_TYPE: clean_text(type_name(exc)),
        names.EXCEPTION_MESSAGE: clean_text(exc),
        names.EXCEPTION_STACKTRACE: clean_text(_stack(exc), keep_end=True),
    }


def _stack(exc: BaseException) -> str:
    import traceback  # rarely needed, and not light

    try:
        return "".join(traceback.format_exception(exc))
    except Exception as broken:  # a __str__, a __notes__ or a source file may do anything
        return f"{type_name(exc)}: its traceback cannot be made ({type_name(broken)})"
