"""What can go wrong with a lock.

UndercroftError
└── LockError                                   UC5231
    ├── LockDefinitionError  (ConfigError)      UC5232  misuse       a lock's name or a duration is not valid
    ├── LockReentryError     (RuntimeError)     UC5233  misuse       the task waits for a lock that it holds itself
    ├── NotOwnerError        (RuntimeError)     UC5234  misuse       the task releases or extends what it does not hold
    ├── LockTimeoutError     (TimeoutError)     UC5235  unavailable  somebody else held it all the time
    ├── LockLostError                           UC5236  refused      the lease ended while it was in use
    └── LockUnavailableError                    UC5237  unavailable  the store did not answer; nobody entered
"""

from __future__ import annotations

from undercroft._core.errors import ConfigError, Kind, UndercroftError


class LockError(UndercroftError):
    """Base of every error of locks."""

    code = "UC5231"


class LockDefinitionError(LockError, ConfigError):
    """A lock's name, or one of its durations, is not valid."""

    code = "UC5232"


class LockReentryError(LockError, RuntimeError):
    """The task waits for a lock that it holds itself, for which it would wait in vain. Locks are not re-entrant."""

    code = "UC5233"


class NotOwnerError(LockError, RuntimeError):
    """The task wants to release or extend, through a `Lock`, what it did not acquire so. Nothing was changed."""

    code = "UC5234"


class LockTimeoutError(LockError, TimeoutError):
    """Somebody else held the lock for as long as we were ready to wait.

    `held_by` is the owner that was seen last, `None` when none was seen; `retry_after` is when that lease ends at the
    latest, unless it is renewed.
    """

    code = "UC5235"
    kind = Kind.UNAVAILABLE
    http_status = 503

    def __init__(
        self, message: str, *, held_by: str | None = None, retry_after: float | None = None, hint: str | None = None
    ) -> None:
        self.held_by = held_by
        super().__init__(message, hint=hint, retry_after=retry_after)


class LockLostError(LockError):
    """The lease ended while it was in use: it could not be renewed in time, or somebody released it by force.

    Another holder may have begun already. What was written under `token` must be refused where a larger token was seen.
    `lock_name` and `token` name the lease.
    """

    code = "UC5236"
    kind = Kind.REFUSED
    http_status = 409

    def __init__(self, message: str, *, lock_name: str, token: int) -> None:
        self.lock_name = lock_name
        self.token = token
        super().__init__(
            message, hint="stop; write only where the token is compared, which refuses what comes too late"
        )


class LockUnavailableError(LockError):
    """The store of the locks did not answer, or did not take the work.

    Raised by `acquire`, nobody entered: locks fail closed. Raised by `release`, the lock may be held until its lease
    ends by itself.
    """

    code = "UC5237"
    kind = Kind.UNAVAILABLE
    http_status = 503
