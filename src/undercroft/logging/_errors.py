"""What logging raises. Only calls that set it up can raise; writing a line never does.

UndercroftError
├── ConfigError (ValueError)
│   ├── LogLevelError     the level is not one of ours
│   └── LogFormatError    the format is not one of ours
└── LogContextError (TypeError)   a logger's context is not a mapping
"""

from __future__ import annotations

from undercroft._core.errors import ConfigError, UndercroftError


class LogLevelError(ConfigError):
    """A level is not one of ours; near names are offered, and nothing is logged at a guessed level."""

    code = "UC1101"


class LogFormatError(ConfigError):
    """A format is not `auto`, `text` or `json`."""

    code = "UC1102"


class LogContextError(UndercroftError, TypeError):
    """A logger was given a context that is not a mapping."""

    code = "UC1103"
