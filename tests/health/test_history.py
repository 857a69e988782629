"""Since when it is so, and what was before."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from undercroft._core.clock import VirtualClock, utc
from undercroft.health import HealthChecks, HealthStatus
from undercroft.health._history import CHANGES, CheckHistory
from undercroft.health._result import HealthResult

pytestmark = pytest.mark.anyio
HEALTHY, DEGRADED, UNHEALTHY = HealthStatus


class Said:
    def __init__(self) -> None:
        self.word: object = True

    async def __call__(self) -> object:
        return self.word


@pytest.fixture
def said(health: HealthChecks) -> Said:
    said = Said()
    health.register("it", said)  # type: ignore[arg-type]
    return said


async def test_a_result_tells_since_when_it_is_so(health: HealthChecks, said: Said, clock: VirtualClock) -> None:
    start = clock.time()
    await health.run()
    await clock.advance("1m")
    said.word = {"status": "fail", "message": "no route"}
    await health.run()
    await clock.advance("1m")
    result = (await health.run()).checks["it"]
    assert result.changed_at == utc(start + 60)
    assert result.checked_at == utc(start + 120)


async def test_the_last_failure_is_remembered_after_it_is_over(
    health: HealthChecks, said: Said, clock: VirtualClock
) -> None:
    start = clock.time()
    assert (await health.run()).checks["it"].last_failure is None
    said.word = {"status": "fail", "message": "no route to redis://u:hunter2@h"}
    await health.run()
    await clock.advance("1h")
    said.word = True
    result = (await health.run()).checks["it"]
    assert result.status is HEALTHY
    assert result.last_failure is not None
    assert result.last_failure.failed_at == utc(start)
    assert "no route" in str(result.last_failure.message)
    assert "hunter2" not in str(result.last_failure.message)


async def test_a_report_shows_the_past_and_hides_its_messages_from_strangers(
    health: HealthChecks, said: Said, clock: VirtualClock
) -> None:
    said.word = {"status": "fail", "message": "no route"}
    await health.run()
    await clock.advance("500ms")
    report = await health.report()
    entry = report.to_dict()["checks"]["it"]  # type: ignore[index]
    assert entry == {
        "status": "unhealthy",
        "critical": True,
        "latency_ms": 0.0,
        "checked_at": "2025-06-15T15:06:40.000Z",
        "age_ms": 500,
        "changed_at": "2025-06-15T15:06:40.000Z",
        "message": "no route",
        "last_failure": {"failed_at": "2025-06-15T15:06:40.000Z", "message": "no route"},
    }
    assert "no route" not in str(report.to_dict(details=False))


async def test_changes_are_told_in_order_with_what_was_before(
    health: HealthChecks, said: Said, clock: VirtualClock
) -> None:
    health.register("other", lambda: True)
    for word in (True, "warn", "warn", False, True):
        said.word = word
        await health.run()
        await clock.advance("1s")
    changes = health.changes("it")
    assert [(change.previous, change.status) for change in changes] == [
        (None, HEALTHY),
        (HEALTHY, DEGRADED),
        (DEGRADED, UNHEALTHY),
        (UNHEALTHY, HEALTHY),
    ]
    assert {change.check for change in health.changes()} == {"it", "other"}
    instants = [change.changed_at for change in health.changes()]
    assert instants == sorted(instants)
    assert health.changes("unknown") == ()


@given(st.lists(st.sampled_from(list(HealthStatus)), max_size=200))
async def test_the_past_is_bounded_and_says_what_was_found(statuses: list[HealthStatus]) -> None:
    history = CheckHistory("it", clock=VirtualClock())
    for status in statuses:
        history.add(HealthResult(status))
    changes = history.changes
    assert len(changes) <= CHANGES
    assert all(change.status is not change.previous for change in changes)
    assert all(later.previous is earlier.status for earlier, later in pairwise(changes))
    last = history.last()
    assert (last.status if last else None) == (statuses[-1] if statuses else None)
    assert (last is not None and last.last_failure is not None) == (UNHEALTHY in statuses)


async def test_a_change_is_logged_and_sameness_is_not(
    health: HealthChecks, said: Said, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="undercroft.health")
    for word in (True, True, False, False, True):
        said.word = word
        await health.run()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "health check changed"),
        ("INFO", "health check is well again"),
    ]
