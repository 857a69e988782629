"""Rules over metrics, evaluated again and again; whoever wants to know is told once when an alert begins and ends."""

from __future__ import annotations

import random as random_module
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from undercroft._core.clock import Clock, SystemClock, utc
from undercroft._core.durations import Duration, to_seconds
from undercroft._core.errors import near_names
from undercroft._core.ids import IdSource
from undercroft.monitoring._metrics._declared import Gauge
from undercroft.monitoring._tracking._errors import AlertRuleError, TrackingError
from undercroft.monitoring._tracking._event import AlertEvent, AlertState, AlertStatus
from undercroft.monitoring._tracking._outbox import Notify, Outbox
from undercroft.monitoring._tracking._readings import Metric, Moment, Reading, Window, read
from undercroft.monitoring._tracking._rule import AlertRule, AlertSeverity, measured


class _Watch(msgspec.Struct):
    """One rule and where it stands."""

    rule: AlertRule
    window: Window
    state: AlertState = AlertState.OK
    measure: str = ""
    value: float | None = None
    problem: str | None = None
    since: float = 0.0
    """By the monotonic clock."""
    since_time: float = 0.0
    """By the wall clock."""
    labels: dict[str, str] = {}
    absent_at: float | None = None
    """When it was last looked for in vain, before it was ever found."""


