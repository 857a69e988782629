"""What can go wrong on the command line.

UndercroftError
├── AppError                               what APP names cannot be used
│   ├── AppReferenceError      (ConfigError)   APP has no form that we know
│   ├── AppModuleNotFoundError (ConfigError)   there is no such module or file
│   ├── AppAttributeError      (ConfigError)   the module has no such attribute
│   ├── AppUnsuitableError     (ConfigError)   it is neither an Infra nor an application
│   ├── InfraNotFoundError     (ConfigError)   an application, and no Infra to go with it, or several
│   └── AppRaisedError                     the application's own code raised
├── PortTakenError       unavailable       another program listens there
├── AddressError         (ConfigError)     the host or port cannot be used here
├── ServerFailedError                      the application did not start
└── UnknownCodeError     (LookupError)     `explain` was asked for a code that no error has
"""

from __future__ import annotations

from undercroft._core.errors import ConfigError, Kind, UndercroftError


class AppError(UndercroftError):
    """What the argument APP names cannot be used; never raised itself."""

    code = "UC3100"


class PortTakenError(UndercroftError):
    """Another program listens on the port. `port` is the port, `next_free` one that nobody has, if there is one."""

    code = "UC3101"
    kind = Kind.UNAVAILABLE

    def __init__(self, message: str, *, port: int, next_free: int | None, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.port = port
        self.next_free = next_free


class AppReferenceError(AppError, ConfigError):
    """APP is written in no form that we know."""

    code = "UC3102"


class AppModuleNotFoundError(AppError, ConfigError):
    """The module or file that APP names does not exist, or another module of that name comes first."""

    code = "UC3103"


class AppAttributeError(AppError, ConfigError):
    """The module has no attribute of that name, or none that could be guessed."""

    code = "UC3104"


class AppUnsuitableError(AppError, ConfigError):
    """What APP names is neither an `Infra`, nor an ASGI application, nor a function that makes one of them."""

    code = "UC3105"


class InfraNotFoundError(AppError, ConfigError):
    """What APP names is an application, and it cannot be told which `Infra` it stands on."""

    code = "UC3106"


class AppRaisedError(AppError):
    """The module or the factory raised; `__cause__` is what, and its traceback is shown."""

    code = "UC3107"


class UnknownCodeError(UndercroftError, LookupError):
    """No error has this code."""

    code = "UC3108"


class ServerFailedError(UndercroftError):
    """The application's startup or shutdown failed; the log lines before this say how."""

    code = "UC3109"


class AddressError(ConfigError):
    """The host is not an address of this machine, or the port may not be used by this user."""

    code = "UC3110"
