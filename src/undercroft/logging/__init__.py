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
    LogFileError,
    LogFormatError,
    LogLevelError,
    LogSamplingError,
)
from undercroft.logging._file import LogFile
from undercroft.logging._levels import level_number
from undercroft.logging._logger import Logger, create_logger
from undercroft.logging._plain import NO_REDACTION
from undercroft.logging._redact import (
    Redaction,
    RedactionError,
    SecretError,
    is_secret,
    redact,
    redact_pii,
    redact_text,
)
from undercroft.logging._sampling import Sampling
from undercroft.logging._secret import Secret, decode_secret
from undercroft.logging._service import LoggerService, set_level
from undercroft.logging._setup import LoggingSetup, setup_logging

__all__ = [
    "LogBufferError",
    "LogContextError",
    "LogFile",
    "LogFileError",
    "LogFormatError",
    "LogLevelError",
    "LogSamplingError",
    "Logger",
    "LoggerService",
    "LoggingSetup",
    "NO_REDACTION",
    "Redaction",
    "RedactionError",
    "Sampling",
    "Secret",
    "SecretError",
    "create_logger",
    "decode_secret",
    "is_secret",
    "level_number",
    "log_context",
    "logger",
    "redact",
    "redact_pii",
    "redact_text",
    "set_level",
    "setup_logging",
]

logger = Logger()
"""The default logger: no context, no module."""
