"""Tracking over the real metrics, the real spans and the real redaction."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from tests.monitoring.tracking._raising import raised
from undercroft._core.clock import VirtualClock
from undercroft.logging import redact_pii
from undercroft.monitoring import (
    AlertRule,
    Alerts,
    ErrorTracker,
    PerformanceTracker,
    Registry,
    create_audit_log,
    setup_tracing,
    start_span,
)

pytestmark = pytest.mark.anyio

SECRETS = [
    "hunter2",
    "4111 1111 1111 1111",
    "DE89370400440532013000",
    "ada@example.com",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
]
PLANTED = {
    "password": "hunter2",
    "note": f"card {SECRETS[1]}, iban {SECRETS[2]}",
    "list": [{"mail": SECRETS[3]}, {"header": ("authorization", f"Bearer {SECRETS[4]}")}],
    "url": "redis://shop:hunter2@cache:6379/0",
}


async def test_rule_over_the_real_metrics() -> None:
    clock, registry = VirtualClock(), Registry()
    rules = [
        AlertRule("errors", "errors_total", "gte", 3, measure="increase", labels={"kind": "bank"}),
        AlertRule("slow", "checkout_seconds", "gt", 1.0, measure="p95"),
        AlertRule("full", "disk_used_ratio", "gt", 0.9),
    ]
    alerts = Alerts(rules, metrics=registry.get_all_metrics, clock=clock)
    assert alerts.evaluate() == []
    for _ in range(3):
        registry.increment("errors_total", labels={"kind": "bank"})
        registry.increment("errors_total", labels={"kind": "card"})
        registry.observe("checkout_seconds", 4.0)
    registry.gauge("disk_used_ratio", 0.95)
    await clock.advance("15s")
    assert [event.alert for event in alerts.evaluate()] == ["errors", "slow", "full"]
    assert [status.problem for status in alerts.list_alerts()] == [None, None, None]


async def test_spans_are_measured_and_those_that_fail_are_counted() -> None:
    performance = PerformanceTracker()
    async with setup_tracing(processors=[performance]):
        with start_span("checkout"):
            pass
        with pytest.raises(KeyError), start_span("checkout"):
            raise KeyError
    [row] = performance.report().operations
    assert (row.operation, row.count, row.failed_count) == ("checkout", 2, 1)


async def test_no_planted_secret_is_found_in_what_is_kept() -> None:
    tracker = ErrorTracker(redact=redact_pii, in_app=["shop"])
    for secret in SECRETS[1:]:
        tracker.capture_exception(raised(call=f"charge('about {secret}')"), context=PLANTED, user=secret)
        assert secret.encode() not in msgspec.json.encode(tracker.snapshot())
    async with create_audit_log("memory://", redact=redact_pii) as log:
        entry = await log.record(
            "a", "b", actor="c", before=PLANTED, after={"password": "other"}, reason=f"card {SECRETS[1]}"
        )
    kept = msgspec.json.encode([entry, tracker.snapshot()]).decode()
    assert [secret for secret in SECRETS if secret in kept] == []


def test_importing_loads_neither_sqlite_nor_hashing() -> None:
    code = "import sys, undercroft.monitoring; print({'sqlite3', 'hashlib', 'ssl'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout.strip() == "set()"
