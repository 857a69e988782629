from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import assert_type

from undercroft.logging import redact_pii
from undercroft.monitoring import (
    AlertEvent,
    AlertRule,
    Alerts,
    AlertSeverity,
    AlertStatus,
    AuditEntry,
    AuditLog,
    AuditMark,
    AuditOutcome,
    AuditVerdict,
    ErrorCategory,
    ErrorGroup,
    ErrorSnapshot,
    ErrorTracker,
    Hotspot,
    Incident,
    Incidents,
    IncidentStatus,
    OperationReport,
    PerformanceReport,
    PerformanceTracker,
    SpanProcessor,
    categorize_error,
    create_audit_log,
    fingerprint_of,
    get_all_metrics,
    percentiles,
    similarity,
)

# errors
tracker = ErrorTracker(redact=redact_pii, in_app=["shop"], max_groups=100)
assert_type(tracker.capture_exception(KeyError(), context={"order_id": 7}, user="42"), str)
assert_type(tracker.list_groups(limit=5), list[ErrorGroup])
assert_type(tracker.get_group("0"), ErrorGroup | None)
assert_type(tracker.hotspots(), list[Hotspot])
assert_type(tracker.snapshot(), ErrorSnapshot)
assert_type(fingerprint_of(KeyError(), in_app="shop"), str)
assert_type(categorize_error(KeyError()), ErrorCategory)
assert_type(similarity(KeyError(), tracker.list_groups()[0]), float)
ErrorTracker()  # E: call-arg
ErrorTracker(redact=len)  # E: arg-type
tracker.capture_exception("no exception")  # E: arg-type
tracker.capture_exception(KeyError(), {"order_id": 7})  # E: call-arg
tracker.capture_exception(KeyError(), user=42)  # E: arg-type
tracker.list_groups()[0].count = 5  # E: misc


# alerts
async def page(event: AlertEvent) -> None: ...


def log_it(event: AlertEvent) -> None: ...


async def wrong(event: str) -> None: ...


rule = AlertRule("slow", "seconds", "gt", 1.5, window="5m", for_=60, severity="critical", labels={"route": "/"})
AlertRule("slow", "seconds", "gt", 1, severity=AlertSeverity.INFO, measure="p99")
AlertRule("slow", "seconds", "above", 1)  # E: arg-type
AlertRule("slow", "seconds", "gt", 1, "5m")  # E: call-arg
AlertRule("slow", "seconds", "gt", 1, severity="bad")  # E: arg-type
AlertRule("slow", "seconds", "gt", 1, measure="p42")  # E: arg-type
rule.threshold = 2  # E: misc

incidents = Incidents()
alerts = Alerts([rule], metrics=get_all_metrics, notify=[page, log_it, incidents.follow], interval="15s")
assert_type(alerts.evaluate(), list[AlertEvent])
assert_type(alerts.list_alerts(), list[AlertStatus])
Alerts([rule])  # E: call-arg
Alerts([rule], metrics=get_all_metrics, notify=[wrong])  # E: list-item
Alerts([rule], metrics=lambda: ["level"])  # E: list-item


# incidents
incident = incidents.open("payments are down", by="ada", severity="critical")
assert_type(incident, Incident)
assert_type(incidents.move(incident.id, "investigating", by="ada"), Incident)
assert_type(incidents.move(incident.id, IncidentStatus.RESOLVED, by="ada", note="restarted"), Incident)
assert_type(incidents.get(incident.id), Incident | None)
assert_type(incidents.list_incidents(status="open"), list[Incident])
incidents.move(incident.id, "done", by="ada")  # E: arg-type
incidents.move(incident.id, "closed")  # E: call-arg


# numbers
assert_type(percentiles([1.0, 2.0], [0.95]), dict[float, float])
performance = PerformanceTracker(max_operations=10)
performance.record("checkout", "250ms", has_failed=True)
with performance.measure("checkout"):
    pass
assert_type(performance.report(), PerformanceReport)
assert_type(performance.slow_operations("1s", quantile=0.99), list[OperationReport])
processor: SpanProcessor = performance
percentiles(["a"])  # E: list-item
performance.record("checkout", 1, True)  # E: call-arg


# audit
audit = create_audit_log("sqlite:///var/audit.db", redact=redact_pii, key="k" * 32)
assert_type(audit, AuditLog)


def hide(shown: Mapping[str, object]) -> Mapping[str, object]:
    return shown


async def auditing() -> None:
    async with create_audit_log("memory://", redact=hide) as log:
        entry = await log.record("order.refund", "order:7", actor="ada", before={"a": 1}, after={}, outcome="denied")
        assert_type(entry, AuditEntry)
        assert_type(entry.mark, AuditMark)
        assert_type(await log.search(actor="ada", since=datetime.now(UTC), limit=5), list[AuditEntry])
        assert_type(await log.verify(mark=entry.mark), AuditVerdict)
        await log.search(outcome=AuditOutcome.DENIED)
        await log.record("order.refund", "order:7")  # E: call-arg
        await log.record("order.refund", "order:7", "ada")  # E: call-arg
        await log.record("order.refund", "order:7", actor="ada", outcome="no")  # E: arg-type
        entry.actor = "eve"  # E: misc


create_audit_log("memory://")  # E: call-arg