class Alerts:
    """Evaluates rules and notifies. One for a process, used from one event loop; its state ends with it.

    A rule's alert is `ok`, then `pending` while its comparison holds, then `firing` once it has held for `for_`; it is
    `ok` again when the comparison no longer holds. An event is made when it begins to fire and when it ends, never in
    between. Where nothing can be measured (no such series, no data yet), the alert stays as it is: missing data is
    neither an alert nor the end of one, and `list_alerts` says so.

    Several worker processes would each notify: run it in one of them.

    Args:
        metrics: Returns all series there are, `get_all_metrics` of a registry for one.
        notify: Who is told; each gets every event, in order, at least once. One that raises, or does not answer within
            `notify_timeout`, is asked again after 1 second, 2, 4, … up to 5 minutes, and does not hold up the others.
        interval: How often `run` evaluates.

    Raises:
        AlertRuleError: Two rules have one name.
        TrackingError: `interval` or `notify_timeout` is zero.
    """

    def __init__(
        self,
        rules: Iterable[AlertRule],
        *,
        metrics: Callable[[], Iterable[Metric]],
        notify: Sequence[Notify] = (),
        interval: Duration = "15s",
        notify_timeout: Duration = "10s",
        clock: Clock | None = None,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self._metrics = metrics
        self._clock = clock or SystemClock()
        self._new_id = IdSource(self._clock)
        self._interval_s = _positive(interval, "interval")
        timeout_s = _positive(notify_timeout, "notify_timeout")
        self._watches: dict[str, _Watch] = {}
        for rule in rules:
            if rule.name in self._watches:
                raise AlertRuleError(f"two alert rules are called {rule.name!r}", hint="give each a name of its own")
            self._watches[rule.name] = _Watch(rule, Window(rule.window_s), labels=dict(rule.labels or {}))
        self._outboxes = [Outbox(one, clock=self._clock, random=random, timeout_s=timeout_s) for one in notify]
        self._firing = Gauge("undercroft_alerts_firing", help="Alerts that are firing.", labels=("severity",))

    @property
    def undelivered_count(self) -> int:
        """Events that wait for a receiver, of all receivers together."""
        return sum(map(len, self._outboxes))

    @property
    def lost_count(self) -> int:
        """Events that a receiver never got, since 100 newer ones waited for it."""
        return sum(outbox.lost_count for outbox in self._outboxes)

    def list_alerts(self) -> list[AlertStatus]:
        """Return where each alert stands, in the order of the rules."""
        return [_status(watch) for watch in self._watches.values()]

    def evaluate(self) -> list[AlertEvent]:
        """Read the metrics once, and return what began or ended; `deliver` tells the receivers."""
        metrics: dict[str, list[Metric]] = {}
        for metric in self._metrics():
            metrics.setdefault(metric.name, []).append(metric)
        events = [event for watch in self._watches.values() if (event := self._step(watch, metrics))]
        for outbox in self._outboxes:
            for event in events:
                outbox.add(event)
        for event in events:
            self._firing.increment(1 if event.is_firing else -1, severity=event.severity.value)
        return events

    async def deliver(self) -> None:
        """Make the attempts that are due, all receivers at once. A receiver's failure is kept for later, and logged."""
        import anyio

        async with anyio.create_task_group() as group:
            for outbox in self._outboxes:
                group.start_soon(outbox.deliver)

    async def run(self) -> None:
        """Evaluate and deliver until it is cancelled; an attempt that is due comes before the next interval.

        What was not delivered by then is lost with the process. Metrics that cannot be read are logged, and read again.
        """
        while True:
            try:
                self.evaluate()
            except Exception:  # the metrics' source; the loop must survive it
                from logging import getLogger

                getLogger("undercroft.monitoring").exception("alerts were not evaluated")
            await self.deliver()
            waits = [outbox.wait_s for outbox in self._outboxes]
            await self._clock.sleep(min([self._interval_s, *(wait for wait in waits if wait is not None)]))

    def _step(self, watch: _Watch, metrics: Mapping[str, Sequence[Metric]]) -> AlertEvent | None:
        now = self._clock.monotonic()
        self._measure(watch, metrics, now)
        if watch.value is None:
            return None
        if not watch.rule.holds(watch.value):
            was, watch.state = watch.state, AlertState.OK
            return self._event(watch) if was is AlertState.FIRING else None
        if watch.state is AlertState.OK:
            watch.state, watch.since, watch.since_time = AlertState.PENDING, now, self._clock.time()
        if watch.state is AlertState.PENDING and now - watch.since >= watch.rule.for_s:
            watch.state = AlertState.FIRING
            return self._event(watch)
        return None

    def _measure(self, watch: _Watch, metrics: Mapping[str, Sequence[Metric]], now: float) -> None:
        rule, watch.value, watch.problem = watch.rule, None, None
        reading = read(metrics.get(rule.metric, ()), watch.labels)
        if reading is None:
            watch.absent_at = now if not watch.window.moments else None
            watch.problem = _no_series(rule, metrics)
            return
        try:
            watch.measure = rule.measure_for(reading.type)
        except AlertRuleError as exc:
            watch.problem = f"{exc.message}; {exc.hint}"
            return
        if watch.absent_at is not None and reading.type != "gauge":
            # A total begins with its first increment: what came since it was looked for in vain is an increase too.
            watch.window.add(Moment(watch.absent_at, Reading(reading.type)))
        watch.absent_at = None
        watch.window.add(Moment(now, reading))
        watch.value = measured(watch.measure, watch.window)
        if watch.value is None:
            watch.problem = "there is not enough data yet"

    def _event(self, watch: _Watch) -> AlertEvent:
        rule = watch.rule
        assert watch.value is not None, "an alert changes by a value"
        return AlertEvent(
            id=self._new_id(),
            alert=rule.name,
            state=watch.state,
            severity=AlertSeverity(rule.severity),
            metric=rule.metric,
            measure=watch.measure,
            op=rule.op,
            threshold=rule.threshold,
            window_s=rule.window_s,
            value=watch.value,
            labels=watch.labels,
            at=utc(self._clock.time()),
            since=utc(watch.since_time),
        )


def _status(watch: _Watch) -> AlertStatus:
    return AlertStatus(
        alert=watch.rule.name,
        severity=AlertSeverity(watch.rule.severity),
        state=watch.state,
        value=watch.value,
        since=None if watch.state is AlertState.OK else utc(watch.since_time),
        problem=watch.problem,
    )


def _no_series(rule: AlertRule, names: Iterable[str]) -> str:
    if rule.metric in names:
        return f"no series of {rule.metric} has the rule's labels"
    near = near_names(rule.metric, names)
    return f"there is no metric {rule.metric!r} (yet)" + (f"; near: {', '.join(near)}" if near else "")


def _positive(duration: Duration, name: str) -> float:
    seconds = to_seconds(duration, name=name)
    if not seconds:
        raise TrackingError(f"{name} {duration!r} must be more than zero")
    return seconds
