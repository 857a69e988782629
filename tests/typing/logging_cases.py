from __future__ import annotations

import io
from typing import assert_type

from undercroft.logging import Logger, LoggingSetup, create_logger, logger, redact_text, setup_logging

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
log.info()  # E: call-arg
log.info(5)  # E: arg-type
log.info("user %s", 5)  # E: arg-type
log.info("user %s %s", "a", "b")  # E: call-arg,arg-type
log.verbose("x")  # E: attr-defined

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
setup_logging("info")  # E: call-arg
setup_logging(stream=io.BytesIO())  # E: arg-type
assert_type(redact_text("redis://u:p@h"), str)
