from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from undercroft._core.clock import VirtualClock
from undercroft._core.errors import UndercroftError
from undercroft.health import HealthChecks, HealthDialectError, HealthReport, HealthResult, HealthStatus

pytestmark = pytest.mark.anyio
HEALTHY, DEGRADED, UNHEALTHY = HealthStatus


@pytest.mark.parametrize("word", ["healthy", "ok", "OK", " up ", "pass", True, "true"])
def test_a_word_for_healthy_is_healthy(word: Any) -> None:
    assert HealthStatus(word) is HEALTHY


@pytest.mark.parametrize("word", ["degraded", "warn", "WARNING"])
def test_a_word_for_degraded_is_degraded(word: Any) -> None:
    assert HealthStatus(word) is DEGRADED


@pytest.mark.parametrize("word", ["unhealthy", "error", "fail", "down", False, "False"])
def test_a_word_for_unhealthy_is_unhealthy(word: Any) -> None:
    assert HealthStatus(word) is UNHEALTHY


@pytest.mark.parametrize("word", ["banana", "", 1, None])
def test_an_unknown_word_is_no_status(word: Any) -> None:
    with pytest.raises(ValueError, match="HealthStatus"):
        HealthStatus(word)


class Factory:
    def memory_health_check(self) -> Any:
        return lambda: True


async def found(outcome: Any) -> HealthResult:
    """Return what is made of a checker's outcome; raises are outcomes too."""

    async def checker() -> Any:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    health = HealthChecks(clock=VirtualClock())
    health.register("it", checker)
    return (await health.run()).checks["it"]


@pytest.mark.parametrize(
    ("outcome", "status", "message"),
    [
        (None, HEALTHY, None),
        (True, HEALTHY, None),
        (False, UNHEALTHY, None),
        ("ok", HEALTHY, None),
        (HealthStatus.DEGRADED, DEGRADED, None),
        ({"status": "warn", "message": "slow"}, DEGRADED, "slow"),
        ({"status": True, "latency": 5}, HEALTHY, None),
        ({"status": "ok", "message": 5}, HEALTHY, "5"),
        (HealthResult(DEGRADED, "replica is behind", latency_ms=99, critical=False), DEGRADED, "replica is behind"),
        (ValueError("boom"), UNHEALTHY, "ValueError: boom"),
        (ValueError(), UNHEALTHY, "ValueError"),
        (UndercroftError("the queue is away", hint="start it"), UNHEALTHY, "the queue is away"),
        (ConnectionError("redis://u:hunter2@h refused"), UNHEALTHY, "ConnectionError: redis://***@h refused"),
    ],
)
async def test_an_outcome_is_read_as(outcome: Any, status: HealthStatus, message: str | None) -> None:
    result = await found(outcome)
    assert (result.status, result.message) == (status, message)


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("PONG", "'PONG', which is not a status"),
        ({"status": "banana", "message": "ripe"}, "'banana', which is not a status"),
        ({"ok": True}, "a mapping without 'status' (its keys: ['ok'])"),
        (1, "1, which is not a status"),
        ([], "a list, which is not a status"),
        (object(), "a object, which is not a status"),
    ],
)
async def test_an_outcome_without_a_meaning_is_unhealthy_and_named(outcome: Any, said: str) -> None:
    result = await found(outcome)
    assert result.status is UNHEALTHY
    assert said in str(result.message)


async def test_a_factory_registered_by_mistake_is_unhealthy_and_named() -> None:
    result = await found(Factory().memory_health_check())
    assert result.status is UNHEALTHY
    assert "it is a factory, so register what it returns" in str(result.message)


async def test_an_exception_that_cannot_be_shown_is_unhealthy() -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert (await found(Silent())).message == "Silent: its message cannot be shown: RuntimeError"


async def test_a_long_message_is_cut() -> None:
    assert len(str((await found(ValueError("x" * 9_000))).message)) < 600


def test_a_result_takes_the_words_of_others_and_refuses_unknown_ones() -> None:
    assert HealthResult("up").status is HEALTHY  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="banana"):
        HealthResult("banana")  # type: ignore[arg-type]


async def of(*results: tuple[Any, bool]) -> HealthReport:
    health = HealthChecks(clock=VirtualClock())
    for number, (outcome, critical) in enumerate(results):
        health.register(f"check {number}", lambda outcome=outcome: outcome, critical=critical)
    return await health.run()


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ([], HEALTHY),
        ([("ok", True), ("ok", False)], HEALTHY),
        ([("ok", True), ("warn", True)], DEGRADED),
        ([("ok", True), ("fail", False)], DEGRADED),
        ([("fail", False), ("warn", True)], DEGRADED),
        ([("warn", True), ("fail", True)], UNHEALTHY),
        ([("fail", True), ("warn", True), ("ok", True)], UNHEALTHY),
    ],
)
async def test_the_whole_is(results: list[tuple[Any, bool]], status: HealthStatus) -> None:
    report = await of(*results)
    assert report.status is status
    assert report.is_ready is (status is not UNHEALTHY)


REPORT = HealthReport(
    status=UNHEALTHY,
    checks={
        "database": HealthResult(UNHEALTHY, "no route to db.internal", latency_ms=1.5),
        "cache": HealthResult(HEALTHY, latency_ms=0.2, critical=False),
    },
    timestamp=datetime(2026, 11, 20, 12, 1, 2, 345_678, tzinfo=UTC),
    uptime_seconds=61.9,
)


def test_a_report_as_json_data() -> None:
    assert json.loads(json.dumps(REPORT.to_dict())) == {
        "status": "unhealthy",
        "checks": {
            "database": {
                "status": "unhealthy",
                "critical": True,
                "latency_ms": 1.5,
                "message": "no route to db.internal",
            },
            "cache": {"status": "healthy", "critical": False, "latency_ms": 0.2},
        },
        "timestamp": "2026-11-20T12:01:02.345Z",
        "uptime_seconds": 61,
    }


def words(data: Any) -> Iterator[str]:
    yield data["status"]
    yield from (check["status"] for check in data["checks"].values())


def test_the_other_dialect_says_ok_and_error() -> None:
    assert list(words(REPORT.to_dict(dialect="ok"))) == ["error", "error", "ok"]


def test_messages_are_hidden_from_strangers() -> None:
    assert "db.internal" not in json.dumps(REPORT.to_dict(details=False))


def test_an_unknown_dialect_is_refused() -> None:
    with pytest.raises(HealthDialectError, match=r"UC1002(.|\n)*dialects: healthy, ok"):
        REPORT.to_dict(dialect="health")
