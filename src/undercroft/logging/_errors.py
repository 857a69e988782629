"""What logging raises. Only calls that set it up can raise; writing a line never does.

UndercroftError
├── ConfigError (ValueError)
│   ├── LogLevelError     the level is not one of ours
│   ├── LogFormatError    the format is not one of ours
│   ├── LogSamplingError  a sampling that is none
│   ├── LogBufferError    a buffer's size is not a whole number from 0 up
│   ├── LogFileError      a log file cannot be opened, or its options are wrong
│   ├── RedactionError    an unknown kind, an empty name or a pattern that is none   (`_redact`)
│   └── SentryDsnError    the DSN of Sentry cannot be read                           (`_sentry`)
├── SecretError (TypeError)       a secret was pickled, or put into another         (`_redact`)
└── LogContextError (TypeError)   a logger's context is not a mapping
"""

from __future__ import annotations

from undercroft._core.errors import ConfigError, UndercroftError


class LogLevelError(ConfigError):
    """A level is not one of ours; near names are offered, and nothing is logged at a guessed level."""

    code = "UC1101"


class LogFormatError(ConfigError):
    """A format is not `auto`, `text`, `json`, `ecs` or `otel`."""

    code = "UC1102"


class LogContextError(UndercroftError, TypeError):
    """A logger was given a context that is not a mapping."""

    code = "UC1103"


class LogSamplingError(ConfigError):
    """A sampling's rate is not a share, or it is per something else than a trace or a request."""

    code = "UC1104"


class LogBufferError(ConfigError):
    """A buffer's size is not a whole number of lines from 0 up."""

    code = "UC1105"


class LogFileError(ConfigError):
    """A log file cannot be opened, its options are wrong, or two places for the lines were given."""

    code = "UC1106"
