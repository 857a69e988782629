from __future__ import annotations

import io
from collections.abc import Mapping
from typing import assert_type

import structlog

from undercroft.contrib.structlog import processor, to_undercroft
from undercroft.logging import (
    NO_REDACTION,
    LogFile,
    Logger,
    LoggerService,
    LoggingSetup,
    Redaction,
    Sampling,
    create_logger,
    log_context,
    logger,
    redact_text,
    set_level,
    setup_logging,
)

# making one
assert_type(logger, Logger)
log = Logger({"service": "shop"}, module="shop.http", level="debug", sink=print)
assert_type(log, Logger)
assert_type(Logger(), Logger)
assert_type(create_logger({"service": "shop"}, level=20), Logger)
assert_type(log.child({"a": 1}, b=2), Logger)
Logger("shop.http")  # E: arg-type
Logger(service="shop")  # E: call-arg
Logger(None, "shop.http")  # E: call-arg
Logger(sink=io.StringIO())  # E: arg-type
log.child("shop.http")  # E: arg-type

# writing
lines: list[str] = []
Logger(sink=lines.append).info("x")
log.debug("x")
log.info("x", {"a": 1}, b=object())
log.warn("x", a=1)
log.warning("x", ValueError("bad"), a=1)
log.error("x", {"message": "a field of this name"}, message="this one too")
log.exception("x")
log.critical("x", BaseException())
log.trace("x", a=1)
log.fatal("x")
log.info()  # E: call-arg
log.info(5)  # E: arg-type
log.info("user %s", 5)  # E: arg-type
log.info("user %s %s", "a", "b")  # E: call-arg,arg-type
log.verbose("x")  # E: attr-defined

# around
with log.timed("import", slow="1s", rows=3) as block:
    assert_type(block.fields, dict[str, object])
log.timed("import", slow=[1])  # E: arg-type
with log_context({"tenant": "acme"}, order_id=7):
    log.info("x")
log_context("acme")  # E: arg-type

# as a service
service = LoggerService({"module": "orders"})
assert_type(service.child(a=1), LoggerService)
service.log("x", a=1)
service.verbose("x", {"a": 1})
service.log(5)  # E: arg-type

# asking
assert_type(log.is_level_enabled("info"), bool)
assert_type(log.context, dict[str, object])
assert_type(log.module, str | None)
log.module = "other"  # E: misc
log.is_level_enabled(None)  # E: arg-type

# setting up
assert_type(setup_logging(), LoggingSetup)
with setup_logging(level="info", format="json", stream=io.StringIO(), no_color=True) as setup:
    assert_type(setup, LoggingSetup)
    assert_type(setup.dropped_count, int)
    assert_type(setup.written_count, int)
    assert_type(setup.flush(timeout="1s"), bool)
    setup.set_level("debug")
set_level(setup, "debug")
set_level(log, 10)
set_level("sqlalchemy.engine", "warning")
set_level(5, "warning")  # E: arg-type


def take(line: Mapping[str, object]) -> None: ...
def count(word: str) -> None: ...
async def later(line: Mapping[str, object]) -> None: ...


setup_logging(fields={"service": "shop"}, buffer=0, sampling=Sampling(rate=0.1, per="request"), also=take, count=count)
setup_logging(file="app.log", redaction=Redaction(keys=["pesel"]), uncaught=False)
setup_logging(file=LogFile(path="app.log", max_size_bytes=10_000_000, keep=3), redaction=NO_REDACTION)
setup_logging(buffer="10k")  # E: arg-type
setup_logging(redaction=False)  # E: arg-type
setup_logging(count=take)  # E: arg-type
setup_logging(also=later)  # E: arg-type
Sampling(0.1)  # E: call-arg
Sampling(rate=0.1, per="line")  # E: arg-type
LogFile("app.log")  # E: call-arg
setup_logging("info")  # E: call-arg
setup_logging(stream=io.BytesIO())  # E: arg-type
assert_type(redact_text("redis://u:p@h"), str)

# structlog
structlog.configure(processors=[structlog.contextvars.merge_contextvars, to_undercroft])
structlog.configure(processors=[processor, structlog.processors.JSONRenderer()])
