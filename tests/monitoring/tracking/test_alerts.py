"""When an alert begins and ends, over which time, and what it measures."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.monitoring.tracking._metrics import Board
from undercroft._core.clock import VirtualClock, utc
from undercroft.monitoring import (
    AlertEvent,
    AlertRule,
    AlertRuleError,
    Alerts,
    AlertSeverity,
    AlertState,
    AlertStatus,
    TrackingError,
)
from undercroft.monitoring._tracking._readings import Moment, Reading, Window

pytestmark = pytest.mark.anyio


class Case:
    """Alerts over a board, evaluated by hand."""

    def __init__(self, *rules: AlertRule) -> None:
        self.clock = VirtualClock()
        self.board = Board()
        self.alerts = Alerts(rules, metrics=self.board, clock=self.clock)

    async def step(self, duration: str = "0s") -> list[tuple[str, AlertState]]:
        """Move the clock, evaluate, and return what began or ended."""
        await self.clock.advance(duration)
        return [(event.alert, event.state) for event in self.alerts.evaluate()]

    @property
    def status(self) -> AlertStatus:
        [status] = self.alerts.list_alerts()
        return status


def full(**options: Any) -> AlertRule:
    return AlertRule("disk full", "disk_used_ratio", "gt", 0.9, **options)


BEGAN, ENDED = ("disk full", AlertState.FIRING), ("disk full", AlertState.OK)


async def test_alert_begins_and_ends_once() -> None:
    case = Case(full(measure="last"))
    happened = []
    for ratio in (0.5, 0.95, 0.96, 0.97, 0.5, 0.4):
        case.board.set("disk_used_ratio", ratio)
        happened.append(await case.step("1m"))
    assert happened == [[], [BEGAN], [], [], [ENDED], []]


async def test_alert_waits_until_it_has_held_for_long_enough() -> None:
    case = Case(full(measure="last", for_="2m"))
    case.board.set("disk_used_ratio", 0.95)
    assert await case.step() == []
    assert case.status.state is AlertState.PENDING
    assert await case.step("119s") == []
    assert await case.step("1s") == [BEGAN]


async def test_alert_that_stops_holding_meanwhile_waits_anew() -> None:
    case = Case(full(measure="last", for_="2m"))
    for ratio, expected in ((0.95, AlertState.PENDING), (0.5, AlertState.OK), (0.95, AlertState.PENDING)):
        case.board.set("disk_used_ratio", ratio)
        assert await case.step("90s") == []
        assert case.status.state is expected


async def test_pending_alert_that_ends_tells_nobody() -> None:
    case = Case(full(measure="last", for_="2m"))
    case.board.set("disk_used_ratio", 0.95)
    await case.step()
    case.board.set("disk_used_ratio", 0.5)
    assert await case.step("1m") == []


async def test_what_has_left_the_window_no_longer_counts() -> None:
    case = Case(AlertRule("errors", "errors_total", "gte", 10, window="5m", measure="increase"))
    case.board.set("errors_total", 100, "counter")
    await case.step()
    case.board.set("errors_total", 110, "counter")
    assert await case.step("1m") == [("errors", AlertState.FIRING)]
    assert await case.step("4m") == []
    assert case.status.value == 10
    assert await case.step("1m") == [("errors", AlertState.OK)]
    assert case.status.value == 0


async def test_counter_is_measured_as_a_rate_per_second() -> None:
    case = Case(AlertRule("errors", "errors_total", "gt", 0.9, window="1m"))
    case.board.set("errors_total", 0, "counter")
    assert await case.step() == []
    assert case.status.problem == "there is not enough data yet"
    case.board.set("errors_total", 30, "counter")
    assert await case.step("30s") == [("errors", AlertState.FIRING)]
    assert case.status.value == 1.0


async def test_counter_that_starts_over_has_not_shrunk() -> None:
    case = Case(AlertRule("errors", "errors_total", "gt", 100, window="5m", measure="increase"))
    for total in (1000, 1005, 3, 7):
        case.board.set("errors_total", total, "counter")
        await case.step("10s")
    assert case.status.value == 5 + 3 + 4


async def test_first_errors_ever_are_an_increase() -> None:
    case = Case(AlertRule("errors", "errors_total", "gte", 10, window="5m", measure="increase"))
    assert await case.step() == []
    case.board.set("errors_total", 10, "counter")
    assert await case.step("15s") == [("errors", AlertState.FIRING)]
    assert await case.step("6m") == [("errors", AlertState.OK)]


async def test_first_observations_ever_are_measured() -> None:
    case = Case(AlertRule("slow", "seconds", "gt", 0.5, window="1m", measure="p50"))
    await case.step()
    case.board.observe("seconds", 0.9)
    assert await case.step("15s") == [("slow", AlertState.FIRING)]


async def test_total_that_was_there_from_the_beginning_is_no_increase() -> None:
    case = Case(AlertRule("errors", "errors_total", "gte", 10, window="5m", measure="increase"))
    case.board.set("errors_total", 1000, "counter")
    assert [*await case.step(), *await case.step("15s")] == []
    assert case.status.value == 0


@pytest.mark.parametrize(("measure", "value"), [(None, 4.0), ("mean", 4.0), ("min", 1.0), ("max", 9.0), ("last", 2.0)])
async def test_gauge_is_measured_over_the_window(measure: Any, value: float) -> None:
    case = Case(AlertRule("lag", "lag_seconds", "gt", 100, window="10s", measure=measure))
    for lag in (50.0, 1.0, 9.0, 4.0, 2.0):
        case.board.set("lag_seconds", lag)
        await case.step("4s" if lag == 1.0 else "3s")  # the first is 13 seconds old in the end
    case.board.set("lag_seconds", 2.0)
    assert case.status.value == value


async def test_reading_at_the_very_beginning_of_the_window_counts() -> None:
    case = Case(AlertRule("lag", "lag_seconds", "gt", 100, window="10s", measure="max"))
    for lag in (9.0, 1.0):
        case.board.set("lag_seconds", lag)
        await case.step("10s")
    assert case.status.value == 9.0
    await case.step("1ms")
    assert case.status.value == 1.0


async def test_quantile_is_of_what_was_observed_in_the_window() -> None:
    case = Case(AlertRule("slow", "seconds", "gt", 0.5, window="1m"))
    case.board.observe("seconds", *[0.9] * 1000)
    await case.step()
    case.board.observe("seconds", *[0.05] * 100)
    assert await case.step("2m") == []
    assert case.status.value == pytest.approx(0.095)  # 95 % of the way through the first bucket
    case.board.observe("seconds", *[0.9] * 100)
    assert await case.step("1m") == [("slow", AlertState.FIRING)]


@pytest.mark.parametrize(
    ("measure", "value"), [("p50", 0.05), ("p99", 0.099), ("mean", 0.05), ("increase", 10.0), ("rate", 0.5)]
)
async def test_histogram_has_quantiles_a_mean_and_a_rate(measure: Any, value: float) -> None:
    case = Case(AlertRule("slow", "seconds", "gt", 100, window="1m", measure=measure))
    case.board.observe("seconds", 100.0)
    await case.step()
    case.board.observe("seconds", *[0.05] * 10)
    await case.step("20s")
    assert case.status.value == pytest.approx(value)


async def test_histogram_without_observations_in_the_window_says_nothing() -> None:
    case = Case(AlertRule("slow", "seconds", "gt", 0.5, window="1m"))
    case.board.observe("seconds", 0.9)
    await case.step()
    await case.step("30s")
    assert (case.status.value, case.status.problem) == (None, "there is not enough data yet")


async def test_histogram_that_starts_over_is_measured_from_there() -> None:
    case = Case(AlertRule("slow", "seconds", "gt", 0.5, window="1m", measure="p50"))
    case.board.observe("seconds", *[0.9] * 10)
    await case.step()
    case.board.series.clear()
    case.board.observe("seconds", 0.05, 0.05)
    await case.step("10s")
    assert case.status.value == pytest.approx(0.05)


async def test_series_that_have_the_labels_are_added_up() -> None:
    case = Case(AlertRule("errors", "requests", "gt", 100, measure="last", labels={"status": "500"}))
    case.board.set("requests", 1, "counter", status="500", route="/a")
    case.board.set("requests", 2, "counter", status="500", route="/b")
    case.board.set("requests", 4, "counter", status="200", route="/a")
    case.board.set("requests", 8, "counter", route="/a")
    await case.step()
    assert case.status.value == 3


@pytest.mark.parametrize(
    ("op", "values"),
    [("gt", [False, False, True]), ("gte", [False, True, True]), ("lt", [True, False, False]),
     ("lte", [True, True, False]), ("eq", [False, True, False])],
)  # fmt: skip
def test_ops_compare_as_they_say(op: Any, values: list[bool]) -> None:
    assert [AlertRule("a", "m", op, 5).holds(value) for value in (4.0, 5.0, 6.0)] == values


@pytest.mark.parametrize("op", ["gt", "gte", "lt", "lte", "eq"])
async def test_not_a_number_is_nothing_to_alert_about(op: Any) -> None:
    case = Case(AlertRule("a", "m", op, 5, measure="last"))
    case.board.set("m", math.nan)
    assert await case.step() == []


async def test_missing_data_neither_begins_nor_ends_an_alert() -> None:
    case = Case(full(measure="last"))
    assert await case.step() == []
    case.board.set("disk_used_ratio", 0.95)
    assert await case.step("1m") == [BEGAN]
    case.board.series.clear()
    assert await case.step("1h") == []
    assert (case.status.state, case.status.value) == (AlertState.FIRING, None)
    case.board.set("disk_used_ratio", 0.5)
    assert await case.step("1m") == [ENDED]


async def test_status_says_why_nothing_was_measured() -> None:
    case = Case(AlertRule("a", "disk_used", "gt", 1, labels={"host": "a"}))
    case.board.set("disk_use", 1)
    await case.step()
    assert case.status.problem == "there is no metric 'disk_used' (yet); near: disk_use"
    case.board.set("disk_used", 1, host="b")
    await case.step()
    assert case.status.problem == "no series of disk_used has the rule's labels"


async def test_measure_that_the_type_does_not_have_is_a_problem_that_names_those_it_has() -> None:
    case = Case(AlertRule("a", "disk_used", "gt", 1, measure="p95"))
    case.board.set("disk_used", 5)
    assert await case.step() == []
    assert case.status.problem == (
        "alert rule 'a': a gauge has no p95; disk_used is a gauge; measures: mean, min, max, last"
    )


async def test_event_says_what_happened() -> None:
    case = Case(full(measure="last", window="5m", for_="1m", severity="critical", labels={"host": "a"}))
    began = utc(case.clock.time())
    case.board.set("disk_used_ratio", 0.95, host="a")
    await case.step()
    await case.clock.advance("90s")
    [event] = case.alerts.evaluate()
    assert str(event) == (
        "disk full: firing (critical); disk_used_ratio{host=a} last over 5m is 0.95, alert when above 0.9"
    )
    assert (event.since, event.at) == (began, utc(case.clock.time()))
    assert (event.severity, event.value, event.is_firing) == (AlertSeverity.CRITICAL, 0.95, True)
    assert msgspec.json.decode(msgspec.json.encode(event), type=AlertEvent) == event

    case.board.set("disk_used_ratio", 0.5, host="a")
    [ended] = case.alerts.evaluate()
    assert str(ended).startswith("disk full: resolved (critical)")
    assert ended.since == began
    assert ended.id != event.id


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (lambda: AlertRule(" ", "m", "gt", 1), "needs a name"),
        (lambda: AlertRule("a", "m", "gtt", 1), "near: gt"),  # type: ignore[arg-type]
        (lambda: AlertRule("a", "m", "gt", math.inf), "threshold inf"),
        (lambda: AlertRule("a", "m", "gt", "5"), "threshold '5'"),  # type: ignore[arg-type]
        (lambda: AlertRule("a", "m", "gt", 1, severity="critcal"), "near: critical"),  # type: ignore[arg-type]
        (lambda: AlertRule("a", "m", "gt", 1, measure="p59"), "known: rate"),  # type: ignore[arg-type]
        (lambda: AlertRule("a", "m", "gt", 1, window="5 parsecs"), "window '5 parsecs'"),
        (lambda: AlertRule("a", "m", "gt", 1, window=0), "window of zero"),
        (lambda: AlertRule("a", "m", "gt", 1, for_=-1), "for_ -1"),
        (lambda: Case(full(), full()), "two alert rules are called 'disk full'"),
    ],
)
def test_rule_that_cannot_be_is_refused(rule: Any, problem: str) -> None:
    with pytest.raises(AlertRuleError) as caught:
        rule()
    assert problem in str(caught.value)


@pytest.mark.parametrize("option", ["interval", "notify_timeout"])
def test_interval_and_timeout_of_zero_are_refused(option: str) -> None:
    with pytest.raises(TrackingError, match=option):
        Alerts([], metrics=Board(), **{option: 0})  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(0, 120), st.none() | st.floats(0, 2)), max_size=40), st.integers(0, 200))
async def test_beginnings_and_ends_always_alternate(steps: list[tuple[int, float | None]], for_s: int) -> None:
    case = Case(full(measure="last", for_=for_s))
    states = []
    for seconds, ratio in steps:
        case.board.series.clear()
        if ratio is not None:
            case.board.set("disk_used_ratio", ratio)
        states += [state for _, state in await case.step(f"{seconds}s")]
    assert states == [AlertState.FIRING, AlertState.OK] * (len(states) // 2) + [AlertState.FIRING] * (len(states) % 2)


@given(st.lists(st.floats(0.001, 30), min_size=1, max_size=300))
def test_window_begins_at_the_last_moment_before_it(gaps: list[float]) -> None:
    window, at = Window(60), 0.0
    all_at = []
    for gap in gaps:
        at += gap
        all_at.append(at)
        window.add(Moment(at, Reading("gauge", at)))
    kept = [moment.at for moment in window.moments]
    assert kept[-1] == at
    assert kept == sorted(set(kept))
    older = [one for one in all_at if one <= at - 60]
    assert (kept[0] <= at - 60) is bool(older)


@pytest.mark.parametrize("gap", [0.001, 0.01, 0.061, 0.119])
def test_window_is_bounded_however_often_it_is_added_to(gap: float) -> None:
    window = Window(60)
    for number in range(round(120 / gap)):
        window.add(Moment(number * gap, Reading("counter", number)))
    assert len(window.moments) <= 1002
    assert window.moments[-1].reading.value == round(120 / gap) - 1


def test_metric_that_becomes_one_of_another_type_starts_over() -> None:
    window = Window(60)
    window.add(Moment(1, Reading("counter", 5)))
    window.add(Moment(2, Reading("gauge", 7)))
    assert [moment.reading.value for moment in window.moments] == [7]
