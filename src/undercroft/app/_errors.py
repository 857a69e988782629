"""What can go wrong while an application is composed.

UndercroftError
├── ConfigError
│   ├── UnknownSettingError   an UNDERCROFT_* variable that nothing reads
│   ├── SettingFileError      <NAME>_FILE cannot be read, or is one of two
│   ├── HomeNotWritableError  UNDERCROFT_HOME cannot be written
│   ├── JobsNotFoundError     jobs="…" names nothing
│   ├── NotConfiguredError    infra.redis or infra.mongo, and nothing says where it is
│   └── MissingVariablesError what validate_env requires in production is not there (`_required`)
├── AlreadyOpenError (RuntimeError)  an Infra, or what was handed to it, is open already
└── StartTimeoutError (TimeoutError) a part was not up before the start deadline (`_start`)
"""

from __future__ import annotations

from undercroft._core.errors import ConfigError, UndercroftError


class UnknownSettingError(ConfigError):
    """A variable is called `UNDERCROFT_…` and nothing reads it; most likely a typing mistake."""

    code = "UC0204"


class SettingFileError(ConfigError):
    """The file that a `<NAME>_FILE` variable names cannot be read or is empty, or `<NAME>` is set as well."""

    code = "UC0205"


class HomeNotWritableError(ConfigError):
    """The home directory, where the embedded engines keep their files, cannot be made or written."""

    code = "UC0206"


class JobsNotFoundError(ConfigError):
    """`jobs=` names a module that cannot be imported, or that holds no jobs."""

    code = "UC0207"


class NotConfiguredError(ConfigError):
    """A part without an embedded default was used, and no setting says where it is."""

    code = "UC0209"


class AlreadyOpenError(UndercroftError, RuntimeError):
    """An `Infra`, or an engine or transport that was handed to one, was opened while it was open."""

    code = "UC0303"
