"""Log lines with fields, one line each, safe to keep: redacted, escaped, and named by the request that caused them.

    from undercroft.logging import Logger, logger, setup_logging

    setup_logging(level="info")                     # once, at the start; uvicorn's lines come in the same format

    logger.info("order paid", order_id=7)           # or logger.info("order paid", {"order_id": 7})
    log = Logger({"service": "shop"}, module="shop.http").child(user_id=42)
    try:
        pay()
    except PaymentError as exc:
        log.error("payment failed", exc, order_id=7)

`Logger` writes through the standard library's logging, so its handlers, levels and pytest's `caplog` work as they do.
"""

from __future__ import annotations

from undercroft.logging._context import log_context
from undercroft.logging._errors import (
    LogBufferError,
    LogContextError,
    LogFormatError,
    LogLevelError,
    LogSamplingError,
)
from undercroft.logging._logger import Logger, create_logger
from undercroft.logging._redact import redact_text
from undercroft.logging._sampling import Sampling
from undercroft.logging._service import LoggerService, set_level
from undercroft.logging._setup import LoggingSetup, setup_logging

__all__ = [
    "LogBufferError",
    "LogContextError",
    "LogFormatError",
    "LogLevelError",
    "LogSamplingError",
    "Logger",
    "LoggerService",
    "LoggingSetup",
    "Sampling",
    "create_logger",
    "log_context",
    "logger",
    "redact_text",
    "set_level",
    "setup_logging",
]

logger = Logger()
"""The default logger: no context, no module."""
