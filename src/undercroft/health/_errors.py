"""What health raises. A check that fails never raises: it is a result in the report.

UndercroftError
└── ConfigError (ValueError)
    ├── HealthCheckError     a check is registered or defined wrongly
    └── HealthDialectError   a report is asked for in words that are not known
"""

from __future__ import annotations

from undercroft._core.errors import ConfigError


class HealthCheckError(ConfigError):
    """A check has no name, its checker cannot be called without arguments, or its timeout is zero."""

    code = "UC1001"


class HealthDialectError(ConfigError):
    """A report is asked for in a dialect that is not `healthy` or `ok`."""

    code = "UC1002"
