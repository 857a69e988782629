"""What health raises. A check that fails never raises: it is a result in the report.

UndercroftError
├── ConfigError (ValueError)
│   ├── HealthCheckError     a check is registered or defined wrongly
│   │   └── HealthGroupError     a check that may depend on others is meant for liveness
│   └── HealthDialectError   a report is asked for in words that are not known
└── NoHeartbeatError (LookupError)   unavailable: no process has written its state where it is looked for
"""

from __future__ import annotations

from undercroft._core.errors import ConfigError, Kind, UndercroftError


class HealthCheckError(ConfigError):
    """A check has no name or no known group, its checker cannot be called without arguments, or a number is wrong."""

    code = "UC1001"


class HealthDialectError(ConfigError):
    """A report is asked for in a dialect that is not `healthy` or `ok`."""

    code = "UC1002"


class HealthGroupError(HealthCheckError):
    """A check that may depend on something outside of the process is registered for liveness."""

    code = "UC1003"


class NoHeartbeatError(UndercroftError, LookupError):
    """No process of that kind keeps its state in that directory: none runs, or it has another home."""

    code = "UC1004"
    kind = Kind.UNAVAILABLE
    http_status = 503
