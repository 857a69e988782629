"""What the audit log raises. An entry that was not recorded always raises; nothing is dropped.

UndercroftError
├── AuditEntryError (ConfigError)  misuse       an argument of `record`, `search` or the log itself cannot be used
├── AuditUnavailableError          unavailable  the store did not answer; the entry was not recorded
└── AuditDamagedError              refused      a stored entry cannot be read
"""

from __future__ import annotations

from undercroft._core.errors import ConfigError, Kind, UndercroftError


class AuditEntryError(ConfigError):
    """What was to be recorded or searched for cannot be: a name is empty or too long, a value has no JSON form."""

    code = "UC1610"


class AuditUnavailableError(UndercroftError):
    """The audit log's store did not answer. From `record`: nothing was recorded."""

    code = "UC1611"
    kind = Kind.UNAVAILABLE
    http_status = 503


class AuditDamagedError(UndercroftError):
    """A stored entry of the audit log cannot be read; `sequence` is its number."""

    code = "UC1612"
    kind = Kind.REFUSED

    def __init__(self, message: str, *, sequence: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.sequence = sequence
