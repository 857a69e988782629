"""Incidents: what is being worked on, by whom, since when, and which step may follow which.

open ──────────► investigating ──► resolved ──► closed
  └──────────────────────────────►    │
                 investigating ◄──────┘  (it came back)
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Literal

import msgspec

from undercroft._core.clock import Clock, SystemClock, utc
from undercroft._core.errors import near_names
from undercroft._core.ids import IdSource
from undercroft.monitoring._tracking._errors import IncidentNotFoundError, IncidentTransitionError, TrackingError
from undercroft.monitoring._tracking._event import AlertEvent
from undercroft.monitoring._tracking._rule import AlertSeverity


class IncidentStatus(StrEnum):
    """Where an incident stands."""

    OPEN = "open"
    INVESTIGATING = "investigating"
    RESOLVED = "resolved"
    CLOSED = "closed"


TRANSITIONS: Mapping[IncidentStatus, frozenset[IncidentStatus]] = {
    IncidentStatus.OPEN: frozenset({IncidentStatus.INVESTIGATING, IncidentStatus.RESOLVED}),
    IncidentStatus.INVESTIGATING: frozenset({IncidentStatus.RESOLVED}),
    IncidentStatus.RESOLVED: frozenset({IncidentStatus.INVESTIGATING, IncidentStatus.CLOSED}),
    IncidentStatus.CLOSED: frozenset(),
}
"""Which status may follow which. `closed` is the end: what comes back after it is another incident."""

Status = IncidentStatus | Literal["open", "investigating", "resolved", "closed"]


class IncidentStep(msgspec.Struct, frozen=True, kw_only=True):
    """An incident's arrival at a status."""

    status: IncidentStatus
    at: datetime
    by: str
    """Who did it: a person, or the alert's name."""
    note: str = ""
    event_id: str | None = None
    """The alert's event that did it."""


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One incident. A value with a JSON form: `move` returns another one, `Incidents` keeps them."""

    id: str
    title: str
    severity: AlertSeverity
    alert: str | None = None
    """The rule that opened it."""
    steps: tuple[IncidentStep, ...]
    """All of them, in order, from `open` to where it stands."""

    @property
    def status(self) -> IncidentStatus:
        """Where it stands."""
        return self.steps[-1].status

    @property
    def opened_at(self) -> datetime:
        """When it began."""
        return self.steps[0].at

    def move(self, status: Status, *, by: str, at: datetime, note: str = "", event_id: str | None = None) -> Incident:
        """Return the incident with one more step.

        Raises:
            IncidentTransitionError: It cannot go there from where it stands, or there is no such status.
        """
        following = TRANSITIONS[self.status]
        if status not in following:
            ways = ", ".join(sorted(following))
            raise IncidentTransitionError(
                f"incident {self.id} is {self.status} and cannot become {str(status)!r}",
                near=near_names(str(status), following),
                hint=f"from here: {ways}" if ways else "it is closed for good; open another one",
            )
        step = IncidentStep(status=IncidentStatus(status), at=at, by=by, note=note, event_id=event_id)
        return msgspec.structs.replace(self, steps=(*self.steps, step))


class Incidents:
    """Keeps the incidents of this process, in memory, at most `max_incidents`. May be used from any thread.

    The oldest that is closed is forgotten first, then the oldest that is resolved; one that is being worked on never
    is, and opening raises when all of them are.
    """

    def __init__(self, *, max_incidents: int = 1_000, clock: Clock | None = None) -> None:
        if max_incidents < 1:
            raise TrackingError(f"max_incidents {max_incidents!r} leaves no room for any incident")
        self._max_incidents = max_incidents
        self._clock = clock or SystemClock()
        self._new_id = IdSource(self._clock)
        self._lock = threading.Lock()
        self._incidents: OrderedDict[str, Incident] = OrderedDict()

    def open(
        self,
        title: str,
        *,
        by: str,
        severity: AlertSeverity | Literal["info", "warning", "critical"] = "warning",
        note: str = "",
    ) -> Incident:
        """Open an incident.

        Raises:
            TrackingError: There is no room, or no such severity.
        """
        with self._lock:
            return self._open(title, by=by, severity=severity, note=note)

    def move(self, incident_id: str, status: Status, *, by: str, note: str = "") -> Incident:
        """Take an incident to its next status, and return it.

        Raises:
            IncidentNotFoundError: There is none with this id.
            IncidentTransitionError: It cannot go there from where it stands.
        """
        with self._lock:
            incident = self._incidents.get(incident_id)
            if incident is None:
                raise IncidentNotFoundError(
                    f"there is no incident {incident_id!r} here",
                    incident_id=incident_id,
                    hint="incidents are kept by the process that opened them; those closed long ago are forgotten",
                )
            moved = incident.move(status, by=by, at=utc(self._clock.time()), note=note)
            self._incidents[incident_id] = moved
            return moved

    def get(self, incident_id: str) -> Incident | None:
        """Return an incident; `None` when there is none with this id."""
        with self._lock:
            return self._incidents.get(incident_id)

    def list_incidents(self, *, status: Status | None = None, limit: int = 100) -> list[Incident]:
        """Return the incidents, or those of one status, the newest first."""
        with self._lock:
            found = [one for one in reversed(self._incidents.values()) if status is None or one.status == status]
        return found[: max(0, limit)]

    def follow(self, event: AlertEvent) -> None:
        """Open an incident when an alert fires, and resolve it when the alert ends: `Alerts(…, notify=[book.follow])`.

        An alert whose incident is not closed yet gets no second one: if it was resolved, it is investigated again. An
        event that comes twice changes nothing.
        """
        with self._lock:
            of_alert = [one for one in reversed(self._incidents.values()) if one.alert == event.alert]
            if any(step.event_id == event.id for one in of_alert for step in one.steps):
                return
            current = next((one for one in of_alert if one.status is not IncidentStatus.CLOSED), None)
            if current is None:
                if event.is_firing:
                    self._open(str(event), by=event.alert, severity=event.severity, event=event)
                return
            following = IncidentStatus.INVESTIGATING if event.is_firing else IncidentStatus.RESOLVED
            if (current.status is IncidentStatus.RESOLVED) is event.is_firing:
                moved = current.move(following, by=event.alert, at=event.at, event_id=event.id)
                self._incidents[current.id] = moved

    def _open(self, title: str, *, by: str, severity: str, note: str = "", event: AlertEvent | None = None) -> Incident:
        if severity not in tuple(AlertSeverity):
            raise TrackingError(
                f"severity {severity!r} is not known",
                near=near_names(severity, tuple(AlertSeverity)),
                hint=f"known: {', '.join(AlertSeverity)}",
            )
        self._make_room()
        step = IncidentStep(
            status=IncidentStatus.OPEN,
            at=event.at if event else utc(self._clock.time()),
            by=by,
            note=note,
            event_id=event.id if event else None,
        )
        incident = Incident(
            id=self._new_id(),
            title=title,
            severity=AlertSeverity(severity),
            alert=event.alert if event else None,
            steps=(step,),
        )
        self._incidents[incident.id] = incident
        return incident

    def _make_room(self) -> None:
        if len(self._incidents) < self._max_incidents:
            return
        for status in (IncidentStatus.CLOSED, IncidentStatus.RESOLVED):
            for incident in self._incidents.values():
                if incident.status is status:
                    del self._incidents[incident.id]
                    return
        raise TrackingError(
            f"there are {self._max_incidents} incidents, and all of them are being worked on",
            hint="resolve and close some of them, or give more max_incidents",
        )
