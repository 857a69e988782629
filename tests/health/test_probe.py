"""What the probes are answered, and in which format."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft._core.clock import VirtualClock
from undercroft.health import (
    HealthChecks,
    HealthReport,
    HealthResult,
    HealthStatus,
    Measurement,
    ProbeAnswer,
    ServiceInfo,
    answer_probe,
)
from undercroft.health._probe import wants_health_json

pytestmark = pytest.mark.anyio
HEALTH_JSON = "application/health+json"
HEALTHY, DEGRADED, UNHEALTHY = HealthStatus


async def ask(path: str, health: HealthChecks, **more: Any) -> ProbeAnswer:
    return await answer_probe(path, health, **{"is_open": True, "details": True, **more})


@pytest.fixture
def refused(health: HealthChecks) -> HealthChecks:
    health.register("database", lambda: {"status": "fail", "message": "db.internal refused"})
    return health


async def test_liveness_asks_no_dependency_open_or_not(refused: HealthChecks) -> None:
    for is_open in (True, False):
        answer = await ask("/livez", refused, is_open=is_open)
        assert (answer.status, answer.document) == (200, {"status": "healthy"})


async def test_liveness_is_503_when_a_local_check_says_so(health: HealthChecks) -> None:
    health.register("loop", lambda: False, groups="liveness", local=True)
    assert (await ask("/livez", health)).status == 503
    assert (await ask("/readyz", health)).status == 200


async def test_readiness_says_one_word_unless_it_is_asked_for_more(refused: HealthChecks) -> None:
    assert (await ask("/readyz", refused)).document == {"status": "unhealthy"}
    document = (await ask("/readyz", refused, query="a=1&verbose")).document
    assert "db.internal refused" in json.dumps(document)


@pytest.mark.parametrize(
    ("query", "is_verbose"),
    [
        ("verbose", True),
        ("verbose=1", True),
        ("verbose=true", True),
        ("verbose=0", False),
        ("verbose=False", False),
        ("", False),
        ("verbosely", False),
        ("x=verbose", False),
    ],
)
async def test_verbose_is_a_word_of_the_query(refused: HealthChecks, query: str, is_verbose: bool) -> None:
    assert ("checks" in (await ask("/readyz", refused, query=query)).document) is is_verbose


async def test_startup_is_503_until_it_is_open_and_every_check_has_passed(health: HealthChecks) -> None:
    words = [False, True]
    health.register("tables", lambda: words.pop(0), groups="startup")
    assert (await ask("/startupz", health, is_open=False)).status == 503
    assert len(words) == 2
    assert (await ask("/startupz", health)).status == 503
    await health.run("startup")
    for _ in range(2):
        answer = await ask("/startupz", health)
        assert (answer.status, answer.document) == (200, {"status": "healthy"})


async def test_a_start_that_was_degraded_is_a_start(clock: VirtualClock) -> None:
    health = HealthChecks(clock=clock, degraded_status=503)
    health.register("warm", lambda: "warn", groups="startup")
    assert (await ask("/startupz", health)).status == 200


@pytest.mark.parametrize(("degraded_status", "word"), [(200, "warn"), (503, "fail")])
async def test_degraded_is_answered_as_configured(clock: VirtualClock, degraded_status: int, word: str) -> None:
    health = HealthChecks(clock=clock, degraded_status=degraded_status)
    health.register("search", lambda: False, critical=False)
    assert (await ask("/readyz", health)).status == degraded_status
    answer = await ask("/health", health, accept=HEALTH_JSON)
    assert (answer.status, answer.document["status"]) == (degraded_status, word)


@pytest.mark.parametrize("path", ["/readyz", "/startupz", "/health"])
async def test_closed_is_503_and_runs_no_check(refused: HealthChecks, path: str) -> None:
    answer = await ask(path, refused, is_open=False, accept=HEALTH_JSON)
    assert answer.status == 503
    assert answer.document["status"] == ("fail" if path == "/health" else "unhealthy")
    assert refused.changes() == ()


@pytest.mark.parametrize("accept", ["", HEALTH_JSON])
async def test_strangers_see_no_messages(refused: HealthChecks, accept: str) -> None:
    shown = await ask("/health", refused, details=True, accept=accept)
    hidden = await ask("/health", refused, details=False, accept=accept)
    assert "db.internal" in json.dumps(shown.document)
    assert "db.internal" not in json.dumps(hidden.document)


@pytest.mark.parametrize(
    ("accept", "is_wanted"),
    [
        (HEALTH_JSON, True),
        ("Application/Health+JSON", True),
        (f"{HEALTH_JSON}, application/json;q=0.9", True),
        (f"application/json, {HEALTH_JSON}", True),
        (f"application/json;q=0.9, {HEALTH_JSON};q=0.8", False),
        (f"{HEALTH_JSON};q=0", False),
        (f"{HEALTH_JSON};q=nonsense", False),
        (f"{HEALTH_JSON} ; version=1 ; q=0.5", True),
        ("application/json", False),
        ("*/*", False),
        ("application/*", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        ("", False),
    ],
)
def test_the_format_is_given_to_those_who_name_it(accept: str, is_wanted: bool) -> None:
    assert wants_health_json(accept) is is_wanted


@given(st.text(alphabet="aphlict/+jsonq=;, .0159*", max_size=80))
def test_any_accept_header_is_understood_somehow(accept: str) -> None:
    assert wants_health_json(accept) in (True, False)


REPORT = HealthReport(
    status=UNHEALTHY,
    checks={
        "database": HealthResult(
            UNHEALTHY,
            "no route",
            latency_ms=1.5,
            component_type="datastore",
            checked_at=datetime(2026, 11, 20, 12, 1, 2, tzinfo=UTC),
        ),
        "memory": HealthResult(
            HEALTHY, "Memory: 83% used", measured=Measurement("utilization", 83.0, "percent"), component_type="system"
        ),
        "a:b": HealthResult(HEALTHY, latency_ms=0.5),
    },
    timestamp=datetime(2026, 11, 20, 12, 1, 2, 345_678, tzinfo=UTC),
    uptime_seconds=61.9,
    service=ServiceInfo(service_id="shop", version="1", release_id="1.4.2"),
)


def test_a_report_in_the_drafts_format() -> None:
    assert json.loads(json.dumps(REPORT.to_health_json())) == {
        "status": "fail",
        "serviceId": "shop",
        "version": "1",
        "releaseId": "1.4.2",
        "checks": {
            "database:responseTime": [
                {
                    "status": "fail",
                    "componentId": "database",
                    "componentType": "datastore",
                    "observedValue": 1.5,
                    "observedUnit": "ms",
                    "time": "2026-11-20T12:01:02.000Z",
                    "output": "no route",
                }
            ],
            "memory:utilization": [
                {
                    "status": "pass",
                    "componentId": "memory",
                    "componentType": "system",
                    "observedValue": 83.0,
                    "observedUnit": "percent",
                }
            ],
            "a.b:responseTime": [{"status": "pass", "componentId": "a:b", "observedValue": 0.5, "observedUnit": "ms"}],
            "uptime": [
                {
                    "status": "pass",
                    "componentType": "system",
                    "observedValue": 61.9,
                    "observedUnit": "s",
                    "time": "2026-11-20T12:01:02.345Z",
                }
            ],
        },
    }


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.sampled_from(list(HealthStatus)), max_size=6))
def test_every_check_has_a_place_in_the_drafts_format(statuses: dict[str, HealthStatus]) -> None:
    report = HealthReport(
        status=HEALTHY,
        checks={name: HealthResult(status) for name, status in statuses.items()},
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        uptime_seconds=0,
    )
    checks: Any = report.to_health_json()["checks"]
    entries = [entry for key, entries in checks.items() for entry in entries if key != "uptime"]
    assert sorted(entry["componentId"] for entry in entries) == sorted(statuses)
    assert all(key.count(":") == 1 for key in checks if key != "uptime")
