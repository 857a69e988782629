"""What one check said before: its last result, since when it is so, its last failure, and its changes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from undercroft._core.clock import Clock, utc
from undercroft.health._result import HealthChange, HealthFailure, HealthResult
from undercroft.health._status import HealthStatus
from undercroft.logging import Logger

CHANGES = 50
"""How many changes of one check are kept; the oldest are forgotten."""

Observe = Callable[[str, HealthResult], None]
"""Is told of every result as it is found, with the check's name; a metric's counter, for one."""

_log = Logger(module="undercroft.health")


class CheckHistory:
    """The past of one check. Lives as long as the check is registered; bounded."""

    def __init__(self, name: str, *, clock: Clock, observe: Observe | None = None) -> None:
        self._name = name
        self._clock = clock
        self._observe = observe
        self._last: HealthResult | None = None
        self._last_s = 0.0
        self._changes: deque[HealthChange] = deque(maxlen=CHANGES)

    @property
    def changes(self) -> tuple[HealthChange, ...]:
        """The changes, oldest first. The first one ever has no `previous`."""
        return tuple(self._changes)

    def last(self, *, max_age_s: float = float("inf")) -> HealthResult | None:
        """Return the last result, with its age, if there is one that is not older than `max_age_s`."""
        age_s = self._clock.monotonic() - self._last_s
        if self._last is None or age_s > max_age_s:
            return None
        return replace(self._last, age_s=round(age_s, 3))

    def add(self, result: HealthResult) -> HealthResult:
        """Keep a result; return it with the instants that only the past can tell."""
        now, last = utc(self._clock.time()), self._last
        is_change = last is None or last.status is not result.status
        failure = None if last is None else last.last_failure
        if result.status is HealthStatus.UNHEALTHY:
            failure = HealthFailure(result.message, now)
        changed_at = now if is_change or last is None else last.changed_at
        result = replace(result, checked_at=now, age_s=0.0, changed_at=changed_at, last_failure=failure)
        self._last, self._last_s = result, self._clock.monotonic()
        if is_change:
            self._note_change(result, None if last is None else last.status)
        self._tell(result)
        return result

    def _note_change(self, result: HealthResult, previous: HealthStatus | None) -> None:
        assert result.changed_at is not None
        self._changes.append(
            HealthChange(
                check=self._name,
                status=result.status,
                previous=previous,
                message=result.message,
                changed_at=result.changed_at,
            )
        )
        fields = {"check": self._name, "status": result.status.value, "found": result.message}
        if result.status is not HealthStatus.HEALTHY:
            _log.warning("health check changed", {**fields, "was": None if previous is None else previous.value})
        elif previous is not None:
            _log.info("health check is well again", {**fields, "was": previous.value})

    def _tell(self, result: HealthResult) -> None:
        if self._observe is None:
            return
        try:
            self._observe(self._name, result)
        except Exception as exc:  # whoever counts must not make the report fail
            _log.error("observer of health results raised", exc, check=self._name)
