from __future__ import annotations

from typing import assert_type

from undercroft.logging import Redaction
from undercroft.logging.sentry import SentryBridge, SentryCounts, SentryDsnError


def user() -> dict[str, object] | None:
    return {"id": "42"}


# making one
bridge = SentryBridge("https://key@host/1", environment="production", release=None, user=user, redaction=Redaction())
assert_type(bridge, SentryBridge)
assert_type(SentryBridge("https://key@host/1", traces=True, breadcrumbs=20, events="warning"), SentryBridge)
assert_type(SentryBridge.from_environ({"SENTRY_DSN": "https://key@host/1"}), SentryBridge | None)
SentryBridge()  # E: call-arg
SentryBridge("https://key@host/1", "production")  # E: call-arg
SentryBridge("https://key@host/1", redaction=str)  # E: arg-type
SentryBridge("https://key@host/1", user=user())  # E: arg-type


# using it
async def main() -> None:
    async with bridge as opened:
        assert_type(opened, SentryBridge)
    with bridge:  # E: attr-defined
        pass
    await bridge.open()
    await bridge.close()
    assert_type(bridge.counts, SentryCounts)
    assert_type(bridge.counts.skipped, int)
    assert_type(bridge.is_open, bool)
    assert_type(bridge.is_joined, bool)


assert_type(SentryDsnError("x").code, str)
