"""What error tracking, alerts and incidents raise. Capturing an exception never does: one is being handled.

UndercroftError
├── TrackingError (ConfigError)             misuse   a limit, a quantile, … cannot be used; no room
│   └── AlertRuleError                      misuse   a rule is not valid, or its name is taken
├── IncidentNotFoundError (LookupError)     refused  no incident has this id, or it is one of those forgotten
└── IncidentTransitionError                 refused  an incident cannot go from its status to that one
"""

from __future__ import annotations

from undercroft._core.errors import ConfigError, Kind, UndercroftError


class TrackingError(ConfigError):
    """A limit, a quantile, a severity or a duration cannot be used, or there is no room for another incident."""

    code = "UC1600"


class AlertRuleError(TrackingError):
    """An alert's rule is not valid, or another rule has its name."""

    code = "UC1601"


class IncidentNotFoundError(UndercroftError, LookupError):
    """No incident has this id here; `incident_id` is the id."""

    code = "UC1602"
    kind = Kind.REFUSED
    http_status = 404

    def __init__(self, message: str, *, incident_id: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.incident_id = incident_id


class IncidentTransitionError(UndercroftError):
    """An incident cannot go from its status to the one that was asked for; the hint lists where it can go."""

    code = "UC1603"
    kind = Kind.REFUSED
    http_status = 409
